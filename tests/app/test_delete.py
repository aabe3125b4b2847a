from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow.entities import ViewType
from typer.testing import CliRunner

from deepcolor.app.delete import delete_study, plan_deletion
from deepcolor.app.gc import collect_garbage
from deepcolor.cli.app import app
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError, UserError
from deepcolor.registry.references import References
from deepcolor.search.study.storage import StudyStorage, owned
from deepcolor.search.upkeep import deletion
from deepcolor.search.upkeep.collection import remove_folder
from deepcolor.search.upkeep.deletion import find_deletion
from deepcolor.tracking import layout, store
from deepcolor.workspace import Workspace
from tests.cli.conftest import command, decoded  # noqa: F401  # a fixture
from tests.report.conftest import reported  # noqa: F401  # a fixture
from tests.search.conftest import Bench, bench, no_pictures, on_both, sweep_of  # noqa: F401  # fixtures
from tests.shared import copied

Make = Callable[..., Sweep]


def digests(bench: Bench, study: str) -> set[str]:  # noqa: F811
    """The trajectories that a study mentions."""
    return {trial.place.trajectory for trial in bench.storage().load(study).trials() if trial.place}


def stored(workspace: Workspace) -> set[str]:
    """The trajectories that there are."""
    return {folder.name for folder in workspace.trajectories.iterdir()}


@on_both
def test_a_study_goes_with_what_it_alone_needs(bench: Bench, sweep_of: Make, no_pictures: None) -> None:  # noqa: F811
    """Its trials, its folder and its trainings go, but for those that another study shares; that one is as before. A
    plan changes nothing, and one study that another learns from is refused.
    """
    bench.run(sweep_of({"lr": [0.1, 0.01]}, study="mine"))
    bench.run(sweep_of({"lr": [0.1, 0.001]}, study="theirs"))
    mine, theirs = digests(bench, "mine"), digests(bench, "theirs")
    before = bench.storage().load("theirs").trials()
    uri = bench.workspace.mlflow_uri

    planned = plan_deletion(bench.workspace, "mine", tracking_uri=uri)
    assert stored(bench.workspace) == mine | theirs
    assert (planned.files.trials, set(planned.files.trajectories)) == (2, mine - theirs)
    assert dict(planned.files.kept) == dict.fromkeys(mine & theirs, "shared")
    delete_study(bench.workspace, "mine", tracking_uri=uri, planned=planned)
    assert stored(bench.workspace) == theirs
    assert bench.storage().names() == ["theirs"]
    assert not bench.workspace.study("mine").exists()
    assert bench.storage().load("theirs").trials() == before

    bench.run(sweep_of({"lr": [0.2]}, study="after", sampler="tpe", trials=1, warm_start=["theirs"]))
    with pytest.raises(StudyError, match="needed to continue another one; got after"):
        plan_deletion(bench.workspace, "theirs", tracking_uri=uri)
    assert bench.run(sweep_of({"lr": [0.1, 0.01]}, study="mine")).complete == 2


