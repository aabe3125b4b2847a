"""What a trial costs beside its training, without tracking: the driver against Optuna's own loop on the same formula.

A stage of one's own whose epochs cost nothing (`parts/curves.py`: five hyperparameters, 52 epochs) is searched with
successive halving by the real driver: its SQLite storage, its trajectory store, its serial executor. The peer
(`peers/bare_trials.py`) is `study.optimize` with Optuna's sampler of that name and its halving at the same rungs: in
memory, on SQLite as Optuna opens it, and on SQLite with a write-ahead log. Then a long study, whose last trials should
cost what its first ones did.

    python benchmarks/per_trial.py [--quick] [--trials 2000] [--samplers tpe random] [--long 10000]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from parts.driving import Nobody, driver_of
from parts.product import run

from deepcolor.cli.app import collect_rarely
from deepcolor.config.load import load_sweep
from deepcolor.config.schema import Sweep
from deepcolor.execution.serial import SerialExecutor
from deepcolor.plugins import Code, keep
from deepcolor.report.writing import ReportFolder
from deepcolor.search.rules.pruning import rungs
from deepcolor.search.rules.summary import Snapshot
from deepcolor.search.study.storage import StoredTrial, owned
from deepcolor.workspace import Workspace

HERE = Path(__file__).parent
PEER, STAGE = HERE / "peers" / "bare_trials.py", HERE / "parts" / "curves.py"
EPOCHS, EDGE, WARM = 52, 500, 100
"""Epochs of a trial; trials compared at either end of a long study; trials left out at its beginning."""
_LOOK_EVERY = 10
"""Trials between two looks at the memory."""
STORAGES = {"memory": "in memory", "sqlite": "on SQLite", "wal": "on SQLite with a write-ahead log"}
AIMS = {"memory": "2", "sqlite": "1", "wal": "-"}
SWEEP = """
study: curves
stage: curves.py:Curves
training: {{epochs: {epochs}}}
search:
  sampler: {sampler}
  pruner: asha
  trials: {trials}
  space:
    learning_rate: {{low: 1.0e-4, high: 1.0e-1, log: true}}
    batch_size: {{low: 16, high: 512, log: true}}
    weight_decay: {{low: 1.0e-5, high: 1.0e-1}}
    units: {{low: 64, high: 512, log: true}}
    layers: {{low: 1, high: 5}}
