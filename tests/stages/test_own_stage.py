"""A stage of a user's own: what is asked of it, what it is refused for, and what its models carry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

import deepcolor
from deepcolor.app.data import data_of
from deepcolor.config.load import load_sweep
from deepcolor.errors import CodeError, ConfigError, DataError, ModelError
from deepcolor.models.saved import open_saved
from deepcolor.registry.names import parse_ref
from deepcolor.stages.finding import label_of
from deepcolor.training.advance import advance
from deepcolor.training.trajectory import Segment, Trajectory
from deepcolor.workspace import Workspace
from tests.cli.conftest import Cli, mlflow_database  # noqa: F401  # a fixture

FORMULA = (Path(__file__).parent / "formula.py").read_text()
SWEEP = """
study: near
stage: own.py:MyFormula
data: {wanted: 7}
training: {epochs: 4, early_stopping: false}
search:
  objective: val/far
  watch: [val/near]
  space:
    pull: [0.1, 0.5]
    start: {low: 0.0, high: 2.0, step: 1.0}
"""


@pytest.fixture
def cli(tmp_path: Path, mlflow_database: None) -> Cli:  # noqa: F811
    """A workspace with the stage and a sweep of it."""
    made = Cli(tmp_path)
    made.write("own.py", FORMULA)
    made.write("near.yaml", SWEEP)
    return made


def segment(root: Path, text: str = SWEEP, **changed: object) -> Segment:
    """The sweep's first training."""
    (root / "near.yaml").write_text(text)
    sweep = load_sweep(root / "near.yaml")
    trajectory = Trajectory(sweep.setting({"pull": 0.5, "start": 0.0}), data_digest="d", objective=sweep.objective)
    return Segment(trajectory, to_epoch=4, patience=None, store=root / "store", cache=root, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("metrics = {", "measures = {", "stage: MyFormula.metrics must name what is measured after an epoch"),
        (
            '"maximize"}\n    final',
            '"up"}\n    final',
            "stage: MyFormula.metrics must say minimize, maximize or Nearest(VALUE) of val/near; got 'up'",
        ),
        ("start: float", "pull: float", "stage: MyFormula: a field must stand in one section alone"),
        (
            "class Training(TrainingSection)",
            "class Training(ModelSection)",
            "stage: MyFormula.training must be a subclass of TrainingSection",
        ),
        (
            "class MyFormula(Stage)",
            "class MyFormula",
            "stage: own.py:MyFormula must be a subclass of deepcolor.stages.Stage; got MyFormula",
        ),
        ("class MyFormula", "class Another", "stage: own.py must define MyFormula; got"),
        ("import numpy as np", "import numpie as np", "stage: own.py must be importable; got ModuleNotFoundError"),
    ],
)
def test_a_stage_that_breaks_the_contract_is_refused_where_it_is_named(
    cli: Cli, old: str, new: str, problem: str
) -> None:
    """In one line, with the sweep's key, before anything is trained."""
    assert old in FORMULA
    cli.write("own.py", FORMULA.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_sweep(cli.workspace / "near.yaml")
    assert str(caught.value).startswith(problem)
    assert "near.yaml, stage)" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("pull: [0.1, 0.5]", "pull: [0.1, 1.5]", "pull: must be at most 1; got 1.5"),
        ("pull: [0.1, 0.5]", "lr: [0.1, 0.5]", "lr: unknown key"),
        (
            "{wanted: 7}",
            "{wonted: 7}",
            "wonted: unknown key ({0}, data.wonted). Did you mean wanted? Allowed: name, wanted.",
        ),
        ("{epochs: 4,", "{start: 4,", "start: unknown key ({0}, training.start). start belongs under model."),
        ("val/far", "val/mse", "objective: must be what a my_formula measures after every epoch; got 'val/mse'"),
        (
            "early_stopping: false}",
            "early_stopping: false}\ninit: {init_from: colorizer@1}",
            "init_from: a my_formula starts from no other model",
        ),
    ],
)
def test_a_sweep_of_it_is_checked_by_its_sections(cli: Cli, old: str, new: str, problem: str) -> None:
    """Keys, values and metrics are those of the stage, and refused with the nearest of them."""
    file = cli.write("near.yaml", SWEEP.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_sweep(file)
    assert str(caught.value).startswith(problem.format(file))


def test_a_file_that_a_stage_cannot_read_is_named_with_its_key(cli: Cli) -> None:
    """Whether it reads the file itself or asks for its digest: key, file, study and stage, in a line."""
    for reading in ("(root / data.file).read_text()", "digest_of_files([root / data.file])"):
        stage = FORMULA.replace("    wanted: float", '    file: str = "no.csv"\n    wanted: float')
        stage += f"\n    @classmethod\n    def data_digest(cls, data, *, root):\n        return {reading}\n"
        stage = stage.replace("from deepcolor.stages import ", "from deepcolor.stages import digest_of_files, ")
        cli.write("own.py", stage)
        with pytest.raises(DataError) as caught:
            data_of(Workspace.at(cli.workspace), load_sweep(cli.workspace / "near.yaml"))
        missing = f"got no such file or directory: {cli.workspace}/no.csv (study near, stage my_formula)"
        assert str(caught.value).startswith(f"data.file: must be a file that can be read; {missing}")
        assert "\n" not in str(caught.value)


def test_a_label_is_a_name_for_registries() -> None:
    """Whatever the class is called, its label is small letters, digits and underscores, and a reference can hold it."""
    named = {
        "a.py:MyStage": "my_stage",
        "p.q:HTTPFit2": "http_fit2",
        "colorizer": "colorizer",
        "x.py:_": "stage",
        "x.py:Lock": "lock_stage",
    }
    assert {name: label_of(name) for name in named} == named
    assert parse_ref("my_stage-fruits@champion").line.registered_name == "deepcolor-my_stage-fruits"


def test_a_training_is_the_same_wherever_it_was_cut(cli: Cli, tmp_path: Path) -> None:
    """One epoch at a time, each in a new session from a checkpoint, gives what four in a row give."""
    whole = advance(segment(tmp_path))
    for epoch in (1, 2, 3, 4):
        cut = advance(Segment(**{**vars(segment(tmp_path)), "to_epoch": epoch, "store": tmp_path / "cut"}))
    assert [row.metrics for row in cut.history] == [row.metrics for row in whole.history]
    assert whole.result is not None
    assert cut.result is not None
    files = {"model.safetensors", "model.json", "metrics.json", "loss.png", "note.txt", "code"}
    assert {path.name for path in whole.result.iterdir()} == files
    for name in ("model.safetensors", "model.json", "note.txt"):
        assert (whole.result / name).read_bytes() == (cut.result / name).read_bytes()
    assert whole.metrics["x"] == pytest.approx(7, abs=0.5)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            '{"val/far": abs',
            '{"val/fur": abs',
            "MyFormula.train_epoch must return the stage's metrics, val/far, val/near; got val/fur",
        ),
        (
            '{"x": np.array(self.x)}',
            '{"x": self.x}',
            "must be arrays of numbers, NumPy's or torch's, by name; got float under 'x'",
        ),
        ('return {"val/far": abs', '{"val/far": abs', "Nearer.train_epoch must return numbers by name; got NoneType"),
        ('"val/near": -abs(self.job.data.wanted - self.x)', '"val/near": "1"', "got '1' under 'val/near'"),
        (
            "np.array(self.x)",
            "np.array([self])",
            "must be arrays of numbers, NumPy's or torch's, by name; got array of obj",
        ),
        (
            "    def state(self)",
            "    def stat(self)",
            "the session of MyFormula must have all of its methods; got Can't in",
        ),
        (
            '{"note.txt": label.encode()}',
            '{"note.txt": label}',
            "whose files are bytes by name; got str under 'note.txt'",
        ),
        ('Result({"x"', 'Result({"y"', "must finish with the stage's final metrics, x, finite numbers; got y=6.5"),
    ],
)
def test_a_session_that_breaks_its_word_fails_its_trial_in_a_line(
    cli: Cli, tmp_path: Path, old: str, new: str, problem: str
) -> None:
    """What it returns is checked where it returns it, and named."""
    assert old in FORMULA
    cli.write("own.py", FORMULA.replace(old, new))
    with pytest.raises(CodeError) as caught:
        advance(segment(tmp_path))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_searched_promoted_and_pulled_with_its_code(cli: Cli) -> None:
    """Its winner is registered and pulled with its code; other code than was registered is never run. With the code
    lost, the study is listed and shown; to go on with it is refused in a line that names the code.
    """
    summary = json.loads(cli.run("sweep", "near.yaml", "--executor", "serial", "--json").stdout)
    assert (summary["complete"], summary["failed"]) == (6, 0)
    assert summary["best"]["params"] == {"pull": 0.5, "start": 2.0}
    (cli.workspace / "own.py").unlink()
    board = cli.run("studies", "near").stdout
    assert "val/near" in board
    assert " x " in board
    assert "my_formula  numbers" in cli.run("studies").stdout

    promoted = cli.run("promote", "near", "--json")
    assert "running code" not in promoted.stderr, "its own code, which the process has imported to read the study"
    told = json.loads(promoted.stdout)
    assert (told["version"], told["verdict"]) == ("my_formula@1", "first")
    assert told["test"]["baseline_distance"] == pytest.approx(7 * 1.045)
    (run,) = MlflowClient(f"sqlite:///{cli.workspace}/mlruns/mlflow.db").search_runs(
        [experiment_of(cli)], "tags.`deepcolor.registered_as` = 'my_formula@1'"
    )
    assert json.loads(run.data.tags["deepcolor.code"]).keys() == {"own.py"}
    assert run.data.metrics["x"] == pytest.approx(7, abs=0.5)
    assert "my_formula@1" in cli.run("models", "my_formula").stdout
    cli.run("pull", "my_formula@champion", "-o", "pulled")
    pulled = cli.workspace / "pulled"
    (code,) = pulled.glob("code/*/own.py")
    assert code.read_text() == FORMULA
    assert "brings code of its own (`own.py`)" in (pulled / "README.md").read_text()

    (code,) = pulled.glob("code/*/own.py")
    code.write_text(FORMULA + "\nraise SystemExit('run')\n")
    with pytest.raises(ModelError, match=r"the code own.py must be what it was, SHA-256 .* It is not run"):
        open_saved(pulled)
    code.unlink()
    with pytest.raises(ModelError, match=r"it needs the code own.py, which must be in its folder"):
        open_saved(pulled)
    for kept in (cli.workspace / "mlruns").rglob("artifacts/model/artifacts/model/code/*/own.py"):
        kept.write_text(FORMULA + "\n# another\n")
    assert "must be what it was registered with" in cli.run("pull", "my_formula@1", "-o", "again", code=1).stderr

    cli.run("studies", "near", "--write-sweep", "again.yaml")
    shutil.rmtree(Workspace.at(cli.workspace).code)
    assert "my_formula  numbers" in cli.run("studies").stdout
    said = cli.run("sweep", "again.yaml", code=2).stderr
    assert "own.py must be in the workspace as it was when the study began" in said
    assert said.count("\n") == 1


