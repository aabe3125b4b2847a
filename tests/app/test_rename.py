from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deepcolor.app.delete import delete_study, plan_deletion
from deepcolor.app.gc import collect_garbage
from deepcolor.app.rename import rename_study
from deepcolor.app.report import report_of
from deepcolor.app.storage import copy_studies
from deepcolor.app.sync import sync_studies
from deepcolor.app.ui import find_pages
from deepcolor.cli import console
from deepcolor.cli.app import app
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError, UserError
from deepcolor.execution.serial import SerialExecutor
from deepcolor.registry.references import References
from deepcolor.search.study import renaming
from deepcolor.search.study.starts import Start, read_start, write_start
from deepcolor.search.study.storage import StudyStorage, owned
from deepcolor.search.upkeep.deletion import find_deletion
from deepcolor.service.queue import Queue
from deepcolor.service.record import ACTIVE, Submission
from deepcolor.service.renaming import rename as rename_unsubmitted
from deepcolor.sqlite import sqlite_url
from deepcolor.tracking import layout, store
from deepcolor.tracking.records import Provenance
from deepcolor.workspace import Workspace
from tests.cli.conftest import command, decoded  # noqa: F401  # a fixture
from tests.report.conftest import reported  # noqa: F401  # a fixture
from tests.reporting import Heard, draw_nothing
from tests.search.conftest import Bench, bench, no_pictures, on_both, sweep_of  # noqa: F401  # fixtures
from tests.search.trivial import trivial
from tests.shared import copied

Make = Callable[..., Sweep]


def rename(bench: Bench, study: str, new: str) -> str:  # noqa: F811
    """Rename a study and return its name."""
    return rename_study(bench.workspace, study, new, tracking_uri=bench.workspace.mlflow_uri).study


def drawn_in(bench: Bench, study: str) -> list[tuple[Any, ...]]:  # noqa: F811
    """What there is to say of each trial of a study."""
    trials = bench.storage().load(study).trials()
    return [(trial.number, trial.state, trial.params, trial.value) for trial in trials]


@on_both
def test_a_renamed_study_goes_on_as_if_it_had_always_been_called_so(
    bench: Bench,  # noqa: F811
    sweep_of: Make,  # noqa: F811
    no_pictures: None,  # noqa: F811
) -> None:
    """Stopped in the middle, renamed and gone on with, it draws the trials that it would have drawn, trains nothing
    twice, and has one folder, that of its name; the name that it had finds it, and begins nothing else. While somebody
    is at work under one of the two names, nothing is renamed.
    """
    space = {"lr": {"low": 1e-4, "high": 0.3, "log": True}}
    asked = {"sampler": "tpe", "trials": 14}
    bench.run(sweep_of(space, study="never", **asked))
    sweep = sweep_of(space, study="before", **asked)
    executor = SerialExecutor(trivial)
    with owned(bench.workspace, "before"):
        driver = bench.driver(sweep, executor)
        bench.memory.update = lambda shown: driver.request_stop() if shown.complete >= 6 else None  # type: ignore[method-assign,assignment]
        driver.run()
    executor.close()
    del bench.memory.update
    begun = drawn_in(bench, "before")
    (bench.workspace.study("before") / "parents" / "00").mkdir(parents=True)
    for driven in ("before", "after"):
        with owned(bench.workspace, driven), pytest.raises(StudyError, match=f"'{driven}' is already being run"):
            rename(bench, "before", "after")

    assert rename(bench, "before", "after") == "after"
    assert drawn_in(bench, "before") == drawn_in(bench, "after") == begun
    assert bench.storage().load("before").name == "after"
    assert sorted(bench.storage().names()) == ["after", "never"]
    assert not bench.workspace.study("before").exists()
    assert (bench.workspace.study("after") / "parents" / "00").is_dir()
    with pytest.raises(StudyError, match=r"'before' is called 'after' now\. .* -o study=after"):
        bench.run(sweep)
    done = bench.run(sweep_of(space, study="after", **asked))
    assert (done.complete, done.trained_now) == (14, 0)
    assert drawn_in(bench, "after") == drawn_in(bench, "never")
    assert not bench.workspace.study("before").exists()


