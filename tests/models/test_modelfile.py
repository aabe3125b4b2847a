from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcolor.config.schema import ModelConfig
from deepcolor.errors import CorruptFileError, ModelError
from deepcolor.models import ModelDescription, build, load_model, save_model
from deepcolor.models.networks import Target

MODEL = ModelConfig(feature_maps=2, skip_connections=True)


def _description(**changes: object) -> ModelDescription:
    fields: dict[str, object] = {
        "stage": "colorizer",
        "model": MODEL,
        "size_px": 64,
        "deepcolor_version": "0.1.0",
        "trajectory": "a" * 32,
        "epoch": 3,
        "data_digest": "b" * 32,
        "parent": "regressor@3",
        "metrics": {"val_mse": 6e-4},
    }
    return ModelDescription.model_validate({**fields, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path, build("pixels", MODEL, 64), _description())
    return tmp_path


def _rewrite(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Replace the weights and sign them, as someone outside could."""
    content = safetensors.torch.save(weights)
    (folder / "model.safetensors").write_bytes(content)
    _edit(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def _edit(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("stage", ["regressor", "colorizer", "transfer"])
def test_a_saved_model_comes_back(stage: str, tmp_path: Path) -> None:
    """A saved network comes back bit by bit, in evaluation mode, with its description and checksum."""
    target: Target = "mean" if stage == "regressor" else "pixels"
    network = build(target, MODEL, 64)
    network(torch.rand(4, 1, 64, 64))
    saved = save_model(tmp_path, network, _description(stage=stage))
    loaded, description = load_model(tmp_path)

    assert description == saved
    assert saved.weights_sha256 == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert not loaded.training
    state = network.state_dict()
    assert all(value.equal(state[name]) for name, value in loaded.state_dict().items())


def test_the_same_model_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Loading and saving again changes no byte of either file."""
    network, description = load_model(folder)
    save_model(tmp_path / "again", network, description)
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_damaged_weights_are_noticed(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any cut and any changed byte of the weights is noticed by the checksum."""
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, build("pixels", MODEL, 64), _description())
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[at:]
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="It is damaged"):
        load_model(folder)


def test_a_folder_without_a_model(folder: Path, tmp_path: Path) -> None:
    """A missing folder, description or weights file is named, with what to do."""
    with pytest.raises(ModelError, match=r"must be a folder with model\.json"):
        load_model(tmp_path / "nowhere")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"feature_maps": 10**9}}, "model.feature_maps"),
        ({"size_px": 10**6}, "size_px"),
        ({"size_px": 100}, "size_px"),
        ({"stage": "painter"}, "stage"),
        ({"format": 2}, "format"),
        ({"metrics": {"val_mse": "NaN"}}, "metrics"),
        ({"model": {"dropout": 0.5}}, "model.dropout"),
        ({"parent": "x" * 10_000}, "parent"),
    ],
)
def test_absurd_descriptions_are_refused(changes: dict[str, object], message: str, folder: Path) -> None:
    """A description from outside is bounded before anything is built from it; the message names the key in one line."""
    _edit(folder, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_what_another_version_says_beside_is_passed_over(folder: Path) -> None:
    """A description with an entry that is not known here loads, and so does one of a network from before a field."""
    before = load_model(folder)[1]
    content = json.loads((folder / "model.json").read_text())
    form = {name: value for name, value in content["model"].items() if value != getattr(ModelConfig(), name)}
    assert len(form) < len(content["model"])
    _edit(folder, model=form, __class__="os.system", colour_space="L*a*b*")
    assert load_model(folder)[1] == before


def test_a_description_that_is_no_json_or_too_long(folder: Path) -> None:
    """Half a description is a damaged file; a huge one is refused unread."""
    path = folder / "model.json"
    whole = path.read_text()
    path.write_text(whole[:40])
    with pytest.raises(CorruptFileError, match="must be JSON"):
        load_model(folder)
    path.write_text(whole + " " * 2**20)
    with pytest.raises(ModelError, match="more than the 1,048,576 allowed"):
        load_model(folder)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    """Rightly signed weights with a missing, additional, differently shaped or typed tensor are refused by name."""
    network, _ = load_model(folder)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    last = "decoder.last.bias"
    for changed in (
        {name: value for name, value in state.items() if name != last},
        {**state, last: torch.zeros(3)},
        {**state, last: torch.zeros(2, dtype=torch.float64)},
    ):
        _rewrite(folder, changed)
        with pytest.raises(ModelError, match=last):
            load_model(folder)
    _rewrite(folder, {**state, "extra": torch.zeros(1)})
    with pytest.raises(ModelError, match="extra must be absent"):
        load_model(folder)


def test_a_file_larger_than_the_network_is_not_read(folder: Path) -> None:
    """A weights file far larger than the network described is refused by its size."""
    with (folder / "model.safetensors").open("ab") as file:
        file.truncate(2**34)
    with pytest.raises(ModelError, match="more than the"):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_what_is_no_ordinary_file_is_refused_at_once(name: str, folder: Path) -> None:
    """A folder, a pipe, a device without an end and a circle of links in place of a file: one line, and no wait."""
    path = folder / name
    for kind in ("a folder", "a named pipe", "a device", "links that lead in a circle"):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
        if kind == "a folder":
            path.mkdir()
        elif kind == "a named pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero" if kind == "a device" else path)
        with pytest.raises(ModelError, match=f"{path.name} must be a file that can be read; got {kind}"):
            load_model(folder)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_refused(value: float, folder: Path) -> None:
    """One NaN or infinity among rightly signed weights is named, instead of black pictures later."""
    network, _ = load_model(folder)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state["decoder.last.bias"][1] = value
    _rewrite(folder, state)
    with pytest.raises(ModelError, match=r"must be finite numbers; got NaN or infinity in decoder\.last\.bias"):
        load_model(folder)


def test_a_pickle_is_never_run(folder: Path, tmp_path: Path) -> None:
    """A pickle in place of the weights, rightly signed, is refused and what it would have done is not done."""
    target = tmp_path / "touched"

    class Touch:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(target),)

    content = pickle.dumps(Touch())
    (folder / "model.safetensors").write_bytes(content)
    _edit(folder, weights_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(ModelError, match="must be a safetensors file"):
        load_model(folder)
    assert not target.exists()
