"""deepcolor as a Python user has it: the same as the command line, from objects and to objects."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepcolor
from deepcolor.app.reporter import Silent, SilentWatcher
from deepcolor.errors import ConfigError, DataError, Interrupted, ModelError, StudyError
from deepcolor.search.rules.summary import Snapshot, Watcher
from deepcolor.search.study.trials import StoredTrial
from tests.cli.conftest import decoded, mlflow_database  # noqa: F401  # fixtures
from tests.reporting import Heard

SWEEP: dict[str, Any] = {
    "study": "small",
    "stage": "colorizer",
    "data": {"name": "faces", "size_px": 64},
    "model": {"feature_maps": 1},
    "training": {"batch_size": 8},
    "search": {"space": {"lr": [1e-2, 1e-3], "epochs": [1, 2]}},
}


@pytest.fixture
def workspace(tmp_path: Path, mlflow_database: None, decoded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A workspace with 30 drawn faces, in which the user works."""
    shutil.copytree(decoded, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_a_sweep_to_a_coloured_picture(workspace: Path) -> None:
    """A sweep given as a mapping is searched; its study has its trials, its best, epochs and pictures, and shows itself
    in a notebook; promoted and pulled, its model colours a picture; and the workspace is kept in order.
    """
    heard = Heard()
    study = deepcolor.sweep(SWEEP, executor="serial", reporter=heard)
    trials = study.trials()
    assert list(trials["state"]) == ["complete"] * 4
    assert list(trials["value"]) == sorted(trials["value"])
    assert study.best is not None
    assert study.best["trial"] == trials["trial"].iloc[0]
    assert study.best["params"].keys() == {"lr", "epochs"}
    history = study.history(study.best["trial"])
    assert list(history["epoch"]) == list(range(1, study.best["params"]["epochs"] + 1))
    assert np.isfinite(history["val/mse"]).all()
    for figure in (study.plot_history(), study.plot_slices(), study.plot_parallel_coordinates()):
        assert figure.axes
    html = study._repr_html_()
    assert "small: colorizer on faces, 4 trials" in html
    assert f"best: trial {study.best['trial']}, " in html
    assert html.count("<tr") == 1 + 4
    with pytest.raises(StudyError, match="about 20 complete trials on; this study has 4"):
        study.importances()
    with pytest.raises(StudyError, match="one of 0 to 3; got 9"):
        study.history(9)

    again = deepcolor.sweep(SWEEP, executor="serial", reporter=heard)
    assert again.trials().equals(trials)
    cost = deepcolor.plan(SWEEP, executor="serial", reporter=heard)
    assert repr(cost).startswith("<cost of small: 0 trials in 0 trainings, 0 epochs to train")
    assert deepcolor.open_study("small").best == study.best
    promotion = study.promote(force=True, device="cpu", reporter=heard)
    assert promotion.version.ref == "colorizer@1"
    assert repr(promotion).startswith("<promotion: colorizer@1 ")
    assert promotion._repr_html_().startswith("<div>colorizer@1 ")
    assert heard.warnings == list(promotion.warnings)
    folder = deepcolor.pull("colorizer@champion", workspace / "pulled")
    grey = np.full((70, 50), 120, np.uint8)
    assert deepcolor.colorize(grey, model=deepcolor.load(folder)).shape == (70, 50, 3)

    keep_house(study, heard)


def keep_house(study: deepcolor.Study, heard: Heard) -> None:
    """What is there is listed; a study is found by both of its names; deleted, it leaves what is registered."""
    best = study.best
    assert best is not None
    (listed,) = deepcolor.list_studies().to_dict("records")
    assert (listed["study"], listed["complete"], listed["trial"], listed["best"]) == (
        "small",
        4,
        best["trial"],
        best["value"],
    )
    (model,) = deepcolor.list_models("colorizer").to_dict("records")
    assert (model["model"], model["aliases"], model["study"]) == ("colorizer@1", ("champion",), "small")
    assert model["test/mse"] > 0
    with pytest.raises(ModelError, match="one before it"):
        deepcolor.rollback("colorizer", reporter=heard)
    renamed = deepcolor.rename(study, "called", reporter=heard)
    assert renamed.names == ("small", "called")
    assert deepcolor.sync("small", reporter=heard).studies["called"].unchanged == 1 + 4
    assert deepcolor.delete("called", dry_run=True).files.trials == 4
    assert list(deepcolor.list_studies()["study"]) == ["called"]
    assert deepcolor.delete("called", reporter=heard).versions == ("colorizer@1",)
    assert list(deepcolor.list_studies()["study"]) == []
    with pytest.raises(StudyError, match="''"):
        deepcolor.sync("")
    assert list(deepcolor.list_models()["model"]) == ["colorizer@1"]


class StopsAfterOne(Silent, SilentWatcher):
    """Presses Ctrl-C when the first trial has ended."""

    @contextmanager
    def watching(self, study: str) -> Iterator[Watcher]:
        yield self

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_stops_as_on_the_command_line(workspace: Path) -> None:
    """What runs is saved, the call says so, and the same call goes on where it was."""
    with pytest.raises(Interrupted, match="Resume with: the same call"):
        deepcolor.sweep(SWEEP, executor="serial", reporter=StopsAfterOne())
    assert "complete" in set(deepcolor.open_study("small").trials()["state"])
    done = deepcolor.sweep(SWEEP, executor="serial", reporter=Silent())
    assert list(done.trials()["state"]) == ["complete"] * 4


def test_what_a_user_gets_wrong_is_said(workspace: Path) -> None:
    """A misspelt key or kind, a study that is not there: the messages of the command line, as exceptions."""
    with pytest.raises(ConfigError, match=r"lrr.*the sweep given.*Did you mean lr"):
        deepcolor.sweep({**SWEEP, "training": {"lrr": 1}})
    with pytest.raises(ConfigError, match=r"search\.sampler"):
        deepcolor.sweep(SWEEP, overrides=["search.sampler=best"])
    with pytest.raises(DataError, match="must be faces or fruit; got 'fruits'"):
        deepcolor.draw("fruits", workspace / "drawn")  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="there are no studies yet"):
        deepcolor.open_study("small")


def test_what_there_is_can_be_seen() -> None:
    """`deepcolor.` offers every use case, and importing it imports nothing that takes long."""
    assert {"sweep", "plan", "pipeline", "promote", "pull", "serve", "load", "colorize", "open_study"} <= set(
        dir(deepcolor)
    )
    program = "import sys, deepcolor; print({'torch', 'mlflow', 'optuna', 'pydantic'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
