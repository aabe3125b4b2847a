"""Workers beside each other: a real sweep on two workers and on one, and 64 workers in virtual time.

The sweep is a colorizer's grid over drawn faces, one thread a worker, from the start of its processes to its report;
its training is what lies between the start of its first epoch and the end of its last. The 64 workers are simulated:
the real driver hands out segments whose seconds, drawn unevenly, nobody waits for, so what is seen is how well it keeps
workers busy, and nothing else.

    python benchmarks/parallel.py [--quick]
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from parts.driving import Nobody, driver_of

from deepcolor.coloring.base import MSE
from deepcolor.config.schema import DataConfig, Sweep
from deepcolor.execution.executor import Event, Finished
from deepcolor.report.writing import ReportFolder
from deepcolor.search.study.storage import StudyStorage, owned
from deepcolor.training.checkpoint import read_history
from deepcolor.training.early_stopping import view_of
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome, TrajectoryPaths
from deepcolor.workspace import Workspace

SIMULATED_WORKERS = 64
SECONDS_SPREAD = 0.6
"""Sigma of the logarithm of a trajectory's seconds an epoch: one in twenty is 2.7 times slower than the median."""
SEGMENT_S = 2.0
"""What a segment costs beside its epochs, in virtual time; an epoch of the median trajectory takes one second."""


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pictures", type=int, default=160, help="drawn; 8 of 10 are trained on, with five copies each"
    )
    parser.add_argument("--epochs", type=int, default=4, help="of each of the six trainings")
    parser.add_argument("--rounds", type=int, default=2, help="sweeps of each kind, in turn")
    parser.add_argument("--trajectories", type=int, default=320, help="of the simulated sweeps")
    parser.add_argument("--quick", action="store_true", help="small, and one round")
    options = parser.parse_args()
    if options.quick:
        options.pictures, options.epochs, options.rounds, options.trajectories = 20, 1, 1, 66
    simulated = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for kind, search in (("a grid", grid_of(options.trajectories)), ("ASHA", asha_of(options.trajectories))):
            simulated[kind] = use = simulate(folder / kind.replace(" ", "-"), search)
            _say(f"{kind}: {use.trials} trials, {use.while_work_is_left:.1%} busy, {use.whole:.1%} to the end")
        rounds = _rounds(folder, options)
    print(json.dumps(_report(rounds, simulated, vars(options)), indent=2))


def _report(rounds: Sequence[dict[str, Any]], simulated: dict[str, Use], options: dict[str, Any]) -> dict[str, Any]:
    whole, training = (
        statistics.median(one["1"][key] / one["2"][key] for one in rounds) for key in ("sweep_s", "training_s")
    )
    rows: list[list[object]] = [
        ["2 workers against 1: training", f"{training:.2f} times faster", "-"],
        ["2 workers against 1: the whole sweep", f"{whole:.2f} times faster", "-"],
    ]
    for name, use in simulated.items():
        rows += [
            [f"64 workers busy, {name}, while there is a training to start", f"{use.while_work_is_left:.1%}", "95 %"],
            [
                f"64 workers busy, {name}, to the end of the last one",
                f"{use.whole:.1%}",
                f"{use.possible:.1%}, the most",
            ],
        ]
    return {
        "title": "Workers beside each other",
        "about": (
            f"A real sweep of six trainings on two worker processes and on one, one thread each, on {os.cpu_count()} "
            f"cores; and the driver with 64 workers in virtual time, on trainings of uneven length."
        ),
        "table": {"header": ["measured", "result", "aim"], "rows": rows},
        "results": {"rounds": rounds, "simulated": {kind: asdict(use) for kind, use in simulated.items()}},
        "options": options,
    }


# --- a real sweep


