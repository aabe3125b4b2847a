"""A winner confirmed under other seeds, from the sweep to the model card, through the command line."""

from __future__ import annotations

from mlflow import MlflowClient

from deepcolor.app.how import How
from deepcolor.app.sweep import warn_of_few_seeds
from deepcolor.config.confirm import ConfirmConfig
from deepcolor.registry.versions import resolve
from deepcolor.search.study.storage import StudyStorage
from deepcolor.search.study.trials import searched
from tests.cli.conftest import command
from tests.reporting import Heard
from tests.tracking.building import make_sweep

GRID = """
study: grid
stage: regressor
data: {name: faces, size_px: 64, augment: {random_rotation: null, random_crop: null}}
training: {epochs: 8, batch_size: 8}
search:
  space: {lr: [1e-4, 1e-2, 1e-3]}
  confirm: {top: 2, seeds: 2}
"""


def test_a_confirmed_winner_is_promoted_with_what_is_known_of_it(how: How) -> None:
    """Summary, list, version and card give the figures of the trainings under other seeds, and the weights are the best
    of the winning setting's.
    """
    root = how.workspace.root
    (root / "grid.yaml").write_text(GRID)
    swept = command(root, "sweep", "grid.yaml", "--executor", "serial")
    assert (swept["trials"], swept["trained_now"]) == (3, 8 * (3 + 4))
    confirmation = swept["confirmation"]
    assert command(root, "studies", "grid")["confirmation"] == confirmation
    first, second = confirmation["settings"]
    assert (first["trial"], second["trial"]) == (confirmation["winner"], confirmation["runner_up"])
    assert first["mean"] < second["mean"]

    done = command(root, "promote", "grid", "--device", "cpu")
    evidence = done["confirmation"]
    known = [evidence[name] for name in ("trial", "mean", "std", "seeds", "runner_up", "runner_up_mean")]
    assert known == [first["trial"], first["mean"], first["std"], 2, second["trial"], second["mean"]]
    assert evidence["low"] <= evidence["relative"] <= evidence["high"]
    assert "other seeds" in confirmation["verdict"]
    assert "other pictures" in evidence["verdict"]

    trials = StudyStorage(how.workspace).load("grid").trials()
    assert len(searched(trials)) == 3
    version = resolve(done["version"], tracking_uri=how.tracking_uri)
    weights = next(trial for trial in trials if trial.number == version.trial)
    setting = [t for t in trials if first["trial"] in (t.number, t.confirms.trial if t.confirms else None)]
    assert len(setting) == 3
    assert weights.value == min(trial.value for trial in setting if trial.value is not None)
    assert version.params["seed"] == str(weights.confirms.seed if weights.confirms else 0)
    assert version.evidence is not None
    assert vars(version.evidence).items() <= evidence.items()
    client = MlflowClient(how.tracking_uri)
    text = client.get_model_version("deepcolor-regressor", str(version.number)).description
    assert f"| runner-up | trial {second['trial']}" in str(text)
    command(root, "pull", done["version"], "-o", str(root / "pulled"))
    assert "## Confirmation" in (root / "pulled" / "README.md").read_text()
    assert kinds(client) == {"study": 1, "trial": 3, "confirmation": 4}


def kinds(client: MlflowClient) -> dict[str, int]:
    """How many runs there are of each kind."""
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    found = [run.data.tags["deepcolor.kind"] for run in runs]
    return {kind: found.count(kind) for kind in found}


def test_two_seeds_are_warned_of() -> None:
    """They can hardly tell two settings apart; three are not spoken of, nor is a sweep that confirms nothing."""
    for seeds, warned in ((2, True), (3, False), (None, False)):
        confirm = None if seeds is None else ConfirmConfig(top=2, seeds=seeds)
        sweep, reporter = make_sweep(), Heard()
        search = sweep.search.model_copy(update={"confirm": confirm})
        warn_of_few_seeds(sweep.model_copy(update={"search": search}), reporter)
        assert ("2 seeds can hardly tell two settings apart" in "".join(reporter.warnings)) == warned
