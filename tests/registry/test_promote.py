from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from deepcolor.errors import ModelError, TrackingError
from deepcolor.inference.model_code import MODEL_CODE
from deepcolor.registry import names
from deepcolor.registry.promote import promote
from deepcolor.registry.references import registered
from deepcolor.registry.versions import list_versions, resolve, rollback
from tests.registry.world import World, make_model, with_fewer_pictures

LINE = names.Line("colorizer")
NAME = LINE.registered_name
FRUITS: dict[str, Any] = {"data": "fruits", "data_digest": "f" * 32}
"""What a trial on another data set says of itself."""


def state_of(world: World, line: names.Line = LINE) -> dict[int, tuple[tuple[str, ...], str]]:
    """Aliases and registry stage by version."""
    return {v.number: (v.aliases, v.registry_stage) for v in list_versions(world.uri, line=line)}


def test_the_first_one_is_champion(world: World) -> None:
    """With no champion to beat, the candidate becomes it, and carries all that is known of it."""
    done = world.promote(1)
    assert (done.verdict, done.registered, done.promoted) == ("first", True, True)
    version = resolve("colorizer@champion", tracking_uri=world.uri)
    assert version == done.version
    assert (version.study, version.trial, version.parent) == ("grid", 1, "regressor@1")
    assert version.params == {"lr": "0.001", "feature_maps": "3"}
    assert version.test == done.test
    assert version.test["images"] == 9
    assert (version.data, version.pictures) == ("faces", world.candidate(1).pictures)
    assert "below predicting the training mean" in done.sentence
    assert done.warnings == ()
    assert version.data_digest == world.cache.name
    assert version.model.feature_maps == 3
    run = MlflowClient(world.uri).get_run(str(version.run_id))
    assert run.data.tags["deepcolor.registered_as"] == "colorizer@1"
    assert run.data.metrics["test/mse"] == pytest.approx(done.test["mse"])


def test_a_better_one_takes_over_and_a_worse_one_is_a_candidate(world: World) -> None:
    """The winner gets the alias and the old champion is kept as previous; registry stages say the same."""
    world.promote(1)
    better = world.promote(0)
    assert better.verdict == "wins"
    assert better.comparison is not None
    assert better.comparison.relative < 0
    worse = world.promote(2)
    assert worse.verdict == "loses"
    assert not worse.promoted
    assert "colorizer@3 is registered as candidate" in worse.sentence
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
    assert "stays candidate" in world.promote(2).sentence
    done = world.promote(2, force=True)
    assert (done.verdict, done.registered) == ("forced", False)
    assert "was forced to champion" in done.sentence
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
    done = rollback(LINE, tracking_uri=world.uri)
    assert (done.champion.number, done.replaced.number) == (1, 2)
    assert state_of(world) == {1: (("champion",), "Production"), 2: (("previous",), "Archived")}
    rollback(LINE, tracking_uri=world.uri)
    assert resolve("colorizer", tracking_uri=world.uri).number == 2


def test_without_a_previous_champion_there_is_no_way_back(world: World) -> None:
    """The message says what there is."""
    world.promote(0)
    with pytest.raises(ModelError, match="colorizer@1 and nothing before it"):
        rollback(LINE, tracking_uri=world.uri)


def test_what_is_no_better_than_the_mean_is_not_champion(world: World) -> None:
    """Neither as the first one nor after others; the user may have it otherwise, and is told at each look."""
    first = world.promote(3)
    assert (first.verdict, first.promoted) == ("no better than the mean", False)
    assert "no better than predicting the training mean" in first.sentence
    assert state_of(world) == {1: (("candidate",), "Staging")}
    assert world.promote(3, force=True).verdict == "forced"
    again = world.promote(3)
    assert again.verdict == "already champion"
    assert "no better than predicting the training mean" in again.warnings[0]
    assert world.promote(2).verdict == "wins"


def test_an_advantage_that_may_be_chance_is_no_win(world: World, tmp_path: Path) -> None:
    """Better on each of three test pictures is what a coin would give one time in four: it stays candidate."""
    few: dict[str, Any] = {
        "data_folder": with_fewer_pictures(world.cache, tmp_path / "few", count=3),
        "data_digest": "e" * 32,
    }
    first = world.promote(1, **few)
    assert first.verdict == "first"
    assert "may be chance" in first.warnings[0]
    better = world.promote(0, **few)
    assert better.verdict == "may be chance"
    assert better.comparison is not None
    assert better.comparison.better_on == 1
    assert "3 test pictures are too few to tell" in better.sentence
    assert state_of(world) == {1: (("champion",), "Production"), 2: (("candidate",), "Staging")}
    assert world.promote(0, **few, force=True).verdict == "forced"


