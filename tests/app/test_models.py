from __future__ import annotations

from pathlib import Path

import pytest

from deepcolor.app.models import list_models, pull_model, roll_back
from deepcolor.errors import ModelError
from deepcolor.inference import load
from tests.registry.conftest import base_world, world  # noqa: F401  # fixtures
from tests.registry.world import World


def test_versions_are_listed_pulled_and_gone_back_to(world: World, tmp_path: Path) -> None:  # noqa: F811
    """A stage stands for all of its lines, a line for itself; what is pulled can be used, and a rollback undone."""
    assert list_models(world.uri) == []
    world.promote(1)
    world.promote(0)
    world.promote(2, name="fruits", data="fruits", data_digest="f" * 32)
    refs = ["colorizer@2", "colorizer@1", "colorizer-fruits@1"]
    assert [version.ref for version in list_models(world.uri)] == refs
    assert [version.ref for version in list_models(world.uri, of="colorizer")] == refs
    assert [version.data for version in list_models(world.uri, of="colorizer-fruits")] == ["fruits"]
    assert list_models(world.uri, of="regressor") == []

    pulled = pull_model("colorizer@champion", out=tmp_path / "model", tracking_uri=world.uri)
    assert (pulled.version.ref, pulled.folder) == ("colorizer@2", tmp_path / "model")
    assert load(pulled.folder, device="cpu").description.weights_sha256 == pulled.version.weights_sha256

    for champion, replaced in (("colorizer@1", "colorizer@2"), ("colorizer@2", "colorizer@1")):
        done = roll_back("colorizer", tracking_uri=world.uri)
        assert (done.champion.ref, done.replaced.ref) == (champion, replaced)
    with pytest.raises(ModelError, match="colorizer-fruits must have a champion and one before it"):
        roll_back("colorizer-fruits", tracking_uri=world.uri)