def test_what_refers_to_a_former_name_still_means_the_study(
    bench: Bench,  # noqa: F811
    sweep_of: Make,  # noqa: F811
    no_pictures: None,  # noqa: F811
) -> None:
    """A sweep that learns from it, or begins with its best, finds it by a former name and learns nothing twice; what a
    registered version or pinned weights came from is kept, and a study that is needed is not deleted.
    """
    bench.run(sweep_of({"lr": [0.1, 0.01]}, study="first"))
    learns = sweep_of({"lr": [0.2]}, study="learns", sampler="tpe", trials=1, warm_start=["first"])
    bench.run(learns)
    learnt = bench.storage().load("learns").foreign
    rename(bench, "first", "second")
    rename(bench, "second", "third")
    bench.run(learns)
    assert bench.storage().load("learns").foreign == learnt
    begins = sweep_of({"lr": [0.1, 0.01, 0.3]}, study="begins", sampler="tpe", trials=3, first="study:first#1")
    bench.run(begins)
    assert bench.storage().load("begins").trials()[0].params == {"lr": 0.01}

    uri = bench.workspace.mlflow_uri
    with pytest.raises(StudyError, match="'third' must not be needed to continue another one; got learns"):
        plan_deletion(bench.workspace, "second", tracking_uri=uri)
    delete_study(bench.workspace, "learns", tracking_uri=uri)
    references = References(trials=frozenset({("second", 0)}))
    found = find_deletion(bench.workspace, bench.storage(), "first", also=(), references=references)
    assert list(found.kept.values()).count("registered") == 1
    assert collect_garbage(bench.workspace, uri, keep=1, removing=False).garbage.count_by_kind()["unmentioned"] == 0
    delete_study(bench.workspace, "first", tracking_uri=uri)
    assert bench.storage().names() == ["begins"]
    assert not bench.workspace.study("third").exists()
    assert bench.run(sweep_of({"lr": [0.1]}, study="second")).complete == 1


def test_names_that_a_study_cannot_get(bench: Bench, sweep_of: Make, no_pictures: None) -> None:  # noqa: F811
    """Refused with a line that says why: its own, another study's, one that another study had, a folder's, what is no
    name, and one of no study at all. It may get back one that it had.
    """
    bench.run(sweep_of(study="mine"))
    bench.run(sweep_of(study="theirs"))
    rename(bench, "theirs", "others")
    (bench.workspace.studies / "taken").mkdir()
    (bench.workspace.studies / "taken" / "start.json").touch()
    before = bench.storage().load("mine").trials()
    for new, why in {
        "mine": "must be another one than now; got 'mine'",
        "others": "'others' must be free; got a study that has it",
        "theirs": "'theirs' must be free; got one that 'others' had",
        "taken": "'taken' must be free; got a folder of that name",
        "no/name": "must be 1 to 100 letters",
        "datasets": "is the name of a folder that deepcolor itself uses",
    }.items():
        with pytest.raises(UserError, match=why):
            rename(bench, "mine", new)
    with pytest.raises(StudyError, match=r"'mime' is not in .* mine"):
        rename(bench, "mime", "new")
    assert sorted(bench.storage().names()) == ["mine", "others"]
    assert bench.storage().load("mine").trials() == before
    assert sorted(path.name for path in bench.workspace.studies.glob("[a-z]*/")) == [
        "mine",
        "others",
        "taken",
        "trajectories",
    ]
    rename(bench, "mine", "new")
    assert rename(bench, "new", "mine") == "mine"
    assert bench.storage().load("mine").names == ("mine", "new")
    assert bench.storage().load("new").trials() == before


