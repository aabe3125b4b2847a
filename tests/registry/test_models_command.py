from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from deepcolor.cli import console
from deepcolor.cli.models import models, pull, rollback
from deepcolor.errors import ModelError
from tests.registry.world import World


@pytest.fixture(autouse=True)
def fresh_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "settings", console.Settings())


def run(command: Callable[..., None], world: World, *arguments: object) -> Result:
    """Run a command on a world's registry."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    result = CliRunner().invoke(app, [*map(str, arguments), "--tracking-uri", world.uri])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def said(result: Result) -> Any:
    """The JSON a command printed."""
    return json.loads(result.stdout)


def test_models_are_listed_with_aliases_and_figures(world: World) -> None:
    """For people a table, for scripts JSON with everything a version carries."""
    assert "no models yet" in run(models, world).stdout
    done = world.promote(0)
    assert "colorizer@1" in run(models, world).stdout
    (version,) = said(run(models, world, "colorizer", "--json"))
    assert version["ref"] == "colorizer@1"
    assert version["aliases"] == ["champion"]
    assert version["registry_stage"] == "Production"
    assert version["test"] == done.test
    assert version["model"]["feature_maps"] == 3


def test_pull_by_registry_stage_and_rollback(world: World, tmp_path: Path) -> None:
    """Production is the champion, before and after a rollback."""
    world.promote(1)
    world.promote(0)
    pulled = said(run(pull, world, "colorizer", "--registry-stage", "Production", "-o", tmp_path / "a", "--json"))
    assert pulled["ref"] == "colorizer@2"
    assert said(run(rollback, world, "colorizer", "--json"))["champion"]["ref"] == "colorizer@1"
    pulled = said(run(pull, world, "colorizer", "--registry-stage", "Production", "-o", tmp_path / "b", "--json"))
    assert pulled["ref"] == "colorizer@1"
    assert (tmp_path / "b" / "model.safetensors").exists()


def test_an_unknown_stage_is_refused_with_the_list(world: World) -> None:
    """A misspelt stage names the three."""
    with pytest.raises(ModelError, match="regressor, colorizer, transfer"):
        run(rollback, world, "coloriser")
