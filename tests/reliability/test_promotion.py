from __future__ import annotations

import signal

import pytest

from tests.registry.conftest import base_world, world  # noqa: F401  # fixtures
from tests.registry.world import World
from tests.reliability.processes import Faults, Moment, start_call

CLIENT = "mlflow:MlflowClient"
MOMENTS = {
    "before the upload": Moment(CLIENT, "log_artifacts"),
    "between upload and version": Moment(CLIENT, "create_model_version"),
    "between version and aliases": Moment(CLIENT, "set_registered_model_alias"),
    "between the two aliases": Moment(CLIENT, "set_registered_model_alias", after=True),
    "between aliases and registry stages": Moment(CLIENT, "transition_model_version_stage"),
}


def promote_again(world: World) -> None:  # noqa: F811
    world.promote(0)


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_promotion_killed_at_any_moment_is_finished_by_the_next(
    world: World,  # noqa: F811
    moment: Moment,
) -> None:
    """There is never a second version, nor a moment without a champion; the same command brings all aliases right."""
    from deepcolor.registry.versions import list_versions

    world.promote(1)
    killed = start_call(promote_again, world, folder=world.root, faults=Faults(dies_at=moment))
    killed.ends(-signal.SIGKILL)
    assert sum("champion" in version.aliases for version in list_versions(world.uri)) == 1
    world.promote(0)
    versions = {version.number: version for version in list_versions(world.uri)}
    assert sorted(versions) == [1, 2]
    assert {number: version.aliases for number, version in versions.items()} == {1: ("previous",), 2: ("champion",)}
    assert {number: version.registry_stage for number, version in versions.items()} == {1: "Archived", 2: "Production"}
