from __future__ import annotations

import dataclasses
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from deepcolor.errors import ModelError, TrackingError
from deepcolor.inference.package import MODEL_CODE
from deepcolor.registry import names
from deepcolor.registry.promote import promote
from deepcolor.registry.versions import list_versions, resolve, rollback
from tests.registry.world import World, make_model

NAME = names.registered_name("colorizer")


def state_of(world: World) -> dict[int, tuple[tuple[str, ...], str]]:
    """Aliases and registry stage by version."""
    return {v.number: (v.aliases, v.registry_stage) for v in list_versions(world.uri)}


def test_the_first_one_is_champion(world: World) -> None:
    """With no champion to beat, the candidate becomes it, and carries all that is known of it."""
    done = world.promote(1)
    assert (done.verdict, done.registered, done.promoted) == ("first", True, True)
    version = resolve("colorizer@champion", tracking_uri=world.uri)
    assert version == done.version
    assert (version.study, version.trial, version.parent) == ("grid", 1, "regressor@1")
    assert version.params == {"lr": "0.001", "feature_maps": "3"}
    assert version.test == done.test
    assert version.test["images"] == 3
    assert version.data_digest == world.cache.name
    assert version.model.feature_maps == 3
    run = MlflowClient(world.uri).get_run(str(version.run_id))
    assert run.data.tags["deepcolor.registered_as"] == "colorizer@1"
    assert run.data.metrics["test/mse"] == pytest.approx(done.test["mse"])


def test_a_better_one_takes_over_and_a_worse_one_stays_candidate(world: World) -> None:
    """The winner gets the alias and the old champion is kept as previous; registry stages say the same."""
    world.promote(1)
    better = world.promote(0)
    assert better.verdict == "wins"
    assert better.comparison is not None
    assert better.comparison.relative < 0
    worse = world.promote(2)
    assert worse.verdict == "loses"
    assert not worse.promoted
    assert "is registered as candidate" in worse.sentence
    assert "above colorizer@2" in worse.sentence
    assert state_of(world) == {
        1: (("previous",), "Archived"),
        2: (("champion",), "Production"),
        3: (("candidate",), "Staging"),
    }


def test_force_makes_a_loser_champion(world: World) -> None:
    """The user has the last word; the sentence does not hide that it lost."""
    world.promote(0)
    world.promote(2)
    done = world.promote(2, force=True)
    assert (done.verdict, done.registered) == ("forced", False)
    assert "by force" in done.sentence
    assert "above colorizer@1" in done.sentence
    assert state_of(world) == {1: (("previous",), "Archived"), 2: (("champion",), "Production")}


def test_promoting_again_makes_no_second_version(world: World) -> None:
    """The same weights are one version, whether they are champion or lost before."""
    world.promote(0)
    again = world.promote(0)
    assert (again.verdict, again.registered) == ("already champion", False)
    assert again.test == again.version.test
    assert world.promote(1).registered
    assert not world.promote(1).registered
    assert set(state_of(world)) == {1, 2}


def test_a_promotion_killed_in_the_middle_is_finished_by_the_next(world: World) -> None:
    """Killed after the version was made and before its alias, the next promotion sets the alias and nothing else."""
    world.promote(0)
    client = MlflowClient(world.uri)
    client.delete_registered_model_alias(NAME, "champion")
    done = world.promote(0)
    assert (done.verdict, done.registered) == ("first", False)
    assert state_of(world) == {1: (("champion",), "Production")}


def test_champion_and_production_colour_pictures_through_mlflow_alone(world: World) -> None:
    """With nothing but the tracking URI, both names give a model that colours pictures."""
    world.promote(0)
    mlflow.set_tracking_uri(world.uri)
    for name in (f"models:/{NAME}@champion", f"models:/{NAME}/Production"):
        coloured = mlflow.pyfunc.load_model(name).predict(np.full((2, 40, 50), 120, np.uint8))
        assert coloured.shape == (2, 40, 50, 3)
        assert coloured.dtype == np.uint8


def test_nothing_in_a_registered_model_is_pickled(world: World) -> None:
    """The version holds safetensors, JSON, source code and MLflow's own descriptions."""
    world.promote(0)
    source = str(MlflowClient(world.uri).get_model_version(NAME, "1").source)
    files = {path.suffix for path in Path(source.removeprefix("file://")).rglob("*") if path.is_file()}
    assert files <= {".safetensors", ".json", ".py", ".zip", ".yaml", ".txt", ""}


def test_a_rollback_is_undone_by_a_second_one(world: World) -> None:
    """Champion and previous change places, in the registry stages too."""
    world.promote(1)
    world.promote(0)
    done = rollback("colorizer", tracking_uri=world.uri)
    assert (done.champion.number, done.replaced.number) == (1, 2)
    assert state_of(world) == {1: (("champion",), "Production"), 2: (("previous",), "Archived")}
    rollback("colorizer", tracking_uri=world.uri)
    assert resolve("colorizer", tracking_uri=world.uri).number == 2


def test_without_a_previous_champion_there_is_no_way_back(world: World) -> None:
    """The message says what there is."""
    world.promote(0)
    with pytest.raises(ModelError, match="colorizer@1 and nothing before it"):
        rollback("colorizer", tracking_uri=world.uri)


def test_a_model_that_learned_nothing_is_said_to(world: World) -> None:
    """Untrained networks are no better than the training mean: promoted if first, with a warning."""
    assert any("training mean" in warning for warning in world.promote(2).warnings)


def test_other_data_and_few_pictures_are_pointed_out(world: World) -> None:
    """A champion trained on other data may have seen the test pictures."""
    world.promote(0)
    candidate = dataclasses.replace(world.candidate(1), data_digest="e" * 32)
    done = promote(candidate, tracking_uri=world.uri, model_code=MODEL_CODE, device="cpu")
    assert any("other data" in warning for warning in done.warnings)


def test_a_trial_without_a_run_says_how_to_get_one(world: World) -> None:
    """Where MLflow was down or emptied, running the sweep again brings the runs back."""
    candidate = dataclasses.replace(world.candidate(0), trial=99)
    with pytest.raises(TrackingError, match="Run the sweep again"):
        promote(candidate, tracking_uri=world.uri, model_code=MODEL_CODE, device="cpu")
    assert list_versions(world.uri) == []


def test_a_champion_of_another_size_must_be_replaced_by_force(world: World, tmp_path: Path) -> None:
    """Two sizes cannot be measured on the same arrays; the user decides."""
    large = make_model(tmp_path / "large", seed=7, size_px=128)
    client = MlflowClient(world.uri)
    world.promote(0)
    source = str(client.get_model_version(NAME, "1").source)
    folder = Path(source.removeprefix("file://")) / "artifacts" / "model"
    sha = make_champion(client, folder, large)
    assert sha
    with pytest.raises(ModelError, match="--force"):
        world.promote(1)
    done = world.promote(1, force=True)
    assert (done.verdict, done.comparison) == ("forced", None)
    assert "by force" in done.sentence


def make_champion(client: MlflowClient, folder: Path, model: Path) -> str:
    """Put other weights in the champion's place, as if they had been promoted."""
    from deepcolor.models.description import read_description

    for name in ("model.safetensors", "model.json"):
        (folder / name).write_bytes((model / name).read_bytes())
    sha = read_description(model).weights_sha256
    client.set_model_version_tag(NAME, "1", names.WEIGHTS_SHA256, sha)
    return sha
