"""A world with a registry: built once, copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.registry.world import World, build_world
from tests.tracking.building import template_database


@pytest.fixture(scope="session")
def base_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    template = template_database(tmp_path_factory.getbasetemp())
    return build_world(tmp_path_factory.mktemp("world"), template=template)


@pytest.fixture
def world(base_world: World, tmp_path: Path) -> World:
    return base_world.copy(tmp_path)