def _rounds(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    from deepcolor.cli import console
    from deepcolor.data.drawn import draw_set

    console.settings.quiet = True
    draw_set("faces", folder / "pictures", count=options.pictures, seed=0)
    _sweep_s(folder, "first", workers=1, epochs=1)  # Imports what the sweep needs, once.
    rounds = []
    for number in range(options.rounds):
        order = (1, 2) if number % 2 == 0 else (2, 1)
        rounds.append({str(n): _sweep_s(folder, f"{number}-{n}", workers=n, epochs=options.epochs) for n in order})
    return rounds


def _sweep_s(folder: Path, name: str, *, workers: int, epochs: int) -> dict[str, float]:
    from deepcolor.app.how import How
    from deepcolor.app.sweep import run_sweep
    from deepcolor.data.cache.stored import ensure_cache
    from deepcolor.data.manifest import prepare
    from deepcolor.execution.local import LocalExecutor

    sweep = Sweep.model_validate(
        {
            "study": "parallel",
            "stage": "colorizer",
            "data": {"name": "faces"},
            "model": {"feature_maps": 6},
            "training": {"epochs": epochs, "early_stopping": False},
            "search": {"space": {"lr": [1e-3, 3e-4, 1e-4], "weight_decay": [0.0, 1e-5]}},
        }
    )
    workspace = Workspace.at(folder / name).create()
    # Decoded beforehand: how that is done is the same for any number of workers.
    ensure_cache(
        workspace, prepare(folder / "pictures", name="faces", workspace=workspace), cast(DataConfig, sweep.data)
    )
    executor = LocalExecutor(workers=workers, threads=1)
    started = time.perf_counter()
    run_sweep(sweep, How(workspace, workspace.mlflow_uri, workers=workers, device="cpu"), executor=executor)
    sweep_s = time.perf_counter() - started
    executor.close()
    training_s = _training_s(workspace, sweep.study)
    _say(f"{workers} workers: {sweep_s:.1f} s, training {training_s:.1f} s")
    return {"sweep_s": round(sweep_s, 2), "training_s": round(training_s, 2)}


def _training_s(workspace: Workspace, study: str) -> float:
    """Seconds from the start of the first epoch to the end of the last one."""
    trials = StudyStorage(workspace).load(study).trials()
    histories = [
        read_history(TrajectoryPaths(workspace.trajectories, trial.place.trajectory)) for trial in trials if trial.place
    ]
    starts = [history[0].time_ms / 1000 - history[0].epoch_s for history in histories]
    return max(history[-1].time_ms for history in histories) / 1000 - min(starts)


# --- workers in virtual time


@dataclass(frozen=True)
class Use:
    """How busy simulated workers were: busy seconds over all seconds, 0 to 1."""

    while_work_is_left: float
    """Until the last training has been started: up to then a worker need never wait."""
    whole: float
    """Until the last one ends; in the end there are fewer trainings than workers."""
    possible: float
    """What `whole` could be in any order: the longest training has to be done by one worker."""
    trials: int
    trajectories: int


class VirtualWorkers:
    """An executor whose segments end in virtual time; nobody waits, so a day is driven in seconds."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._now = 0.0
        self._running: list[tuple[float, int, Segment]] = []
        self._histories: dict[str, tuple[EpochMetrics, ...]] = {}
        self._spans: list[tuple[str, float, float]] = []
        self._first_start: dict[str, float] = {}

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def child_imports(self) -> tuple[str, ...]:
        return ()

    def prepare(self) -> None:
        pass

    def submit(self, segment: Segment) -> None:
        digest = segment.trajectory.digest
        assert len(self._running) < self._slots, "more segments than workers"
        assert all(running.trajectory.digest != digest for _, _, running in self._running), "trained twice at a time"
        epochs = segment.to_epoch - len(self._histories.get(digest, ()))
        end = self._now + SEGMENT_S + max(0, epochs) * _epoch_s(digest)
        heapq.heappush(self._running, (end, len(self._spans), segment))
        self._spans.append((digest, self._now, end))
        self._first_start.setdefault(digest, self._now)

    def events(self, timeout_s: float) -> Sequence[Event]:  # noqa: ARG002  # virtual time does not wait
        if not self._running:
            return []
        self._now, _, segment = heapq.heappop(self._running)
        return [Finished(segment.trajectory.digest, self._outcome(segment))]

    def close(self) -> None:
        pass

    def use(self, *, trials: int) -> Use:
        """How busy the workers were."""
        return Use(
            while_work_is_left=self._busy_until(max(self._first_start.values())),
            whole=self._busy_until(self._now),
            possible=self._possible(),
            trials=trials,
            trajectories=len(self._first_start),
        )

    def _busy_until(self, moment: float) -> float:
        busy = sum(max(0.0, min(end, moment) - start) for _, start, end in self._spans)
        return round(busy / (self._slots * moment), 4)

    def _possible(self) -> float:
        seconds: dict[str, float] = defaultdict(float)
        for digest, start, end in self._spans:
            seconds[digest] += end - start
        mean = sum(seconds.values()) / self._slots
        return round(mean / max(mean, *seconds.values()), 4)

    def _outcome(self, segment: Segment) -> SegmentOutcome:
        paths = TrajectoryPaths(segment.store, segment.trajectory.digest)
        known = self._histories.get(paths.digest, ())
        history = known + tuple(_epoch(segment, epoch) for epoch in range(len(known) + 1, segment.to_epoch + 1))
        self._histories[paths.digest] = history
        view = view_of(history, epochs=segment.to_epoch, patience=None, objective=segment.trajectory.objective)
        assert view is not None
        if segment.result:
            paths.result(view).mkdir(parents=True)
            (paths.result(view) / "metrics.json").write_text('{"psnr_db": 20.0, "ssim": 0.5, "colourfulness": 0.9}')
        return SegmentOutcome(paths.digest, history, len(history) - len(known), 0.0, view, host="here", device="cpu")


def simulate(folder: Path, search: dict[str, Any], *, workers: int = SIMULATED_WORKERS) -> Use:
    """Drive a search to its end on workers in virtual time.

    Args:
        folder: Of a workspace that is made.
        search: The `search` section of the sweep.
        workers: Simulated workers.
    """
    sweep = Sweep.model_validate(
        {
            "study": "virtual",
            "stage": "regressor",
            "data": {"name": "none"},
            "training": {"epochs": 27, "early_stopping": False},
            "search": search,
        }
    )
    workspace, executor, nobody = Workspace.at(folder).create(), VirtualWorkers(workers), Nobody(folder / "report")
    report = ReportFolder(nobody.folder)
    with owned(workspace, sweep.study):
        driver_of(workspace, sweep, executor=executor, tracker=nobody, watcher=nobody, report=report).run()
        study = StudyStorage(workspace).load(sweep.study)
    return executor.use(trials=len(study.trials()))


def grid_of(trajectories: int, *, epochs: Sequence[int] = (9, 18, 27)) -> dict[str, Any]:
    """The search section of a grid: so many trainings, each asked for with several numbers of epochs."""
    lrs = [round(10 ** (-4 + 3 * index / trajectories), 8) for index in range(trajectories)]
    return {"space": {"lr": lrs, "epochs": list(epochs)}}


def asha_of(trajectories: int) -> dict[str, Any]:
    """The search section of random draws under successive halving: 1, 3, 9 or 27 epochs."""
    return {
        "sampler": "random",
        "trials": trajectories,
        "space": {"lr": {"low": 1e-4, "high": 0.1, "log": True}, "weight_decay": {"low": 0.0, "high": 0.01}},
        "pruner": {"name": "asha", "min_epochs": 1, "reduction_factor": 3},
    }


def _epoch_s(digest: str) -> float:
    return random.Random(digest).lognormvariate(0.0, SECONDS_SPREAD)


def _epoch(segment: Segment, epoch: int) -> EpochMetrics:
    training = segment.trajectory.setting.training
    value = (math.log10(training.lr) + 2) ** 2 + training.weight_decay + 1 / epoch
    return EpochMetrics(epoch, dict.fromkeys(MSE, value), _epoch_s(segment.trajectory.digest), epoch)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
