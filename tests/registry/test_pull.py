from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlflow import MlflowClient

from deepcolor.errors import CorruptFileError, ModelError, WorkspaceError
from deepcolor.models.description import read_description
from deepcolor.registry import names
from deepcolor.registry.pull import pull
from deepcolor.registry.versions import list_versions, resolve
from tests.registry.world import World


def artifacts_of(world: World, number: int = 1) -> Path:
    """The folder where the registry keeps a version's weights."""
    client = MlflowClient(world.uri)
    source = str(client.get_model_version(names.Line("colorizer").registered_name, str(number)).source)
    return Path(source.removeprefix("file://")) / "artifacts" / "model"


@pytest.mark.parametrize(
    ("ref", "registry_stage"),
    [
        ("colorizer@champion", None),
        ("colorizer@1", None),
        ("colorizer", "Production"),
        ("models:/deepcolor-colorizer@champion", None),
    ],
)
def test_a_pulled_model_is_what_was_promoted(
    world: World, tmp_path: Path, ref: str, registry_stage: str | None
) -> None:
    """Weights and description come out byte for byte, with a card, and nothing else."""
    world.promote(0)
    out = pull(ref, tmp_path / "out", tracking_uri=world.uri, registry_stage=registry_stage)
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "model.json", "model.safetensors"]
    for name in ("model.safetensors", "model.json"):
        assert (out / name).read_bytes() == (world.models[0] / name).read_bytes()


def test_an_artifact_that_is_no_file_is_refused_at_once(world: World, tmp_path: Path) -> None:
    """A pipe, a device without an end or a folder in place of weights or description is told in one line."""
    world.promote(0)
    folder = artifacts_of(world)
    for name in ("model.json", "model.safetensors"):
        aside = (folder / name).rename(folder / "aside")
        for kind in ("a named pipe", "a device", "a folder"):
            if kind == "a named pipe":
                os.mkfifo(folder / name)
            elif kind == "a device":
                (folder / name).symlink_to("/dev/zero")
            else:
                (folder / name).mkdir()
            with pytest.raises(ModelError, match=f"{name} of colorizer@1 must be an ordinary file; got {kind}"):
                pull("colorizer@1", tmp_path / "out", tracking_uri=world.uri)
            if kind != "a folder":
                (folder / name).unlink()
        (folder / name).rmdir()
        aside.rename(folder / name)
    assert not (tmp_path / "out").exists()


def test_the_card_says_what_it_is_where_from_and_how_to_use_it(world: World, tmp_path: Path) -> None:
    """Setting, figures, digests, lineage and the command stand in the README."""
    done = world.promote(0)
    card = (pull("colorizer@1", tmp_path / "out", tracking_uri=world.uri) / "README.md").read_text()
    for text in (
        "# deepcolor colorizer@1",
        "| lr | 0.001 |",
        f"{done.test['mse']:.5g}",
        done.version.data_digest,
        done.version.weights_sha256,
        "colorizer@1 from regressor@1",
        "deepcolor colorize",
        "grid, 0",
    ):
        assert text in card


def test_pulling_again_replaces_the_model_and_nothing_else(world: World, tmp_path: Path) -> None:
    """A folder that was pulled into can be brought up to date; one that holds other things is left alone."""
    world.promote(1)
    out = pull("colorizer@champion", tmp_path / "out", tracking_uri=world.uri)
    world.promote(0)
    pull("colorizer@champion", out, tracking_uri=world.uri)
    assert read_description(out) == read_description(world.models[0])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(WorkspaceError, match="new, empty or a pulled model"):
        pull("colorizer@champion", tmp_path / "mine", tracking_uri=world.uri)


def test_weights_that_were_changed_in_the_store_are_refused(world: World, tmp_path: Path) -> None:
    """One flipped byte in the registry's artifacts is found, and nothing is written."""
    world.promote(0)
    weights = artifacts_of(world) / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(CorruptFileError, match="damaged"):
        pull("colorizer@1", tmp_path / "out", tracking_uri=world.uri)
    assert not (tmp_path / "out").exists()


def test_weights_exchanged_together_with_their_description_are_refused(world: World, tmp_path: Path) -> None:
    """The registry's own checksum counts, not only the one that lies beside the weights."""
    world.promote(0)
    for name in ("model.safetensors", "model.json"):
        (artifacts_of(world) / name).write_bytes((world.models[2] / name).read_bytes())
    with pytest.raises(CorruptFileError, match="the registry"):
        pull("colorizer@1", tmp_path / "out", tracking_uri=world.uri)


def test_what_else_lies_in_the_artifacts_is_never_taken(world: World, tmp_path: Path) -> None:
    """Files and links beside the weights stay where they are: only two names are ever asked for."""
    world.promote(0)
    (artifacts_of(world) / "evil.py").write_text("raise SystemExit")
    (artifacts_of(world) / "link").symlink_to("/etc")
    out = pull("colorizer@1", tmp_path / "out", tracking_uri=world.uri)
    assert len(list(out.iterdir())) == 3


def test_a_link_in_the_target_is_replaced_not_followed(world: World, tmp_path: Path) -> None:
    """A file outside of the target, to which a link in it points, keeps its content."""
    world.promote(0)
    outside = tmp_path / "outside.json"
    outside.write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.json").symlink_to(outside)
    pull("colorizer@1", out, tracking_uri=world.uri)
    assert outside.read_text() == "mine"
    assert not (out / "model.json").is_symlink()


def test_deleted_artifacts_are_reported_and_mended_by_force(world: World, tmp_path: Path) -> None:
    """A version whose files were deleted in MLflow says so, and how they come back."""
    world.promote(0)
    (artifacts_of(world) / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="promote the trial again with --force"):
        pull("colorizer@1", tmp_path / "out", tracking_uri=world.uri)
    assert not world.promote(0, force=True).registered
    pull("colorizer@1", tmp_path / "out", tracking_uri=world.uri)


def test_a_model_that_does_not_exist_lists_those_that_do(world: World) -> None:
    """The message names what there is, and the nearest."""
    world.promote(0)
    with pytest.raises(ModelError, match=r"colorizer@1 \(champion\).*Did you mean colorizer@champion"):
        resolve("colorizer@champoin", tracking_uri=world.uri)
    with pytest.raises(ModelError, match="colorizer@9 must exist"):
        resolve("colorizer@9", tracking_uri=world.uri)
    with pytest.raises(ModelError, match="Promote a trial first"):
        resolve("transfer@champion", tracking_uri=world.uri)


def test_looking_makes_no_database(tmp_path: Path) -> None:
    """Listing the models of a workspace that has none leaves it as it is."""
    assert list_versions(f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}") == []
    assert list(tmp_path.iterdir()) == []
