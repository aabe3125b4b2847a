"""A workspace that several versions of deepcolor work on, one after another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import deepcolor
from deepcolor.coloring.base import PICTURE_METRICS
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError
from deepcolor.execution.serial import SerialExecutor
from deepcolor.registry.references import References
from deepcolor.search.rules.summary import Snapshot
from deepcolor.search.study.starts import Start, read_start, write_start
from deepcolor.search.study.storage import StoredTrial, owned
from deepcolor.search.upkeep.collection import find_garbage, remove
from deepcolor.tracking.payload import record_digest
from deepcolor.tracking.records import Provenance, TrialRecord
from deepcolor.training import trajectory
from deepcolor.training.checkpoint import read_history
from deepcolor.training.result_files import read_result
from deepcolor.training.trajectory import TrajectoryPaths
from tests.search import trivial as formula
from tests.search.conftest import Bench
from tests.search.trivial import trivial

SweepOf = Callable[..., Sweep]
pytestmark = pytest.mark.usefixtures("no_pictures")

NEW_FIELDS = {
    "config/sections.py": {
        'skip_connections: bool = False\n    """': 'dropout: float = 0.0\n    """Share of what is left out."""\n    ',
        'mixed_precision: bool = False\n    """': 'warmup: int = Field(default=0, ge=0)\n    """Epochs."""\n    ',
        'freeze: Literal["none", "encoder"] = "none"\n    """': 'scale: float = 1.0\n    """Of the weights."""\n    ',
    },
    "config/space.py": {
        'sampler: Annotated[str, SAMPLERS] = "grid"\n    """': 'notes: str = ""\n    """For people."""\n    '
    },
    "training/trajectory.py": {'"""Unix time at the epoch\'s end': "grad_norm: float = 0.5\n    "},
    "training/checkpoint.py": {'threads: tuple[int, ...] = ()\n    """The numbers': "seen: int = 7\n    "},
    "search/study/trials.py": {
        'parent: str | None = None\n    """The model': 'queue: str = "main"\n    ',
        "wall_s: float = 0.0\n    gpu_s": "joules: float = 1.0\n    ",
    },
    "search/study/starts.py": {"workers: int = 1\n    ": "nice: int = 5\n    "},
}
"""Text in a file of the package, and the field that a later version has before it."""

LATER_VERSION = """
import json, sys
from pathlib import Path
from deepcolor.config.schema import Sweep
from deepcolor.report.writing import ReportFolder
from deepcolor.search.study.starts import Start, read_start, write_start
from deepcolor.workspace import Workspace
from tests.search.conftest import Bench, Memory

ReportFolder.write, ReportFolder.prepare = (lambda *_: None), (lambda _: None)
bench = Bench(Workspace.at(sys.argv[1]), Memory())
said = {}
for sweep in json.loads(sys.argv[2]):
    sweep = Sweep.model_validate(sweep)
    summary = bench.run(sweep)
    trials = bench.storage().load(sweep.study).trials()
    said[sweep.study] = [summary.trained_now, summary.complete, [trial.place.trajectory for trial in trials]]
    start = read_start(bench.workspace.study(sweep.study))
    if start:
        write_start(bench.workspace.study(sweep.study), start)
print(json.dumps(said))
"""


def later_version(folder: Path) -> Path:
    """Copy the package, and give its records and sections fields that they lack here."""
    shutil.copytree(Path(deepcolor.__file__).parent, folder / "deepcolor")
    for name, places in NEW_FIELDS.items():
        path = folder / "deepcolor" / name
        text = path.read_text(encoding="utf-8")
        for place, field in places.items():
            assert text.count(place) == 1, (name, place)
            text = text.replace(place, field + place)
        path.write_text(text, encoding="utf-8")
    return folder


