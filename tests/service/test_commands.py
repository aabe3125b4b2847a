from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import deepcolor
from deepcolor.cli.app import app
from deepcolor.errors import ModelError, UserError
from deepcolor.service.queue import Queue
from deepcolor.service.submitting import Draft, parsed_of
from deepcolor.service.tokens import this_user
from deepcolor.workspace import Workspace
from tests.service.conftest import SWEEP, Api, token

OWN = "def loss(predicted, wanted):\n    return ((predicted - wanted) ** 2).mean()\n"


def said(root: Path, *words: str) -> Any:
    """Run a command in this process, and return what it prints with --json."""
    done = CliRunner().invoke(app, [*words, "--workspace", str(root), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_without_http_the_queue_is_the_workspace(tmp_path: Path) -> None:
    """`submit`, `studies`, `pause`, `resume` and `cancel` work in a shared workspace by its files, as the system's
    user, with no service running; what was submitted is what the file said then.
    """
    file = tmp_path / "faces.yaml"
    file.write_text(SWEEP.format(study="faces"))
    made = said(tmp_path, "submit", str(file), "-o", "training.epochs=3")
    assert (made["state"], made["user"], made["studies"]) == ("queued", this_user(), ["faces"])
    file.unlink()
    (listed,) = said(tmp_path, "studies")
    assert (listed["study"], listed["submission"]["state"]) == ("faces", "queued")
    for action, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        assert said(tmp_path, action, "faces")["state"] == state
    workspace = Workspace.at(tmp_path)
    parsed = parsed_of(Queue(workspace).find("faces"), workspace=workspace, allow_code=False)
    assert json.loads(parsed.model_dump_json())["training"]["epochs"] == 3


def test_a_pipeline_is_submitted_with_all_its_sweeps(api: Api) -> None:
    """Over HTTP a pipeline arrives whole: the files that it names stay where they are."""
    root = api.workspace.root
    api.write("first")
    (root / "both.yaml").write_text("pipeline: both\nsweeps:\n  - first.yaml\n")
    (root / "token").write_text(f"{token('bob')}\n")
    (root / "token").chmod(0o600)
    words = ("submit", str(root / "both.yaml"), "--service", api.url, "--token-file", str(root / "token"))
    made = said(root, *words)
    assert (made["kind"], made["studies"], made["user"]) == ("pipeline", ["first"], "bob")
    listed = said(root, "studies", "--service", api.url, "--token-file", str(root / "token"))
    assert "both" in [one["name"] for one in listed]


def test_a_pipeline_says_how_it_is_promoted(api: Api) -> None:
    """`--as` and `--force` arrive with a pipeline, here and by HTTP, from the command line and from Python; with a
    sweep, and for a name that no champion can have, they are refused in a line before anything is queued.
    """
    root = api.workspace.root
    api.write("second")
    for name in ("here", "there"):
        (root / f"{name}.yaml").write_text(f"pipeline: {name}\nsweeps:\n  - {{file: second.yaml, study: of-{name}}}\n")
    (root / "bobs").write_text(f"{token('bob')}\n")
    (root / "bobs").chmod(0o600)
    said(root, "submit", str(root / "here.yaml"), "--as", "fruits", "--force")
    made = deepcolor.submit(root / "there.yaml", name="fruits", service=api.url, token_file=root / "bobs")
    assert (made.name, made.user, made.state, made.service) == ("there", "bob", "queued", api.url)
    found = [api.queue.find(name) for name in ("here", "there")]
    assert [(one.own_name, one.force) for one in found] == [("fruits", True), ("fruits", False)]
    with pytest.raises(
        UserError, match="--as: must go with a pipeline, for a sweep promotes nothing; got the sweep sec"
    ):
        deepcolor.submit(root / "second.yaml", name="fruits", workspace=root)
    with pytest.raises(UserError, match="--force: must go with a pipeline"):
        api.of("ann").submit(Draft((root / "second.yaml").read_text(), force=True))
    with pytest.raises(ModelError, match="--as: must be 1 to 100 letters"):
        deepcolor.submit(root / "here.yaml", name="a/b", workspace=root)
    assert "second" not in [one.name for one in api.queue.all()]


def test_a_mapping_is_submitted_from_python(tmp_path: Path) -> None:
    """`deepcolor.submit` takes a sweep without a file; without a service it waits, and its receipt says so."""
    sweep = {
        "study": "rates",
        "stage": "regressor",
        "data": {"name": "faces"},
        "search": {"space": {"lr": [1e-2, 1e-3]}},
    }
    made = deepcolor.submit(sweep, overrides=["training.epochs=3"], workspace=tmp_path, priority=5)
    assert (repr(made), made.service, made.studies) == ("<sweep rates: queued>", "", ("rates",))
    kept = Queue(Workspace.at(tmp_path)).find("rates")
    assert (kept.priority, kept.user, kept.command) == (5, this_user(), "deepcolor.submit(...)")
    assert "epochs: 3" in kept.text


def test_a_sweep_may_start_from_a_study(tmp_path: Path) -> None:
    """`study:NAME` is the name of a study where one can be named, and is taken for no module there."""
    file = tmp_path / "colours.yaml"
    sweep = SWEEP.format(study="colours").replace("stage: regressor", "stage: colorizer")
    sweep = sweep.replace("}}", "}, first: 'study:faces', warm_start: [faces]}", 1).replace("grid", "tpe")
    file.write_text(sweep.replace("first:", "sampler: tpe, trials: 3, first:") + "init: {init_from: 'study:faces'}\n")
    assert said(tmp_path, "submit", str(file))["state"] == "queued"


def test_code_comes_along_where_it_is_allowed(tmp_path: Path) -> None:
    """A loss in a file of the user's is refused, unless the workspace allows it: then its content is kept there, and
    the file may go.
    """
    own, file = tmp_path / "own.py", tmp_path / "own.yaml"
    own.write_text(OWN)
    file.write_text(SWEEP.format(study="own") + "training: {loss: 'own.py:loss'}\n")
    done = CliRunner().invoke(app, ["submit", str(file), "--workspace", str(tmp_path)])
    assert "training.loss: must name what is installed on the service; got own.py:loss" in str(done.exception)
    (tmp_path / "deepcolor.yaml").write_text("service: {allow_code: true}\n")
    said(tmp_path, "submit", str(file))
    own.unlink()
    workspace = Workspace.at(tmp_path)
    parsed = parsed_of(Queue(workspace).find("own"), workspace=workspace, allow_code=True)
    assert [path.read_text() for path in workspace.code.rglob("own.py")] == [OWN]
    assert "own.py" in json.loads(parsed.model_dump_json())["code"]
