"""What a trial costs beside its training: deepcolor's driver, and Optuna and MLflow by the book, on a formula.

Thousands of trials go through the real driver, Optuna's SQLite storage and MLflow tracking; in place of a training, a
formula gives the losses of three epochs. The peer (`peers/plain_trials.py`) runs before and after, so the ratio holds
on a noisy machine. Then whole processes of `deepcolor studies`, on a study of 10,000 trials.

    python benchmarks/driver.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import math
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from parts.driving import driver_of

from deepcolor.cli.app import collect_rarely
from deepcolor.coloring.base import MSE
from deepcolor.config.schema import Sweep
from deepcolor.execution.serial import SerialExecutor
from deepcolor.report.writing import ReportFolder
from deepcolor.search.rules.summary import Snapshot
from deepcolor.search.study.storage import StoredTrial, owned
from deepcolor.tracking.projection import MlflowTracker
from deepcolor.training.early_stopping import view_of
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome, TrajectoryPaths
from deepcolor.workspace import Workspace

PEER = Path(__file__).parent / "peers" / "plain_trials.py"
EPOCHS, EDGE = 3, 200
"""Epochs of a trial; trials compared at either end of a study."""
LISTED = 10_000
FLUSH_S = 900.0
_TRIAL_TABLES = {
    "trial_params": "param_name, param_value, distribution_json",
    "trial_values": "objective, value, value_type",
    "trial_user_attributes": "key, value_json",
    "trial_system_attributes": "key, value_json",
}


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="of deepcolor, drawn at random")
    parser.add_argument("--tpe-trials", type=int, default=600, help="of deepcolor, drawn by TPE")
    parser.add_argument("--peer-trials", type=int, default=100, help="of the peer, before and again after")
    parser.add_argument("--quick", action="store_true", help="a few trials each")
    options = parser.parse_args()
    collect_rarely()  # As every command does.
    if options.quick:
        options.trials, options.tpe_trials, options.peer_trials = 60, 40, 15
    with TemporaryDirectory() as name:
        results = _measured(Path(name), options)
    print(json.dumps(_report(results, vars(options)), indent=2))


def _measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    ours, peer = {}, {}
    for sampler, trials in (("random", options.trials), ("tpe", options.tpe_trials)):
        before = _peer(folder / f"{sampler}-before", sampler, options.peer_trials)
        ours[sampler] = _drive(Workspace.at(folder / sampler).create(), sampler, trials=trials)
        runs = [before, _peer(folder / f"{sampler}-after", sampler, options.peer_trials)]
        peer[sampler] = {"trials": options.peer_trials, "trial_s": round(statistics.mean(runs), 5), "runs": runs}
    workspace = Workspace.at(folder / "random")
    _multiply(workspace.optuna_db, to=LISTED)
    return {"deepcolor": ours, "peer": peer, "listed": {"trials": LISTED, **_listing_s(workspace)}}


def _report(results: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for sampler, ours in results["deepcolor"].items():
        peer_s = results["peer"][sampler]["trial_s"]
        rows += [
            [f"{sampler}: trials a second, MLflow tracking on", round(1 / ours["trial_s"], 1), "-"],
            [f"{sampler}: times faster than the peer, while driving", round(peer_s / ours["trial_s"], 2), "3"],
            [f"{sampler}: the same, until report and MLflow are done", round(peer_s / ours["tracked_trial_s"], 2), "-"],
            [
                f"{sampler}: the last {_edge(ours['trials'])} trials' seconds against the first's",
                ours["last_to_first"],
                "1.3",
            ],
        ]
    listed = results["listed"]
    rows += [[f"seconds of `deepcolor studies NAME`, {listed['trials']} trials", listed["study_s"], "2"]]
    rows += [["seconds of `deepcolor studies`, the same", listed["studies_s"], "-"]]
    return {
        "title": "The driver",
        "about": (
            "Trials of a formula through the driver, Optuna's SQLite storage and MLflow, against study.optimize with a "
            f"nested MLflow run a trial: {options['trials']} drawn at random, {options['tpe_trials']} by TPE."
        ),
        "table": {"header": ["measured", "result", "aim"], "rows": rows},
        "results": results,
        "options": options,
    }


def _edge(trials: int) -> int:
    return min(EDGE, trials // 4)


# --- deepcolor's side


@dataclass
class _Clock:
    """A watcher that takes note of when each trial ends."""

    ended: list[float] = field(default_factory=list)

    def update(self, snapshot: Snapshot) -> None:
        pass

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:  # noqa: ARG002  # the protocol's names
        self.ended.append(time.perf_counter())


def formula(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
    """Advance a trajectory by formula, and leave its result in the store; the peer's objective is the same."""
    training = segment.trajectory.setting.training
    paths = TrajectoryPaths(segment.store, segment.trajectory.digest)
    history = []
    for epoch in range(1, segment.to_epoch + 1):
        value = (math.log10(training.lr) + 2) ** 2 + training.weight_decay + 1 / epoch
        history.append(EpochMetrics(epoch, dict.fromkeys(MSE, value), 0.001, int(time.time() * 1000)))
        if on_epoch:
            on_epoch(history[-1])
    view = view_of(history, epochs=segment.to_epoch, patience=None, objective=segment.trajectory.objective)
    assert view is not None
    result = paths.result(view)
    result.mkdir(parents=True)
    (result / "metrics.json").write_text(json.dumps({"psnr_db": 20.0, "ssim": 0.5, "colourfulness": 0.9}))
    return SegmentOutcome(paths.digest, tuple(history), len(history), 0.0, view, result, host="here", device="cpu")


