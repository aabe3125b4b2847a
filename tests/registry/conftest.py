"""A world with a registry: built once, copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.registry.world import World, shared_world


@pytest.fixture(scope="session")
def base_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return shared_world(tmp_path_factory)


@pytest.fixture
def world(base_world: World, tmp_path: Path) -> World:
    return base_world.copy(tmp_path)
