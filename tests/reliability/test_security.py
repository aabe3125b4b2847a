from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from typer.testing import CliRunner

from deepcolor.cli import console
from deepcolor.cli.app import app
from deepcolor.errors import DeepcolorError, UserError
from deepcolor.models.description import DESCRIPTION_FILE, WEIGHTS_FILE
from deepcolor.models.modelfile import load_model
from deepcolor.registry import names
from deepcolor.registry.pull import pull
from deepcolor.workspace import Workspace
from tests.registry.conftest import base_world, world  # noqa: F401  # fixtures
from tests.registry.world import World, make_model
from tests.reliability.conftest import Place
from tests.reliability.processes import Faults

BAD_NAMES = ["../x", "..", "/tmp/x", "a/b", "a\\b", "~", ".hidden", "", "a\nb", "a\x00b", "a\x1b[31m", "x" * 101, "-x"]


@pytest.fixture(autouse=True)
def _plain_console() -> Iterator[None]:
    """Options of one command line must not reach into the next test."""
    yield
    console.settings = console.Settings()


class Bomb:
    """An object that writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, (f"open({str(self.marker)!r}, 'w')",)


def _plant(folder: Path, marker: Path) -> None:
    """Put a pickle in place of a model folder's weights, with the checksum that belongs to it."""
    content = pickle.dumps(Bomb(marker))
    (folder / WEIGHTS_FILE).write_bytes(content)
    description = json.loads((folder / DESCRIPTION_FILE).read_text())
    description["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / DESCRIPTION_FILE).write_text(json.dumps(description))


def test_a_pickle_in_place_of_weights_is_never_run(tmp_path: Path) -> None:
    """A model folder from outside with a pickle inside is refused; the pickle does nothing (unpickled, it would)."""
    folder, marker = make_model(tmp_path / "model"), tmp_path / "marker"
    _plant(folder, marker)
    with pytest.raises(DeepcolorError, match="safetensors"):
        load_model(folder)
    assert not marker.exists()
    pickle.loads((folder / WEIGHTS_FILE).read_bytes())
    assert marker.exists()


def test_a_pickle_in_place_of_a_checkpoint_is_never_run(place: Place) -> None:
    """Even with a checksum that fits, a checkpoint that is a pickle fails its trial and does nothing else."""
    one = ("--executor", "serial", "-o", "search.space.lr=[0.01]", "-o", "search.space.weight_decay=[0]")
    shorter = (*one, "-o", "search.space.epochs=[2]")
    place.sweep(*shorter, faults=Faults(formula=False))
    (record,) = (place.root / "studies" / "trajectories").glob("*/checkpoints/e000002.json")
    marker, content = place.root / "marker", json.loads(record.read_bytes())["record"]
    bomb = pickle.dumps(Bomb(marker))
    record.with_suffix(".safetensors").write_bytes(bomb)
    content |= {"tensors_sha256": hashlib.sha256(bomb).hexdigest(), "tensors_bytes": len(bomb)}
    from deepcolor.config.schema import digest_of

    record.write_text(json.dumps({"sha256": digest_of(content), "record": content}))
    place.write_grid("longer")
    longer = (*one, "-o", "search.space.epochs=[3]")
    place.start("sweep", "longer.yaml", *longer, faults=Faults(formula=False)).wait()
    assert not marker.exists()


def test_a_registered_model_runs_no_code_and_leads_nowhere_when_pulled(
    world: World,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Artifacts exchanged for code, a pickle, or a link out of the store: pulling refuses them and runs nothing."""
    world.promote(0)
    client = MlflowClient(world.uri)
    source = Path(
        str(client.get_model_version(names.Line("colorizer").registered_name, "1").source).removeprefix("file://")
    )
    marker, secret = tmp_path / "marker", tmp_path / "secret"
    for code in source.rglob("*.py"):
        code.write_text(f"open({str(marker)!r}, 'w')")
    pulled = pull("colorizer@1", tmp_path / "whole", tracking_uri=world.uri)
    load_model(pulled)

    inside = source / "artifacts" / "model"
    _plant(inside, marker)
    with pytest.raises(DeepcolorError, match="damaged"):
        pull("colorizer@1", tmp_path / "pickle", tracking_uri=world.uri)
    secret.write_text("mine")
    (inside / WEIGHTS_FILE).unlink()
    (inside / WEIGHTS_FILE).symlink_to(secret)
    with pytest.raises(DeepcolorError):
        pull("colorizer@1", tmp_path / "link", tracking_uri=world.uri)
    assert not marker.exists()
    assert [(tmp_path / name).exists() for name in ("pickle", "link")] == [False, False]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_no_name_leads_out_of_the_workspace(tmp_path: Path, name: str) -> None:
    """Data set, study and pipeline names that are paths, links or control characters are refused on the command line,
    in one line without control characters, and nothing is written.
    """
    root = tmp_path / "workspace"
    root.mkdir()
    (tmp_path / "pictures").mkdir()
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(json.dumps({"study": name, "stage": "regressor", "data": {"name": "faces"}}))
    data = tmp_path / "data.yaml"
    data.write_text(json.dumps({"study": "s", "stage": "regressor", "data": {"name": name}}))
    before = sorted(tmp_path.rglob("*"))
    for words in (
        ["data", "prepare", str(tmp_path / "pictures"), f"--name={name}"],
        ["sweep", str(sweep)],
        ["sweep", str(data)],
        ["promote", "--", name],
        ["studies", "--", name],
    ):
        with_workspace = [words[0], *(["prepare"] if words[0] == "data" else []), "--workspace", str(root)]
        rest = words[2:] if words[0] == "data" else words[1:]
        done = CliRunner().invoke(app, [*with_workspace, *rest])
        assert isinstance(done.exception, UserError | SystemExit), (words, done.exception)
        assert done.exit_code != 0
        assert not any(character in str(done.exception) for character in "\x00\x1b")
    written = [path for path in sorted(tmp_path.rglob("*")) if path not in before and not path.is_relative_to(root)]
    assert written == []


@given(st.text(max_size=20))
def test_whatever_the_name_its_folder_lies_in_the_workspace(name: str) -> None:
    """Either the name is refused, or its folder is a direct child of where such folders lie."""
    workspace = Workspace.at("/w")
    for folder, parent in ((workspace.study, workspace.studies), (workspace.dataset, workspace.datasets)):
        try:
            path = folder(name)
        except UserError:
            continue
        assert path.resolve().parent == parent
