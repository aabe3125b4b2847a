"""Models of the two kinds of network, in folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepcolor.inference import ColorModel, load
from tests.registry.world import World, make_model, shared_world


@pytest.fixture(scope="session")
def colorizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "colorizer", seed=1)


@pytest.fixture(scope="session")
def colorizer(colorizer_folder: Path) -> ColorModel:
    model: ColorModel = load(colorizer_folder, device="cpu")
    return model


@pytest.fixture(scope="session")
def regressor(tmp_path_factory: pytest.TempPathFactory) -> ColorModel:
    folder = make_model(tmp_path_factory.mktemp("models") / "regressor", seed=1, stage="regressor")
    model: ColorModel = load(folder, device="cpu")
    return model


@pytest.fixture(autouse=True)
def no_tracking_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def base_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return shared_world(tmp_path_factory)


@pytest.fixture
def world(base_world: World, tmp_path: Path) -> World:
    return base_world.copy(tmp_path / "world")
