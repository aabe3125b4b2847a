from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepcolor.coloring.base import PICTURE_METRICS
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError
from deepcolor.registry.references import References
from deepcolor.search.rules.ranking import ranked
from deepcolor.search.study.storage import StudyStorage
from deepcolor.search.upkeep.collection import Garbage, find_garbage, remove
from deepcolor.training.checkpoint import read_history, read_tensors, records
from deepcolor.training.result_files import read_result
from deepcolor.training.trajectory import TrajectoryPaths
from deepcolor.workspace import Workspace
from tests.search.conftest import Bench, Memory

Make = Callable[..., Sweep]
pytestmark = pytest.mark.usefixtures("no_pictures")
LRS = [0.3, 0.1, 0.03, 0.01, 0.003, 0.001]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one finished study of 12 trials on six trajectories."""
    root = tmp_path_factory.mktemp("finished")
    Bench(Workspace.at(root).create(), Memory()).run(_sweep())
    return root


def _sweep(**search: object) -> Sweep:
    space = {"lr": LRS, "epochs": [1, 2]}
    return Sweep.model_validate(
        {"study": "s", "stage": "regressor", "data": {"name": "x"}, "search": {"space": space, **search}}
    )


def found(workspace: Workspace, *, keep: int = 1, references: References | None = None) -> Garbage:
    """What can be removed."""
    return find_garbage(workspace, StudyStorage(workspace), keep=keep, references=references or References())


def collected(workspace: Workspace, *, keep: int = 1, references: References | None = None) -> Garbage:
    """Remove what can be removed, and return it."""
    garbage = found(workspace, keep=keep, references=references)
    remove(garbage)
    return garbage


def histories(workspace: Workspace) -> dict[str, int]:
    """Epochs of every trajectory."""
    store = workspace.trajectories
    return {folder.name: len(read_history(TrajectoryPaths(store, folder.name))) for folder in store.iterdir()}


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keep=st.integers(1, 4), registered=st.sets(st.integers(0, 11), max_size=3))
def test_whatever_is_referenced_still_loads(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, keep: int, registered: set[int]
) -> None:
    """For any registered and any best trials: their results and checkpoints load afterwards, all histories stay
    complete, the first search finds something unless every trajectory is referenced, and a second finds nothing.
    """
    root = tmp_path_factory.mktemp("collected") / "workspace"
    shutil.copytree(finished, root)
    workspace = Workspace.at(root)
    before = histories(workspace)
    size = sum(path.stat().st_size for path in workspace.trajectories.rglob("*") if path.is_file())
    references = References(trials=frozenset(("s", number) for number in registered))
    garbage = collected(workspace, keep=keep, references=references)

    trials = StudyStorage(workspace).load("s").trials()
    referenced = set()
    for trial in [*ranked(trials)[:keep], *(trials[number] for number in registered)]:
        assert trial.place is not None
        referenced.add(trial.place.trajectory)
        assert trial.outcome is not None
        paths = TrajectoryPaths(workspace.trajectories, trial.place.trajectory)
        assert read_result(workspace.trajectories / str(trial.outcome.result), PICTURE_METRICS) is not None
        assert all(read_tensors(paths, record) is not None for record in records(paths))
        assert next(records(paths)).epoch == 2
    assert histories(workspace) == before
    after = sum(path.stat().st_size for path in workspace.trajectories.rglob("*") if path.is_file())
    assert (garbage.bytes > 0) == (referenced < set(before))
    assert size - after == pytest.approx(garbage.bytes, abs=200 * len(before))
    assert found(workspace, keep=keep, references=references).items == ()
    shutil.rmtree(root)


def test_a_collected_study_trains_nothing_again(bench: Bench) -> None:
    """After a collection the sweep finds its study finished, with every trial and every curve as before."""
    bench.run(_sweep())
    before = (bench.storage().load("s").trials(), bench.memory.trials)
    sheets = [folder / "samples" / "e000001-w000001.webp" for folder in bench.workspace.trajectories.iterdir()]
    for sheet in sheets:
        sheet.parent.mkdir()
        sheet.write_bytes(b"RIFF")
    garbage = collected(bench.workspace)
    counts = {kind: count for kind, count in garbage.count_by_kind().items() if count}
    assert counts == {"checkpoints": 5, "results": 5, "samples": 5}
    assert sum(sheet.exists() for sheet in sheets) == len(sheets) - 5
    again = bench.run(_sweep())
    assert (again.complete, again.trained_now) == (12, 0)
    assert (bench.storage().load("s").trials(), bench.memory.trials) == before


def test_another_study_trains_again_what_was_collected(bench: Bench) -> None:
    """A new study that asks for a collected setting gets the same value, and a result that loads."""
    bench.run(_sweep())
    values = [trial.value for trial in bench.storage().load("s").trials()]
    collected(bench.workspace)
    bench.run(_sweep().model_copy(update={"study": "t"}))
    trials = bench.storage().load("t").trials()
    assert [trial.value for trial in trials] == values
    assert all(
        t.outcome and read_result(bench.workspace.trajectories / str(t.outcome.result), PICTURE_METRICS) for t in trials
    )


def test_an_unfinished_study_keeps_everything(bench: Bench) -> None:
    """As long as a study has trials to come, nothing of it can be removed."""
    sweep = _sweep(budget={"trials": 6})
    bench.run(sweep)
    assert found(bench.workspace).count_by_kind()["results"] > 0
    study = bench.storage().load("s")
    study.add({"lr": 0.001, "epochs": 2}, sweep.search)
    garbage = found(bench.workspace)
    assert garbage.items == ()
    assert set(garbage.kept.values()) == {"unfinished"}


def test_pinned_parents_stay(bench: Bench) -> None:
    """A trial that another study started from keeps its weights, however bad it is."""
    bench.run(_sweep())
    bench.run(_sweep().model_copy(update={"study": "t", "search": _sweep(space={"lr": [0.02]}).search}))
    worst = ranked(bench.storage().load("s").trials())[-1]
    pin = {"ref": f"study:s/t{worst.number:04d}", "sha256": "0" * 64, "folder": "00"}
    bench.storage().load("t").pin("study:s", pin)
    garbage = collected(bench.workspace)
    assert worst.place is not None
    assert worst.outcome is not None
    assert garbage.kept[worst.place.trajectory] == "pinned"
    assert read_result(bench.workspace.trajectories / str(worst.outcome.result), PICTURE_METRICS) is not None


def test_left_overs_go_when_they_are_old(bench: Bench) -> None:
    """Temporary files older than a day and trainings no study mentions are removed; newer and other files are kept."""
    bench.run(_sweep())
    store = bench.workspace.trajectories
    stray = store / ("f" * 32)
    (stray / "checkpoints").mkdir(parents=True)
    (stray / "checkpoints" / "e000001.json").write_text("{}")
    old, young = store / ".tmp-old-1234", bench.workspace.study("s") / ".tmp-young-1234"
    old.mkdir()
    (old / "part").write_bytes(b"x" * 1000)
    young.write_text("x")
    os.utime(old, (0, 0))
    garbage = collected(bench.workspace, keep=12)
    assert {(item.kind, item.path.name) for item in garbage.items} == {
        ("unmentioned", stray.name),
        ("temporary", old.name),
    }
    assert garbage.bytes_by_kind()["temporary"] == 1000
    assert (stray.exists(), old.exists(), young.exists()) == (False, False, True)
    assert len(histories(bench.workspace)) == 6


def test_logs_of_jobs_go_when_nobody_will_read_them(bench: Bench) -> None:
    """What a job of SLURM's said over thirty days ago goes; what it said lately stays."""
    folder = bench.workspace.job_logs
    folder.mkdir(parents=True)
    for name in ("old", "new"):
        (folder / f"{name}.log").write_text("it failed")
    os.utime(folder / "old.log", (0, 0))
    garbage = find_garbage(bench.workspace, StudyStorage(bench.workspace), keep=1, references=References())
    assert [(item.kind, item.path.name) for item in garbage.items] == [("logs", "old.log")]
    remove(garbage)
    assert [path.name for path in folder.iterdir()] == ["new.log"]


def test_without_a_database_nothing_is_judged(bench: Bench) -> None:
    """A store whose studies' database is gone is left alone, with a one-line error."""
    bench.run(_sweep())
    bench.workspace.optuna_db.rename(bench.workspace.studies / "elsewhere.db")
    with pytest.raises(StudyError, match="Restore it"):
        found(bench.workspace)


def test_weights_are_known_by_their_content(bench: Bench) -> None:
    """A version registered from elsewhere protects the training that holds the same weights."""
    bench.run(_sweep())
    worst = ranked(bench.storage().load("s").trials())[-1]
    assert worst.outcome is not None
    folder = bench.workspace.trajectories / str(worst.outcome.result)
    description = {"stage": "regressor", "model": {}, "size_px": 64, "deepcolor_version": "0", "trajectory": "t"}
    description |= {"epoch": 1, "data_digest": "d", "weights_sha256": "ab" * 32}
    (folder / "model.json").write_text(json.dumps(description))
    collected(bench.workspace, references=References(weights=frozenset({"ab" * 32})))
    assert read_result(folder, PICTURE_METRICS) is not None
