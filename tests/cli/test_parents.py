from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from deepcolor.app.how import How
from deepcolor.app.parents import Parents
from deepcolor.config.load import load_sweep
from deepcolor.errors import ConfigError, ModelError, StudyError
from deepcolor.search.rules.summary import best_of
from deepcolor.search.study.storage import StoredStudy, StudyStorage
from deepcolor.workspace import Workspace
from tests.cli.conftest import command, run

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
search:
  space: {feature_maps: [2, 3], lr: [1e-2, 1e-3]}
"""
TRANSFER = """
study: moved
stage: transfer
data: {name: faces, size_px: 64}
init: {init_from: "study:widths"}
training: {epochs: 1}
search: {space: {feature_maps: [2, 3, 4]}}
"""


def sweep(how: How, text: str, *overrides: str) -> StoredStudy:
    """Run a sweep file to its end."""
    path = how.workspace.root / "sweep.yaml"
    path.write_text(text)
    parsed = load_sweep(path, overrides)
    run(parsed, dataclasses.replace(how, extend=True))
    return StudyStorage(how.workspace).load(parsed.study)


def parents(study: StoredStudy) -> dict[object, str | None]:
    """What each width started from."""
    return {trial.params["feature_maps"]: trial.place.parent for trial in study.trials() if trial.place is not None}


def test_a_colorizer_takes_a_regressors_encoder(how: How) -> None:
    """`init_from` can be searched, and the width is taken over from the regressor; another width is refused."""
    sweep(how, REGRESSOR)
    command(how.workspace.root, "promote", "parent", "--force", "--device", "cpu")
    study = sweep(how, ENCODERS)
    assert study.sweep.model.feature_maps == 2
    with_parent, without = sorted(study.trials(), key=lambda trial: trial.place is None or trial.place.parent is None)
    assert with_parent.place is not None
    assert without.place is not None
    assert [trial.state for trial in study.trials()] == ["complete", "complete"]
    assert (with_parent.place.parent, without.place.parent) == ("regressor@1", None)
    assert with_parent.place.trajectory != without.place.trajectory
    with pytest.raises(ConfigError, match="feature_maps: must be 2, as in regressor@champion; got 5") as refusal:
        sweep(how, ENCODERS, "study=other", "model.feature_maps=5")
    assert refusal.value.exit_code == 2


def test_what_is_not_there_to_start_from_is_named_with_its_key(tmp_path: Path) -> None:
    """A version, a study: the key as it is written in the file, or where it is searched."""
    workspace = Workspace.at(tmp_path)
    parents = Parents(workspace, StudyStorage(workspace), tracking_uri=workspace.mlflow_uri)
    file = tmp_path / "sweep.yaml"
    for text, override, said in (
        (TRANSFER, "init.init_from=colorizer@7", r"init\.init_from: colorizer@7 must exist; got no version"),
        (TRANSFER, "init.init_from=study:none", r"init\.init_from: study 'none' is not in .*/studies; there are no"),
        (ENCODERS, "search.space.init_from=[regressor@9]", r"search\.space\.init_from: regressor@9 must exist"),
    ):
        file.write_text(text)
        with pytest.raises((ModelError, StudyError), match=f"^{said}"):
            parents.adopt(load_sweep(file, [override]))


def test_a_transfer_starts_from_the_best_of_each_width(how: How) -> None:
    """Each width starts from the study's confirmed winner, if that is of this width, or else from the best trial of the
    width; one it never had fails by name.
    """
    widths = sweep(how, WIDTHS)
    best = {width: best_of([t for t in widths.trials() if t.params["feature_maps"] == width]) for width in (2, 3)}
    moved = sweep(how, TRANSFER)
    assert sorted(trial.state for trial in moved.trials()) == ["complete", "complete", "failed"]
    assert moved.sweep.model.hidden_activation == "tanh"
    assert parents(moved) == {width: f"study:widths/t{trial.number:04d}" for width, trial in best.items() if trial}
    failed = next(trial for trial in moved.trials() if trial.state == "failed")
    assert failed.params == {"feature_maps": 4}
    assert "feature_maps=4" in (failed.error or "")

    confirmed = sweep(how, WIDTHS, "search.confirm={top: 1, seeds: 3}")
    winner = min((t for t in confirmed.trials() if t.confirms), key=lambda trial: trial.value or 0.0)
    first = next(trial for trial in best.values() if trial and winner.params == trial.params)
    assert (winner.value or 0.0) < (first.value or 0.0), "the winner's other trainings are all worse than its first"
    expected = parents(moved) | {winner.params["feature_maps"]: f"study:widths/t{winner.number:04d}"}
    assert parents(sweep(how, TRANSFER, "study=again")) == expected