def test_each_data_set_has_its_own_champion(world: World) -> None:
    """A trial on other pictures dethrones nobody: it is a candidate until it gets a name of its own; from then on the
    data set's trials meet there.
    """
    world.promote(1)
    stranger = world.promote(0, **FRUITS)
    assert (stranger.verdict, stranger.comparison) == ("other data", None)
    assert "another data set (faces, this is fruits)" in stranger.sentence
    assert "deepcolor promote grid --as fruits" in stranger.sentence
    assert state_of(world) == {1: (("champion",), "Production"), 2: (("candidate",), "Staging")}

    own = world.promote(0, name="fruits", **FRUITS)
    assert (own.verdict, own.version.ref) == ("first", "colorizer-fruits@1")
    fruits = names.Line("colorizer", "fruits")
    assert state_of(world) == {1: (("champion",), "Production"), 2: ((), "None")}
    assert state_of(world, fruits) == {1: (("champion",), "Production")}
    assert world.promote(0, **FRUITS).verdict == "already champion"
    worse = world.promote(2, **FRUITS)
    assert (worse.verdict, worse.version.ref) == ("loses", "colorizer-fruits@2")

    assert resolve("models:/deepcolor-colorizer-fruits/Production", tracking_uri=world.uri).ref == "colorizer-fruits@1"
    with pytest.raises(ModelError, match="Did you mean colorizer-fruits@champion"):
        resolve("colorizer-fruit@champion", tracking_uri=world.uri)
    run = MlflowClient(world.uri).get_run(str(own.version.run_id))
    assert run.data.tags["deepcolor.registered_as"] == "colorizer@2, colorizer-fruits@1"
    weights = {version.weights_sha256 for version in list_versions(world.uri)}
    assert registered([world.uri]).weights == weights
    assert world.promote(2, force=True, **FRUITS).version.ref == "colorizer-fruits@2"
    assert rollback(fruits, tracking_uri=world.uri).champion.ref == "colorizer-fruits@1"


def test_force_replaces_a_champion_of_other_data(world: World) -> None:
    """So does nothing else, and the one before can be brought back."""
    world.promote(1)
    done = world.promote(0, force=True, **FRUITS)
    assert (done.verdict, done.version.ref) == ("forced", "colorizer@2")
    assert "another data set" in done.sentence
    assert rollback(LINE, tracking_uri=world.uri).champion.data == "faces"


def test_two_data_sets_of_one_name_are_told_apart_by_their_pictures(world: World) -> None:
    """Another person's faces are another data set; the same ones with another split are not, and that is said."""
    world.promote(1)
    client = MlflowClient(world.uri)
    client.set_model_version_tag(NAME, "1", names.SPLITS, "5" * 32)
    other_split = world.promote(0, data_digest="e" * 32)
    assert other_split.verdict == "wins"
    assert "another split of faces" in other_split.warnings[0]
    client.set_model_version_tag(NAME, "2", names.PICTURES, "0badcafe 0badbeef")
    stranger = world.promote(2, data_digest="d" * 32)
    assert stranger.verdict == "other data"
    assert "another data set called faces, without a picture in common" in stranger.sentence


def test_versions_of_an_older_registry_are_compared_like_others(world: World) -> None:
    """Where a version does not name its data set its run does, and the version is told; its form may differ."""
    world.promote(1)
    client = MlflowClient(world.uri)
    for tag in (names.DATA, names.PICTURES, names.SPLITS):
        client.delete_model_version_tag(NAME, "1", tag)
    assert resolve("colorizer@1", tracking_uri=world.uri).data is None
    assert world.promote(0, **FRUITS).verdict == "other data"
    assert resolve("colorizer@1", tracking_uri=world.uri).data == "faces"
    assert world.promote(0, data_digest="e" * 32).verdict == "wins"


def test_a_champion_of_another_size_is_not_compared(world: World) -> None:
    """Two sizes cannot be measured on the same arrays: a candidate, with what to do about it."""
    world.promote(1)
    MlflowClient(world.uri).set_model_version_tag(NAME, "1", names.SIZE_PX, "128")
    done = world.promote(0)
    assert done.verdict == "other size"
    assert "works at 64 px and the champion colorizer@1 at 128 px" in done.sentence
    assert world.promote(0, force=True).verdict == "forced"


def test_a_trial_without_a_run_says_how_to_get_one(world: World) -> None:
    """Where MLflow was down or emptied, running the sweep again brings the runs back."""
    candidate = dataclasses.replace(world.candidate(0), trial=99)
    with pytest.raises(TrackingError, match="Run the sweep again"):
        promote(candidate, tracking_uri=world.uri, model_code=MODEL_CODE, device="cpu")
    assert list_versions(world.uri) == []


def test_a_champion_that_cannot_be_measured_must_be_replaced_by_force(world: World, tmp_path: Path) -> None:
    """Its files were exchanged for another network's; the user decides."""
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
    assert "was forced to champion" in done.sentence


def make_champion(client: MlflowClient, folder: Path, model: Path) -> str:
    """Put other weights in the champion's place, as if they had been promoted."""
    from deepcolor.models.description import read_description

    for name in ("model.safetensors", "model.json"):
        (folder / name).write_bytes((model / name).read_bytes())
    sha = read_description(model).weights_sha256
    client.set_model_version_tag(NAME, "1", names.WEIGHTS_SHA256, sha)
    return sha