@on_both
def test_a_folder_that_has_yet_to_follow_does(
    bench: Bench,  # noqa: F811
    sweep_of: Make,  # noqa: F811
    no_pictures: None,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where its folder could not be moved, whoever opens the study next moves it: who looks at it, who goes on with it,
    who renames it once more, and not before a driver of it has ended.
    """
    for number, opens in enumerate(("look", "sweep", "rename")):
        name, new = f"s{number}", f"n{number}"
        bench.run(sweep_of(study=name))
        (bench.workspace.study(name) / "failures").mkdir()

        def cut(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(renaming, "move_folder", cut)
            with pytest.raises(KeyboardInterrupt):
                rename(bench, name, new)
        assert (bench.workspace.study(name) / "failures").is_dir()
        with owned(bench.workspace, new):
            assert bench.storage().load(name).name == new
            assert (bench.workspace.study(name) / "failures").is_dir()
        match opens:
            case "look":
                assert bench.storage().load(new).name == new
            case "sweep":
                assert bench.run(sweep_of(study=new)).trained_now == 0
            case _:
                assert rename(bench, name, new) == new
        assert (bench.workspace.study(new) / "failures").is_dir()
        assert not bench.workspace.study(name).exists()


def test_a_folder_follows_entry_by_entry(tmp_path: Path) -> None:
    """What is in the new folder by now is newer, and stays; a pipeline of the former name keeps its own files, and a
    sweep's line says the name.
    """
    workspace = Workspace.at(tmp_path).create()
    old, new = workspace.study("old"), workspace.study("new")
    for file, text in {
        old / "report" / "a.png": "old",
        old / "report" / "b.png": "old",
        new / "report" / "b.png": "new",
        old / "failures": "old",
        new / "failures" / "t0000.txt": "new",
        old / "pipeline.json": "its own",
        old / ".driver.lock": "",
    }.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    line = "deepcolor sweep a.yaml -o study=old --override=study=old -o lr=0.1 -ostudy=x --quiet"
    write_start(old, Start(Provenance("d", "photos", "c"), line, workers=3))
    for _ in range(2):
        renaming.move_folder(workspace, "old", "new")
    assert {path.name for path in old.iterdir()} == {"pipeline.json", ".driver.lock"}
    texts = {str(path.relative_to(new)): path.read_text() for path in new.rglob("*") if path.suffix in (".png", ".txt")}
    assert texts == {"report/a.png": "old", "report/b.png": "new", "failures/t0000.txt": "new"}
    start = read_start(new)
    assert start is not None
    assert (start.command, start.workers) == ("deepcolor sweep a.yaml -o lr=0.1 --quiet -o study=new", 3)


def test_studies_with_former_names_are_copied(bench: Bench, sweep_of: Make, no_pictures: None) -> None:  # noqa: F811
    """A copy is found by every name, too; none is made where another study would be found by one of them. A study that
    another database still has by its former name is deleted here alone.
    """
    bench.run(sweep_of(study="a"))
    other, third = bench.workspace.root / "other.db", bench.workspace.root / "third.db"
    own = str(bench.workspace.optuna_db)
    assert copy_studies(bench.workspace, own, str(other)).copied == ("a",)
    rename(bench, "a", "b")
    with pytest.raises(StudyError, match=r"'b' must not be mistaken for another one .* found by the name 'a'"):
        copy_studies(bench.workspace, own, str(other))
    assert copy_studies(bench.workspace, own, str(third)).copied == ("b",)
    assert copy_studies(bench.workspace, own, str(third)).there == ("b",)
    assert StudyStorage(replace(bench.workspace, named_storage=sqlite_url(third))).load("a").name == "b"
    storages = [StudyStorage(replace(bench.workspace, named_storage=sqlite_url(file))) for file in (other, third)]
    for also in storages:
        found = find_deletion(bench.workspace, bench.storage(), "b", also=[also], references=References())
        assert (found.elsewhere, found.folder_bytes) == (True, 0)


def test_a_study_in_the_service_keeps_its_name(bench: Bench, sweep_of: Make, no_pictures: None) -> None:  # noqa: F811
    """While a submission of it, or of the new name, has yet to end it is not renamed; afterwards what was submitted is
    listed with the study as it is called now, and nothing is submitted under a name that it had.
    """
    bench.run(sweep_of(study="a"))
    queue, uri = Queue(bench.workspace), bench.workspace.mlflow_uri
    one = queue.add(Submission("1", "sweep", "a", ("a",), "ann", text=""))
    for state in sorted(ACTIVE):
        queue.change(one.id, partial(replace, state=state))
        with pytest.raises(StudyError, match=rf"got it {state} there, submitted by ann.* deepcolor cancel a"):
            rename_unsubmitted(bench.workspace, "a", "b", tracking_uri=uri)
    queue.change(one.id, lambda now: replace(now, state="done"))
    rename_unsubmitted(bench.workspace, "a", "b", tracking_uri=uri)
    where = ("--workspace", str(bench.workspace.root))
    listed = json.loads(CliRunner().invoke(app, ["studies", "--json", *where], catch_exceptions=False).stdout)
    assert [(each["study"], each["submission"]["state"]) for each in listed] == [("b", "done")]
    file = bench.workspace.root / "a.yaml"
    file.write_text("{study: a, stage: regressor, data: {name: faces}, search: {space: {lr: [0.1]}}}")
    with pytest.raises(StudyError, match="'a' is called 'b' now"):
        CliRunner().invoke(app, ["submit", str(file), *where], catch_exceptions=False)


@pytest.fixture
def whole(reported: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:  # noqa: F811
    """A pipeline's studies, of each of which a version is registered; `painted` is what `moved` started from."""
    copied(reported.root, tmp_path / "whole")
    draw_nothing(monkeypatch.setattr)
    return Workspace.at(tmp_path / "whole")


_OF_THE_PARENT = {layout.NOTE, layout.COMMAND, layout.STORED_DIGEST, "mlflow.runName"}


def test_mlflow_follows(whole: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same runs, with nothing but their study's name changed, are those of the study; a run that somebody has
    named keeps that. So do the registered version, its description and its logged model. Commands find the study by
    either name, the pipeline's report too; another pipeline with the former name does not begin; and deleting it is
    refused for the version that was trained from it.
    """
    sync_studies(whole, whole.mlflow_uri)  # What the runs are compared with holds paths, which are others in a copy.
    client = store.open_client(whole.mlflow_uri)
    experiment = client.get_experiment_by_name(layout.experiment_name("colorizer"))
    assert experiment is not None

    def runs() -> dict[str, Any]:
        found = client.search_runs([experiment.experiment_id])
        return {run.info.run_id: run for run in found if run.data.tags[layout.STUDY_ID].startswith("painted-")}

    before = runs()
    (version,) = client.search_model_versions("name = 'deepcolor-colorizer'")
    description = str(version.description).replace("of study **painted**", "of study **portraits**")
    told = command(whole.root, "rename", "painted", "portraits")
    assert (told["study"], told["before"], told["names"]) == ("portraits", "painted", ["painted", "portraits"])
    assert told["runs"] == {"updated": len(before), "unchanged": 0}
    after = runs()
    assert after.keys() == before.keys()
    for run_id, run in after.items():
        tags, old = run.data.tags, before[run_id].data.tags
        changed = {name for name in tags.keys() | old.keys() if tags.get(name) != old.get(name)}
        own = _OF_THE_PARENT if tags[layout.KIND] == "study" else set()
        assert {layout.STUDY} <= changed <= {layout.STUDY, *own}
        assert tags[layout.STUDY] == "portraits"
        assert run.info.run_name == ("portraits" if own else before[run_id].info.run_name)
        assert (run.data.metrics, run.data.params) == (before[run_id].data.metrics, before[run_id].data.params)
    (now,) = client.search_model_versions("name = 'deepcolor-colorizer'")
    assert (now.tags[layout.STUDY], now.description) == ("portraits", description)
    assert "portraits" in description
    (logged,) = client.search_logged_models([experiment.experiment_id])
    assert logged.tags[layout.STUDY] == "portraits"
    kept = client.get_experiment(experiment.experiment_id).tags
    views = [json.loads(value)["name"] for name, value in kept.items() if "painted-" in name]
    assert views
    assert all(name.startswith("portraits: ") for name in views)

    monkeypatch.setattr(console, "settings", console.Settings())  # With --json nothing is said beside it.
    shown = CliRunner().invoke(app, ["show", "painted#0", "--workspace", str(whole.root)], catch_exceptions=False)
    assert "painted is called portraits now" in shown.stderr
    assert shown.stdout.startswith("portraits#0")
    assert command(whole.root, "studies", "painted")["study"] == "portraits"
    pipeline = json.loads(report_of(whole, ["whole"], form="json"))
    assert [each["study"] for each in pipeline["studies"]] == ["portraits", "moved"]
    assert "portraits" in pipeline["test"]
    sweeps = "".join(
        f"  - {{study: {name}, stage: colorizer, data: {{name: nowhere}}, search: {{space: {{lr: [0.1]}}}}}}\n"
        for name in ("first", "painted")
    )
    (whole.root / "again.yaml").write_text(f"pipeline: again\nsweeps:\n{sweeps}")
    words = ["pipeline", str(whole.root / "again.yaml"), "--workspace", str(whole.root)]
    refused = CliRunner().invoke(app, words)  # Before it looks for the data of the first.
    assert "'painted' is called 'portraits' now" in str(refused.exception)
    assert command(whole.root, "promote", "painted", "--force")["version"] == "colorizer@1"
    assert command(whole.root, "sync", "painted")["updated"] == 0
    with pytest.raises(StudyError, match="'portraits' must not hold what a registered version was trained from"):
        plan_deletion(whole, "painted", tracking_uri=whole.mlflow_uri)


def _links_to(workspace: Workspace, study: str) -> Mapping[str, str]:
    return find_pages(workspace, workspace.mlflow_uri, study=study, port=0).studies


def test_mlflow_that_is_away_follows_later(whole: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without MLflow the study is renamed, with a warning that names the command that brings its runs up to date; until
    then links and promotions find them by what the study is called for good. In a store without runs none are made.
    """
    away, empty = "http://127.0.0.1:9", whole.root / "elsewhere.db"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    heard = Heard()
    assert rename_study(whole, "painted", "portraits", tracking_uri=away, reporter=heard).runs is None
    assert ["deepcolor sync portraits brings that there" in line for line in heard.warnings] == [True]
    rename_study(whole, "painted", "portraits", tracking_uri=sqlite_url(empty), reporter=heard)
    assert ("no runs of it in" in heard.notes[-1], empty.exists()) == (True, False)
    assert list(_links_to(whole, "portraits")) == ["portraits"]
    assert command(whole.root, "promote", "portraits", "--trial", "0", "--force")["version"] == "colorizer@2"
    updated = command(whole.root, "sync", "portraits")
    assert (updated["made"], updated["updated"] > 0) == (0, True)
    assert list(_links_to(whole, "painted")) == ["portraits"]
    assert command(whole.root, "rename", "painted", "portraits")["runs"]["updated"] == 0