@on_both
def test_a_deletion_that_is_interrupted_is_continued(
    bench: Bench,  # noqa: F811
    sweep_of: Make,  # noqa: F811
    no_pictures: None,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever it ends, between any two removals, the same call removes the rest; until then the study is listed."""
    uri, removing = bench.workspace.mlflow_uri, remove_folder
    for last in (0, 2, 9):
        bench.run(sweep_of({"lr": [0.1, 0.01, 0.001]}))
        removed: list[Path] = []

        def until(folder: Path, *, last: int = last, removed: list[Path] = removed) -> None:
            if len(removed) == last:
                raise KeyboardInterrupt
            removed.append(folder)
            removing(folder)

        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(deletion, "remove_folder", until)
            delete_study(bench.workspace, "s", tracking_uri=uri)
        assert bench.storage().names() == (["s"] if last < 3 else [])
        if bench.storage().names():
            delete_study(bench.workspace, "s", tracking_uri=uri)
        assert (stored(bench.workspace), bench.storage().names()) == (set(), [])
        assert not bench.workspace.study("s").exists()


@on_both
def test_a_study_at_work_is_not_deleted(bench: Bench, sweep_of: Make, no_pictures: None) -> None:  # noqa: F811
    """While a driver owns it, or another study, nothing is removed, and the message says who is at work."""
    bench.run(sweep_of())
    uri = bench.workspace.mlflow_uri
    planned = plan_deletion(bench.workspace, "s", tracking_uri=uri)
    with owned(bench.workspace, "s"), pytest.raises(StudyError, match="must not be running"):
        plan_deletion(bench.workspace, "s", tracking_uri=uri)
    for at_work in ("s", "another"):
        with owned(bench.workspace, at_work), pytest.raises(StudyError, match=at_work):
            delete_study(bench.workspace, "s", tracking_uri=uri, planned=planned)
    assert len(bench.storage().load("s").trials()) == 3
    assert stored(bench.workspace) == digests(bench, "s")


def test_what_a_registered_version_came_from_stays(bench: Bench, sweep_of: Make, no_pictures: None) -> None:  # noqa: F811
    """Of any trial that a registry refers to, the training is not among what goes."""
    bench.run(sweep_of())
    trials = bench.storage().load("s").trials()
    for trial in trials:
        references = References(trials=frozenset({("s", trial.number)}))
        found = find_deletion(bench.workspace, bench.storage(), "s", also=(), references=references)
        assert trial.place is not None
        assert dict(found.kept) == {trial.place.trajectory: "registered"}
        assert len(found.trajectories) == len(trials) - 1


@pytest.fixture
def whole(reported: Workspace, tmp_path: Path) -> Workspace:  # noqa: F811
    """A pipeline's studies, of each of which a version is registered; `painted` is what `moved` started from."""
    copied(reported.root, tmp_path / "whole")
    return Workspace.at(tmp_path / "whole")


def test_runs_are_deleted_as_mlflow_deletes(whole: Workspace) -> None:
    """The runs of a study can be restored; that of a registered version stays with its parent, as do the version, its
    training, and what a clean-up keeps of it. What a version was trained from is not deleted at all.
    """
    with pytest.raises(StudyError, match="what a registered version was trained from; got transfer@1"):
        plan_deletion(whole, "painted", tracking_uri=whole.mlflow_uri)
    client = store.open_client(whole.mlflow_uri)
    (version,) = client.search_model_versions("name = 'deepcolor-transfer'")
    experiment = client.get_experiment_by_name(layout.experiment_name("transfer"))
    assert experiment is not None
    assert version.run_id is not None
    spare = client.create_run(experiment.experiment_id, tags=dict(client.get_run(version.run_id).data.tags)).info.run_id
    client.delete_tag(spare, layout.REGISTERED_AS)

    told = command(whole.root, "delete", "moved", "--yes")
    assert (told["removed"], told["versions"], told["runs"]) == (True, ["transfer@1"], {"deleted": 1, "kept": 2})
    active = {run.info.run_id for run in client.search_runs([experiment.experiment_id])}
    assert version.run_id in active
    assert spare not in active
    gone = client.search_runs([experiment.experiment_id], run_view_type=ViewType.DELETED_ONLY)
    assert [run.info.run_id for run in gone] == [spare]
    client.restore_run(spare)
    assert StudyStorage(whole).names() == ["painted"]
    kept = collect_garbage(whole, whole.mlflow_uri, keep=5, removing=False).garbage
    assert told["trainings"] == {"removed": 0, "kept": {"registered": 1}}
    assert list(kept.kept.values()).count("registered") == 2


def test_deleting_asks_first(bench: Bench, sweep_of: Make, no_pictures: None) -> None:  # noqa: F811
    """Without a terminal, and without --yes, nothing is removed; --dry-run says what would be."""
    bench.run(sweep_of())
    where = ("--workspace", str(bench.workspace.root))
    with pytest.raises(UserError, match="deepcolor delete s --yes"):
        CliRunner().invoke(app, ["delete", "s", *where], catch_exceptions=False)
    shown = CliRunner().invoke(app, ["delete", "s", "--dry-run", *where], catch_exceptions=False).stdout
    assert "nothing was removed" in shown
    assert len(bench.storage().load("s").trials()) == 3
    with pytest.raises(StudyError, match="is not in"):
        CliRunner().invoke(app, ["delete", "t", "--yes", *where], catch_exceptions=False)
    assert not bench.workspace.study("t").exists()
