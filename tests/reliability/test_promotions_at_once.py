from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from deepcolor.models.description import read_description
from deepcolor.registry.versions import list_versions
from tests.registry.conftest import base_world, world  # noqa: F401  # fixtures
from tests.registry.world import World, project
from tests.reliability.mlflow_server import Server
from tests.reliability.processes import Faults, Moment, start_call, wait_until
from tests.tracking.building import template_database


@pytest.fixture(params=["a database", "a server"])
def registry(
    request: pytest.FixtureRequest,
    world: World,  # noqa: F811
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """The world's models and runs, in its own database or on a server."""
    if request.param == "a database":
        yield world
        return
    server = Server(tmp_path / "server", database=template_database(tmp_path_factory))
    server.start()
    try:
        on_server = dataclasses.replace(world, uri=server.uri)
        project(on_server)
        yield on_server
    finally:
        server.stop()


def promote_when_told(registry: World, number: int) -> None:
    Path(f"ready-{os.getpid()}").touch()
    while not Path("go").exists():
        time.sleep(0.01)
    registry.promote(number)


def promote_now(registry: World, number: int) -> None:
    registry.promote(number)


def test_promotions_at_the_same_moment_end_as_one_after_the_other(registry: World) -> None:
    """Four processes promote two models at once: two versions, the better one champion, the other one beside it. One
    that is killed while it holds the registry's lock does not keep the next one out.
    """
    commands = [start_call(promote_when_told, registry, number, folder=registry.root) for number in (1, 0, 1, 0)]
    wait_until(lambda: len(list(registry.root.glob("ready-*"))) == len(commands), "all are ready")
    (registry.root / "go").touch()
    for command in commands:
        command.ends(0)
    by_weights = {version.weights_sha256: version for version in list_versions(registry.uri)}
    assert len(list_versions(registry.uri)) == len(by_weights) == 2
    better, worse = (by_weights[read_description(registry.models[number]).weights_sha256] for number in (0, 1))
    assert (better.aliases, better.registry_stage) == (("champion",), "Production")
    # Promoted first, it was champion before; promoted last, it lost; promoted first and last, it is both.
    assert worse.aliases in {("previous",), ("candidate",), ("candidate", "previous")}

    moment = Moment("mlflow:MlflowClient", "set_registered_model_alias")
    killed = start_call(promote_now, registry, 2, folder=registry.root, faults=Faults(dies_at=moment))
    killed.ends(-signal.SIGKILL)
    assert registry.promote(2).verdict == "loses"
    assert sum("candidate" in version.aliases for version in list_versions(registry.uri)) == 1
    with pytest.raises(MlflowException, match="not found"):
        MlflowClient(registry.uri).get_registered_model("deepcolor-lock")
