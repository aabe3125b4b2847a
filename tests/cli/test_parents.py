from __future__ import annotations

import json

import pytest

from deepcolor.search.study import StudyStorage
from deepcolor.workspace import Workspace
from tests.cli.conftest import Cli

REGRESSOR = """
study: parent
stage: regressor
data: {name: faces, size_px: 64}
model: {feature_maps: 2}
training: {epochs: 1}
search: {space: {lr: [1e-2]}}
"""
ENCODERS = """
study: encoders
stage: colorizer
data: {name: faces, size_px: 64}
training: {epochs: 1}
search: {space: {init_from: [null, regressor@champion], freeze: [none]}}
"""
WIDTHS = """
study: widths
stage: colorizer
data: {name: faces, size_px: 64}
model: {hidden_activation: tanh}
training: {epochs: 1}
search: {space: {feature_maps: [2, 3], lr: [1e-2, 1e-3]}}
"""
TRANSFER = """
study: moved
stage: transfer
data: {name: faces, size_px: 64}
init: {init_from: "study:widths"}
training: {epochs: 1}
search: {space: {feature_maps: [2, 3, 4]}}
"""


def sweep(cli: Cli, text: str, *words: str, code: int = 0) -> str:
    cli.write("sweep.yaml", text)
    done = cli.run("sweep", "sweep.yaml", "--executor", "serial", *words, code=code)
    return done.stdout if code == 0 else done.stderr


@pytest.mark.timeout(300)
def test_a_colorizer_takes_a_regressors_encoder(prepared: Cli) -> None:
    """`init_from` can be searched, and the width is taken over from the regressor; another width is refused."""
    sweep(prepared, REGRESSOR, "--quiet")
    prepared.run("promote", "parent", "--quiet")
    first = json.loads(sweep(prepared, ENCODERS, "--json"))
    assert first["complete"] == 2
    study = StudyStorage(Workspace.at(prepared.workspace)).load("encoders")
    assert study.sweep.model.feature_maps == 2
    with_parent, without = sorted(study.trials(), key=lambda trial: trial.place is None or trial.place.parent is None)
    assert with_parent.place is not None
    assert without.place is not None
    assert (with_parent.place.parent, without.place.parent) == ("regressor@1", None)
    assert with_parent.place.trajectory != without.place.trajectory
    refusal = sweep(prepared, ENCODERS, "-o", "study=other", "-o", "model.feature_maps=5", code=2)
    assert "feature_maps: must be 2, as in regressor@champion; got 5" in refusal


@pytest.mark.timeout(300)
def test_a_transfer_starts_from_the_best_trial_of_each_width(prepared: Cli) -> None:
    """Each width starts from the best trial of that width in the study named; one it never had fails by name."""
    sweep(prepared, WIDTHS, "--quiet")
    storage = StudyStorage(Workspace.at(prepared.workspace))
    best = {
        width: min(
            (trial for trial in storage.load("widths").trials() if trial.params["feature_maps"] == width),
            key=lambda trial: trial.value or 0.0,
        ).number
        for width in (2, 3)
    }
    summary = json.loads(sweep(prepared, TRANSFER, "--json"))
    assert (summary["complete"], summary["failed"]) == (2, 1)
    moved = storage.load("moved")
    assert moved.sweep.model.hidden_activation == "tanh"
    parents = {trial.params["feature_maps"]: trial.place.parent for trial in moved.trials() if trial.place is not None}
    assert parents == {width: f"study:widths/t{number:04d}" for width, number in best.items()}
    failed = next(trial for trial in moved.trials() if trial.state == "failed")
    assert failed.params == {"feature_maps": 4}
    assert "feature_maps=4" in (failed.error or "")
