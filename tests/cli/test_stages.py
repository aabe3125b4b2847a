"""The stages as a user is told of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deepcolor.app.stages import describe_stage, list_stages
from deepcolor.cli.app import app
from deepcolor.config.reference import reference
from deepcolor.errors import UserError
from deepcolor.stages.finding import SHIPPED
from tests.extending import write_files


def test_every_key_of_a_shipped_stage_is_told_as_in_the_reference() -> None:
    """Each has a row in docs/sweep-files.md that says the same; what a stage ignores is left out."""
    page = reference().replace("`", "")
    told = {one.name: one for one in list_stages()}
    assert list(told)[:3] == list(SHIPPED)
    assert all(one.about for one in told.values())
    for key in (key for name in SHIPPED for key in told[name].keys):
        assert f"| {key.key} | {key.value} | {key.default} |".replace("`", "") in page
    names = {name: {key.key for key in told[name].keys} for name in SHIPPED}
    assert "data.augment.mode" in names["regressor"]
    assert "init.init_from" in names["colorizer"] - names["regressor"]
    assert "model.mean_hint" in names["colorizer"] - names["regressor"]


def test_a_stage_of_ones_own_is_told_from_its_docstrings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the path of its file; in words, and as JSON."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = ["stages", "experiments/own/diabetes.py:Diabetes"]
    text = CliRunner().invoke(app, words, catch_exceptions=False).stdout
    assert "measured after every epoch: train/mse (minimize), val/mse (minimize)" in text
    assert "model.hidden  whole number from 1 to 256, default 8\n    Units of the hidden layer." in text
    assert "init." not in text
    said = json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)
    assert (said["label"], said["final_metrics"]) == ("diabetes", {"r2": "maximize"})
    lr = {"key": "training.lr", "value": "number above 0", "default": "0.01", "meaning": "Learning rate."}
    assert lr in said["keys"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("colouriser", "stage: must be one of regressor, colorizer, transfer, or FILE.py:NAME"),
        ("none.py:Stage", "none.py must be a file that can be read"),
        ("own.py:Other", "own.py must define Other; got Own"),
        ("own.py:Own", "own.py:Own must be a subclass of deepcolor.stages.Stage; got Own"),
    ],
)
def test_what_is_no_stage_is_refused(name: str, problem: str, tmp_path: Path) -> None:
    """In a line: an unknown name, a missing file, one that lacks the name, a class of another kind."""
    (tmp_path / "own.py").write_text("class Own: ...\n")
    with pytest.raises(UserError) as caught:
        describe_stage(name, folder=tmp_path)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