"""


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="of each side")
    parser.add_argument("--samplers", nargs="+", choices=["tpe", "random"], default=["tpe", "random"])
    parser.add_argument("--long", type=int, default=10_000, help="trials of the long study, drawn at random; 0: none")
    parser.add_argument("--quick", action="store_true", help="a few trials each")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)  # In a process of its own: one measured study.
    options = parser.parse_args()
    if options.drive:
        print(json.dumps(_drive(options.drive, options.samplers[0], trials=options.trials)))
        return
    del options.drive
    if options.quick:
        options.trials, options.long = 40, 60
    with TemporaryDirectory() as name:
        results = _measured(Path(name), options)
    print(json.dumps(_report(results, vars(options)), indent=2))


def _measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for sampler in options.samplers:
        results[sampler] = {"memory": [_peer(folder / f"{sampler}-before", "memory", sampler, trials=options.trials)]}
        results[sampler]["deepcolor"] = [_ours(folder / sampler, sampler, trials=options.trials)]
        for storage in ("wal", "sqlite", "memory"):
            runs = results[sampler].setdefault(storage, [])
            runs.append(_peer(folder / f"{sampler}-{storage}", storage, sampler, trials=options.trials))
    if options.long:
        results["long"] = _ours(folder / "long", "random", trials=options.long)
    return results


def _report(results: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for sampler in options["samplers"]:
        for count in sorted({min(EDGE, options["trials"]), options["trials"]}):
            ours = _mean_ms(results[sampler]["deepcolor"], count)
            rows.append([f"{sampler}, {count} trials: deepcolor", *_rounded(ours), "-", "-", "-"])
            for storage, where in STORAGES.items():
                peer = _mean_ms(results[sampler][storage], count)
                times = [round(one / other, 2) for one, other in zip(ours, peer, strict=True)]
                aim = AIMS[storage] if sampler == "tpe" else "-"
                rows.append([f"{sampler}, {count} trials: Optuna {where}", *_rounded(peer), *times, aim])
    if "long" in results:
        long, count = results["long"], options["long"]
        growth = [_growth(long[kind]) for kind in ("ended", "used")]
        rows.append([f"random, {count} trials: deepcolor", *_rounded(_mean_ms([long], count)), "-", "-", "-"])
        edge = _edge(count)
        rows.append([f"random: the last {edge} trials against the first {edge}", "-", "-", *growth, "1.3"])
        rows.append([f"random: {long['growth_kib']:.1f} KiB of memory more with each trial", *["-"] * 5])
    header = ["measured", "ms a trial", "of processor time", "deepcolor's as a multiple", "of processor time", "aim"]
    return {
        "title": "A trial beside its training",
        "about": (
            "Trials whose epochs cost nothing (five hyperparameters, 52 epochs, successive halving) through the driver "
            "without tracking, and through Optuna's own loop at the same rungs; all in one run on one disk. Both draw "
            "by TPE; deepcolor's judges its draws by all curves, too. Processor time tells the same on a busy machine, "
            "but not what is waited for."
        ),
        "table": {"header": header, "rows": rows},
        "results": {name: _thinned(found) for name, found in results.items()},
        "options": options,
    }


def _thinned(found: Any) -> Any:
    """What was measured after every trial, a hundredth of it: enough to draw it."""
    if isinstance(found, dict):
        return {name: _thinned(each) for name, each in found.items()}
    if isinstance(found, list):
        return found[99::100] if len(found) > 100 else [_thinned(each) for each in found]
    return found


def _mean_ms(runs: list[dict[str, Any]], count: int) -> tuple[float, float]:
    """Milliseconds a trial of the first `count`, and those of processor time."""
    ended, used = (1000 * sum(run[kind][count - 1] for run in runs) / count / len(runs) for kind in ("ended", "used"))
    return ended, used


def _rounded(figures: tuple[float, float]) -> list[float]:
    return [round(figure, 2) for figure in figures]


def _edge(trials: int) -> int:
    return min(EDGE, trials // 4)


def _growth(ended: list[float]) -> float:
    """How many times as long the last trials took as the first ones, their warm-up and the study's end left out."""
    edge, warm = _edge(len(ended)), min(WARM, len(ended) // 4)
    return round((ended[-2] - ended[-2 - edge]) / (ended[warm + edge] - ended[warm]), 2)


# --- the two sides


def _ours(folder: Path, sampler: str, *, trials: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--drive", str(folder), "--samplers", sampler, "--trials", str(trials)]
    found: dict[str, Any] = json.loads(run(command).strip().splitlines()[-1])
    _say(f"{sampler}: deepcolor's {trials} trials in {found['ended'][-1]:.1f} s, report {found['report_s']:.1f} s")
    shutil.rmtree(folder)
    return found


def _peer(folder: Path, storage: str, sampler: str, *, trials: int) -> dict[str, Any]:
    sweep = _sweep(folder.with_name(f"{folder.name}-sweep"), sampler, trials=trials)
    most = sweep.most_epochs
    ladder = rungs(sweep.settled().search.pruner, number=0, epochs=most, most_epochs=most)[:-1]
    command = [sys.executable, str(PEER), str(folder), "--storage", storage, "--sampler", sampler]
    command += ["--trials", str(trials), "--epochs", str(EPOCHS), "--rungs", *map(str, ladder)]
    found: dict[str, Any] = json.loads(run(command).strip().splitlines()[-1])
    _say(f"{sampler}: Optuna's {trials} trials {STORAGES[storage]} in {found['ended'][-1]:.1f} s")
    return found


@dataclass
class _Clock:
    """A watcher that takes note of when the driver is done with as many trials, for now or for good."""

    ended: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    """Processor time."""
    memory_kib: list[tuple[int, int]] = field(default_factory=list)
    last: tuple[float, float] = (0.0, 0.0)

    def update(self, snapshot: Snapshot) -> None:
        done = snapshot.complete + snapshot.pruned + snapshot.waiting + snapshot.failed
        new = done - len(self.ended)
        self.ended += [time.perf_counter()] * new
        self.used += [time.process_time()] * new
        if not self.memory_kib or done >= self.memory_kib[-1][0] + _LOOK_EVERY:
            self.memory_kib.append((done, _memory_kib()))

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:  # noqa: ARG002  # the protocol's names
        self.last = time.perf_counter(), time.process_time()


def _sweep(folder: Path, sampler: str, *, trials: int) -> Sweep:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(STAGE, folder / STAGE.name)
    file = folder / "curves.yaml"
    file.write_text(SWEEP.format(epochs=EPOCHS, sampler=sampler, trials=trials))
    return load_sweep(file, [])


def _drive(folder: Path, sampler: str, *, trials: int) -> dict[str, Any]:
    """Drive one study, and say when each of its trials was done with."""
    import deepcolor.training.advance  # noqa: F401  # torch, which is imported before the first training, once

    collect_rarely()  # As every command does.
    workspace, clock = Workspace.at(folder / "workspace").create(), _Clock()
    sweep = _sweep(folder, sampler, trials=trials)
    executor = SerialExecutor()
    with owned(workspace, sweep.study):
        keep(Code(sweep.code, workspace.code))
        report = ReportFolder(workspace.report(sweep.study))
        nobody = Nobody(report.folder)
        driver = driver_of(workspace, sweep, executor=executor, tracker=nobody, watcher=clock, report=report)
        started, before = time.perf_counter(), time.process_time()
        summary = driver.run()
        driven = time.perf_counter()
    executor.close()
    assert summary.trials == trials, f"{summary.trials} of {trials} trials"
    last, used = clock.last
    # Those that wait at a rung end there when all others have ended.
    ends = [*clock.ended[: trials - 1], *[last] * (trials - len(clock.ended[: trials - 1]))]
    uses = [*clock.used[: trials - 1], *[used] * (trials - len(clock.used[: trials - 1]))]
    (few, lean), (many, fat) = clock.memory_kib[len(clock.memory_kib) // 10], clock.memory_kib[-1]
    return {
        "ended": [round(end - started, 4) for end in ends],
        "used": [round(use - before, 4) for use in uses],
        "complete": summary.complete,
        "epochs": summary.trained_epochs,
        "report_s": round(driven - last, 2),
        "memory_kib": fat,
        "growth_kib": round((fat - lean) / max(1, many - few), 2),
    }


def _memory_kib() -> int:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