def test_while_it_is_written_its_file_may_change(cli: Cli) -> None:
    """A sweep whose trials all fail ends with an exit code, the line at fault and a traceback; with the file corrected,
    the same command continues. Once a trial is complete, other code needs another name.
    """
    cli.write("own.py", FORMULA.replace("self.x +=", "self.y +="))
    done = cli.run("sweep", "near.yaml", "--executor", "serial", code=1)
    assert "AttributeError: 'Nearer' object has no attribute 'y' (own.py, line " in done.stderr
    assert "every trial failed" in done.stdout
    (first, *_) = sorted(Workspace.at(cli.workspace).failures("near").iterdir())
    assert "self.y +=" in first.read_text()
    cli.write("own.py", FORMULA)
    cli.run("sweep", "near.yaml", "--executor", "serial")
    cli.write("own.py", FORMULA + "\n# another\n")
    said = cli.run("sweep", "near.yaml", "--executor", "serial", code=2).stderr
    assert "changed: code.own.py" in said
    assert "--extend" not in said


def test_an_installed_package_offers_one_by_name(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point is a stage's name and its label; its models need the package, and say so in a line without it."""
    from deepcolor import plugins

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_entry_points", plugins._entry_points.__wrapped__)
    cli.write("packaged.py", FORMULA)
    cli.write("packaged-1.dist-info/METADATA", "Name: packaged\nVersion: 1\n")
    cli.write("packaged-1.dist-info/entry_points.txt", "[deepcolor.stages]\nnearer = packaged:MyFormula\n")
    done = advance(segment(tmp_path, SWEEP.replace("own.py:MyFormula", "nearer")))
    assert done.result is not None
    assert load_sweep(tmp_path / "near.yaml").label == "nearer"
    described = json.loads((done.result / "model.json").read_text())
    assert (described["stage"], described["code"].keys()) == ("nearer", {"packaged"})
    assert not (done.result / "code").exists()
    stage, saved = open_saved(done.result, own=True)
    assert stage.opened(saved, device="cpu").predict([1.0])["sum"][0] == pytest.approx(8, abs=0.5)
    (tmp_path / "packaged-1.dist-info" / "entry_points.txt").unlink()
    with pytest.raises(ModelError, match=r"the stage nearer is needed: must be FILE.py:NAME") as caught:
        open_saved(done.result, own=True)
    assert "\n" not in str(caught.value)


def test_what_it_optimises_unless_it_is_told(cli: Cli) -> None:
    """Where a stage has no `val/mse`, a sweep without an objective takes the first of its metrics."""
    file = cli.write("near.yaml", SWEEP.replace("  objective: val/far\n", ""))
    assert (load_sweep(file).objective.metric, load_sweep(file).objective.direction) == ("val/far", "minimize")


def test_from_python_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapping names the stage as a file does, from the current folder; `Study` knows its metrics."""
    monkeypatch.chdir(cli.workspace)
    tree = {"study": "p", "stage": "own.py:MyFormula", "training": {"epochs": 2}, "search": {"objective": "val/near"}}
    study = deepcolor.sweep(tree, workspace=cli.workspace, executor="serial")
    best = study.best
    assert best is not None
    assert list(study.history(0)["val/near"])[-1] == best["value"] < 0


def experiment_of(cli: Cli) -> str:
    """The id of the stage's experiment."""
    found = MlflowClient(f"sqlite:///{cli.workspace}/mlruns/mlflow.db").get_experiment_by_name("deepcolor/my_formula")
    assert found is not None
    return str(found.experiment_id)