def run_later(folder: Path, root: Path, sweeps: list[dict[str, Any]]) -> dict[str, Any]:
    """Run sweeps with the package in a folder, and return [epochs trained, complete, trajectories] of each."""
    python_path = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", LATER_VERSION, str(root), json.dumps(sweeps)],
        env={**os.environ, "PYTHONPATH": python_path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run_until(bench: Bench, sweep: Sweep, enough: Callable[[Snapshot], bool]) -> None:
    """Drive a sweep until a snapshot is enough."""
    executor = SerialExecutor(trivial)
    with owned(bench.workspace, sweep.study):
        driver = bench.driver(sweep, executor)
        bench.memory.update = lambda snapshot: driver.request_stop() if enough(snapshot) else None  # type: ignore[method-assign]
        driver.run()
        del bench.memory.update
    executor.close()


def said_again(bench: Bench, sweep: Sweep) -> list[str]:
    """The digests of a study's trials as they are replayed from what is stored."""
    provenance = Provenance(data_digest="d" * 32, data_folder="photos", config_digest=sweep.digest())
    write_start(bench.workspace.study(sweep.study), Start(provenance, "deepcolor sweep x.yaml"))
    _, *records = bench.replay(sweep.study)
    return [record_digest(record) for record in records]


def places(trials: list[StoredTrial]) -> list[str]:
    """Where each trial's training is."""
    return [trial.place.trajectory for trial in trials if trial.place]


def test_a_field_that_comes_later_changes_nothing_that_is_there(
    bench: Bench, sweep_of: SweepOf, tmp_path: Path
) -> None:
    """A later version with more fields everywhere trains nothing of a finished study again, and continues an open one
    under the same names. This version reads what it leaves: its trials, curves and starts. A study that sets a later
    field is listed here, kept completely by a clean-up, and not continued.
    """
    done, open_ = sweep_of({"lr": [0.1, 0.01]}, study="done"), sweep_of({"lr": [0.2, 0.02]}, study="open")
    bench.run(done)
    said = said_again(bench, done)
    run_until(bench, open_, lambda _: True)
    later = later_version(tmp_path / "later")
    asked = [sweep.model_dump(mode="json") for sweep in (done, open_)]
    asked.append({**sweep_of({"lr": [0.1]}, study="new").model_dump(mode="json"), "model": {"dropout": 0.5}})
    told = run_later(later, bench.workspace.root, asked)

    before = places(bench.storage().load("done").trials())
    assert told["done"] == [0, 2, before]
    assert told["open"][1] == 2
    assert told["new"][:2] == [3, 1]
    assert told["new"][2][0] not in before
    start = read_start(bench.workspace.study("done"))
    assert start is not None
    assert start.command == "deepcolor sweep x.yaml"
    assert said_again(bench, done) == said
    for sweep in (done, open_):
        trials = bench.storage().load(sweep.study).trials()
        assert places(trials) == told[sweep.study][2]
        assert all(len(read_history(TrajectoryPaths(bench.workspace.trajectories, p))) == 3 for p in places(trials))
        assert bench.run(sweep).trained_now == 0
    new = bench.storage().load("new")
    assert (new.unknown, [trial.state for trial in new.trials()]) == (("model.dropout",), ["complete"])
    garbage = find_garbage(bench.workspace, bench.storage(), keep=1, references=References())
    assert garbage.kept[told["new"][2][0]] == "unfinished"
    with pytest.raises(StudyError, match=r"later version of deepcolor.*model\.dropout"):
        bench.run(sweep_of({"lr": [0.1]}, study="new"))


def test_trials_whose_names_mean_other_numbers_now_keep_or_change_their_place(
    bench: Bench, sweep_of: SweepOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a version whose trainings give other numbers, a finished trial is read from where it is: its run shows its
    epochs, and a clean-up keeps the winner's weights. An open one starts over, and shows only the new numbers.
    """
    sweep = sweep_of({"lr": [0.01, 0.3, 0.1, 0.03, 0.003, 0.001], "epochs": [27]}, pruner={"name": "asha"})
    run_until(bench, sweep, lambda snapshot: snapshot.complete > 0)
    before = bench.storage().load("s").trials()
    finished = {trial.number: trial for trial in before if trial.finished}
    waiting = {trial.number: trial for trial in before if trial.reached and not trial.finished}
    assert finished
    assert waiting
    worse = 10.0
    old = formula.loss
    monkeypatch.setattr(trajectory, "FORMAT", trajectory.FORMAT + 1)
    monkeypatch.setattr(formula, "loss", lambda *at: old(*at) + worse)

    summary = bench.run(sweep)
    after = {trial.number: trial for trial in bench.storage().load("s").trials()}
    assert {number: after[number] for number in finished} == finished
    for number in waiting:
        assert places([after[number]]) != places([before[number]])
        assert after[number].started_ms == before[number].started_ms
        assert after[number].reached
        assert all(value > worse for value in after[number].reached.values())
    for number, trial in after.items():
        record = bench.memory.trials[number]
        assert isinstance(record, TrialRecord)
        assert trial.outcome is not None
        assert [row.epoch for row in record.history] == list(range(1, trial.outcome.view.end_epoch + 1))
        assert all((row.metrics["val/mse"] > worse) == (number not in finished) for row in record.history)
    assert said_again(bench, sweep) == [record_digest(record) for _, record in sorted(bench.memory.trials.items())]
    assert summary.best is not None
    assert summary.best.number in finished
    assert summary.best.outcome is not None
    remove(find_garbage(bench.workspace, bench.storage(), keep=1, references=References()))
    assert read_result(bench.workspace.trajectories / str(summary.best.outcome.result), PICTURE_METRICS) is not None