def _drive(workspace: Workspace, sampler: str, *, trials: int) -> dict[str, Any]:
    sweep, clock = _sweep(sampler, trials), _Clock()
    tracker = MlflowTracker(tracking_uri=workspace.mlflow_uri, artifact_root=workspace.artifacts)
    executor = SerialExecutor(formula)
    with owned(workspace, sweep.study):
        report = ReportFolder(workspace.report(sweep.study))
        driver = driver_of(workspace, sweep, executor=executor, tracker=tracker, watcher=clock, report=report)
        started = time.perf_counter()
        driver.run()
        driven = time.perf_counter()
        sent = tracker.flush(FLUSH_S)
        flushed = time.perf_counter()
    executor.close()
    tracker.close()
    assert sent, "MLflow has not taken everything"
    assert len(clock.ended) == trials, f"{len(clock.ended)} of {trials} trials have ended"
    edge, driving_s, report_s = _edge(trials), clock.ended[-1] - started, driven - clock.ended[-1]
    first_s, last_s = clock.ended[edge] - clock.ended[0], clock.ended[-1] - clock.ended[-1 - edge]
    _say(f"{sampler}: {trials} trials in {driving_s:.1f} s, report {report_s:.1f} s, flush {flushed - driven:.1f} s")
    return {
        "trials": trials,
        "driving_s": round(driving_s, 2),
        "trial_s": round(driving_s / trials, 5),
        "report_s": round(report_s, 2),
        "flush_s": round(flushed - driven, 2),
        "tracked_trial_s": round((flushed - started) / trials, 5),
        "first_s": round(first_s, 3),
        "last_s": round(last_s, 3),
        "last_to_first": round(last_s / first_s, 2),
    }


def _sweep(sampler: str, trials: int) -> Sweep:
    space = {"lr": {"low": 1e-4, "high": 0.3, "log": True}, "weight_decay": {"low": 1e-7, "high": 0.1, "log": True}}
    return Sweep.model_validate(
        {
            "study": "formula",
            "stage": "regressor",
            "data": {"name": "none"},
            "training": {"epochs": EPOCHS, "early_stopping": False},
            "search": {"sampler": sampler, "trials": trials, "space": space},
        }
    )


# --- the peer's side


def _peer(folder: Path, sampler: str, trials: int) -> float:
    command = [sys.executable, str(PEER), str(folder), "--sampler", sampler, "--trials", str(trials)]
    ended: list[float] = json.loads(_run([*command, "--epochs", str(EPOCHS)]).strip().splitlines()[-1])
    _say(f"{sampler}: the peer's {trials} trials in {ended[-1]:.1f} s")
    # Less the first one, in which it imports; deepcolor's is as long, and counted.
    return round((ended[-1] - ended[0]) / (trials - 1), 5)


# --- listing


def _multiply(database: Path, *, to: int) -> None:
    """Repeat a study's trials as its driver wrote them, under new numbers, until there are `to` of them."""
    with sqlite3.connect(database) as connection:
        count = connection.execute("SELECT COUNT(*) FROM trials").fetchone()[0]
        for step in range(count, to, count):
            # The numbers of the only study's trials run from 0, and their ids from 1.
            connection.execute(
                "INSERT INTO trials SELECT trial_id + ?, number + ?, study_id, state, datetime_start, "
                "datetime_complete FROM trials WHERE number < ?",
                (step, step, min(count, to - step)),
            )
            for table, columns in _TRIAL_TABLES.items():
                connection.execute(
                    f"INSERT INTO {table} (trial_id, {columns}) SELECT trial_id + ?, {columns} "  # noqa: S608  # our own words
                    f"FROM {table} WHERE trial_id <= ?",
                    (step, min(count, to - step)),
                )


def _listing_s(workspace: Workspace) -> dict[str, float]:
    base = [sys.executable, "-m", "deepcolor"]
    where = ["--workspace", str(workspace.root)]
    return {
        "study_s": _median_s([*base, "studies", "formula", *where]),
        "studies_s": _median_s([*base, "studies", *where]),
        "version_s": _median_s([*base, "--version"]),
    }


def _median_s(command: list[str]) -> float:
    def seconds() -> float:
        started = time.perf_counter()
        _run(command)
        return time.perf_counter() - started

    return round(statistics.median(seconds() for _ in range(3)), 2)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
