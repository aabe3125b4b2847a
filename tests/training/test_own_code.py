"""Trainings with code of a user's own: cut anywhere, they give what they give uncut."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import deepcolor
from deepcolor.coloring.packing import packed, unpacked
from deepcolor.errors import CodeError
from deepcolor.plugins import Code, keep, read, resolved
from deepcolor.training.advance import advance
from deepcolor.training.trajectory import Segment, TrajectoryPaths
from tests.training.conftest import Prepared

OPTIMIZERS = '''
import torch
from torch.optim import Adam, Optimizer

class Noisy(Optimizer):
    """Holds what an optimizer may hold: numbers, half and double precision, lists, and state beside torch's own."""

    def __init__(self, parameters, *, lr, weight_decay):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "betas": (0.9, None)})
        self.steps = 0

    def state_dict(self):
        return {**super().state_dict(), "steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state.pop("steps")
        super().load_state_dict(state)

    @torch.no_grad()
    def step(self, closure=None):
        self.steps += 1
        for group in self.param_groups:
            group["scale"] = group.get("scale", 1.0) * 0.999999999
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["mean"] = torch.zeros_like(parameter, dtype=torch.float64)
                    state["half"] = torch.zeros_like(parameter, dtype=torch.bfloat16)
                    state["seen"], state["kept"] = 0, [torch.zeros(3, dtype=torch.int64), "text"]
                state["seen"] += 1
                state["kept"][0] += state["seen"]
                state["mean"].lerp_(parameter.grad.double(), 0.1)
                state["half"].copy_(parameter.grad)
                noise = torch.randn_like(parameter) * 1e-3 / self.steps
                step = state["mean"].float() + 0.1 * state["half"].float() + noise
                parameter.add_(step, alpha=-group["lr"] * group["scale"])

class Odd(Adam):
    def __init__(self, parameters, *, lr, weight_decay):
        super().__init__(parameters, lr=lr)
        self.param_groups[0]["odd"] = object()

def Rprop(parameters, lr, weight_decay):
    return torch.optim.Rprop(parameters, lr=lr)

def no_optimizer(parameters, lr, weight_decay):
    return 3
'''


NETWORKS = """
from torch import nn

class Line(nn.Module):
    def __init__(self, model, *, target, size_px):
        super().__init__()
        self.target = target
        self.encoder, self.drop = nn.Conv2d(1, model.feature_maps, 3, padding=1), nn.Dropout(0.1)
        self.last = nn.Conv2d(model.feature_maps, 2, 1)

    def forward(self, lightness):
        out = self.last(self.drop(self.encoder(lightness)))
        return out.mean(dim=(2, 3)) if self.target == "mean" else out

class Small(Line):
    def forward(self, lightness):
        return super().forward(lightness)[:, :1]

class Blind(Line):
    def __init__(self, model, *, target, size_px):
        super().__init__(model, target=target, size_px=size_px)
        self.last = nn.Sequential(self.encoder, self.last)
        del self.encoder

def far(predicted, true):
    return (predicted - true).abs().reshape(len(true), -1).mean(dim=1)

def whole(predicted, true):
    return (predicted - true).abs().mean()
"""


@pytest.fixture
def own(tmp_path: Path, prepared: Prepared) -> Any:
    """Segments with code out of a file that is gone once it is kept."""

    def segment(store: Path, *, text: str, **options: Any) -> Segment:
        file = tmp_path / "own.py"
        file.write_text(text)
        digests = {}
        named = [options.get(name, "") for name in ("optimizer", "loss", "network")]
        for name in (*named, *options.get("metrics", ()), *options.get("final_metrics", ())):
            reference = resolved(name, group="deepcolor.none")
            if reference is not None:
                digests[reference.place] = read(reference, folder=tmp_path)
        keep(Code(digests, tmp_path / "code"))
        file.unlink()
        return prepared.segment(store, code=tmp_path / "code", setting_code=digests, **options)

    return segment


def checkpoint(segment: Segment, epoch: int) -> str:
    paths = TrajectoryPaths(segment.store, segment.trajectory.digest)
    return hashlib.sha256(paths.checkpoint(epoch).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "optimizer", ["own.py:Noisy", "own.py:Adam", "torch.optim:NAdam", "torch.optim:Adafactor", "own.py:Rprop"]
)
def test_a_brought_optimizer_is_cut_and_gone_on_with_to_the_last_bit(own: Any, tmp_path: Path, optimizer: str) -> None:
    """All of its state goes through a checkpoint: tensors of any type, numbers, its own attributes, and its draws."""
    whole = own(tmp_path / "whole", text=OPTIMIZERS, optimizer=optimizer, to_epoch=4)
    assert math.isfinite(advance(whole).history[-1].metrics["val/mse"])
    for to_epoch in (1, 2, 4):
        cut = own(tmp_path / "cut", text=OPTIMIZERS, optimizer=optimizer, to_epoch=to_epoch)
        torch.rand(to_epoch)  # Whatever was drawn before.
        advance(cut)
    assert checkpoint(whole, 4) == checkpoint(cut, 4)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("own.py:Odd", "an optimizer's state must be of tensors, numbers, text, lists and dicts; got object at param"),
        ("own.py:no_optimizer", "own.py:no_optimizer must give a torch.optim.Optimizer; got int"),
        ("torch.optim:Optimizer", r"torch.optim:Optimizer must take \(parameters, lr=..., weight_decay=...\); got Ty"),
    ],
)
def test_what_is_no_optimizer_is_refused_before_anything_is_trained(
    own: Any, tmp_path: Path, name: str, problem: str
) -> None:
    """In one line that says what it is in place of what it must be."""
    with pytest.raises(CodeError, match=problem):
        advance(own(tmp_path / "store", text=OPTIMIZERS, optimizer=name))


def test_a_brought_network_is_trained_measured_and_used_as_a_shipped_one(own: Any, tmp_path: Path) -> None:
    """Cut anywhere it gives the same bits, whatever it draws; metrics of the user's own are of its colours; its result
    folder alone colours a picture of any size.
    """
    brought = {"network": "own.py:Line", "metrics": ["own.py:far"], "final_metrics": ["own.py:far"]}
    whole = own(tmp_path / "whole", text=NETWORKS, stage="colorizer", to_epoch=3, **brought)
    done = advance(whole)
    for to_epoch in (1, 3):
        cut = own(tmp_path / "cut", text=NETWORKS, stage="colorizer", to_epoch=to_epoch, **brought)
        torch.rand(to_epoch)
        advance(cut)
    assert checkpoint(whole, 3) == checkpoint(cut, 3)
    assert done.result is not None
    assert done.metrics["far"] == pytest.approx(done.history[-1].metrics["val/far"], rel=1e-4)
    model = deepcolor.load(done.result, device="cpu")
    assert model.colorize(np.full((70, 130, 3), 100, np.uint8)).shape == (70, 130, 3)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"network": "own.py:Small"},
            r"own.py:Small must give a tensor of shape \(8, 2\) for lightness of 64 x 64 px; got s",
        ),
        (
            {"network": "own.py:far"},
            r"own.py:far must be made as Network\(model, target=..., size_px=...\); got TypeError",
        ),
        ({"network": "own.py:Blind", "freeze": "encoder"}, "own.py:Blind must have a part called encoder"),
        ({"metrics": ["own.py:whole"]}, r"own.py:whole must give a tensor with one number for each picture; got shape"),
        ({"final_metrics": ["own.py:whole"]}, r"own.py:whole must give a tensor with one number for each picture"),
    ],
)
def test_what_is_no_network_or_metric_is_refused_in_a_line(
    own: Any, tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    """Where it is made, or where it first gives something else than it must."""
    with pytest.raises(CodeError, match=problem) as caught:
        advance(own(tmp_path / "store", text=NETWORKS, to_epoch=1, **options))
    assert "\n" not in str(caught.value)


def test_a_state_is_packed_to_the_last_bit() -> None:
    """A tree of tensors and plain values comes back as it was, whatever types and layouts it holds."""
    tree = {
        "state": {0: {"a": torch.tensor([math.nan, -0.0, 1e-45]), "b": 0.1, "c": True, "d": None}, 11: {}, 2: {"x": 1}},
        "groups": [{"betas": (0.9, 0.999), "params": [0, 11, 2], "inf": math.inf, "name": "é", "1": [[], ()]}],
        "deep": torch.arange(24).reshape(2, 3, 4).permute(2, 0, 1),
    }
    back = unpacked(packed(tree))

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, Tensor):
            return bool(a.dtype == b.dtype) and a.contiguous().numpy().tobytes() == b.contiguous().numpy().tobytes()
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
        if isinstance(a, list | tuple):
            return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
        return type(a) is type(b) and bool(a == b)

    assert same(tree, back)
    assert packed(back)["tree"].equal(packed(tree)["tree"])


LOSSES = """
import torch
from torch.nn.functional import mse_loss

def twice(output, target):
    return 2 * mse_loss(output, target)

class Weighted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.tensor([2.0, 0.5]))

    def forward(self, output, target):
        weight = self.weight if output.ndim == 2 else self.weight[:, None, None]
        return (weight * (output - target).square()).mean() + 0 * torch.rand(())

def each(output, target):
    return (output - target).square()

broken = 3
"""


@pytest.mark.parametrize("loss", ["l1", "smooth_l1", "own.py:Weighted", "torch.nn:HuberLoss"])
@pytest.mark.parametrize("stage", ["regressor", "colorizer"])
def test_another_loss_is_minimised_and_recorded_under_its_own_name(
    own: Any, tmp_path: Path, loss: str, stage: str
) -> None:
    """`train/loss` falls, in its own units; those of the validation stay; cut, it is whole."""
    whole = own(tmp_path / "whole", text=LOSSES, loss=loss, stage=stage, to_epoch=4)
    history = advance(whole).history
    assert set(history[0].metrics) == {"train/loss", "val/mse", "val/mse_a", "val/mse_b"}
    assert history[-1].metrics["train/loss"] < history[0].metrics["train/loss"]
    for to_epoch in (1, 4):
        cut = own(tmp_path / "cut", text=LOSSES, loss=loss, stage=stage, to_epoch=to_epoch)
        advance(cut)
    assert checkpoint(whole, 4) == checkpoint(cut, 4)


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
def test_the_loss_is_in_units_of_the_output(own: Any, tmp_path: Path, output: str) -> None:
    """In the first step nothing but its factor tells a doubled error from mse, which is recorded in other units."""
    rows = [
        advance(own(tmp_path / loss[-5:], text=LOSSES, loss=loss, to_epoch=1, lr=1e-12, output_activation=output))
        for loss in ("mse", "own.py:twice")
    ]
    mse, twice = (row.history[0].metrics for row in rows)
    assert twice["train/loss"] == pytest.approx(2 * mse["train/mse"] * (4 if output == "tanh" else 1), rel=1e-6)
    assert twice["val/mse"] == pytest.approx(mse["val/mse"], rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "problem"),
    [
        ("own.py:each", r"own.py:each must give a tensor with one number, the mean over the batch; got shape \(8, 2\)"),
        ("own.py:broken", r"own.py:broken must be called as loss\(output, target\); got int"),
        ("torch.nn:Linear", "torch.nn:Linear must be made without arguments; got TypeError"),
    ],
)
def test_what_is_no_loss_is_refused(own: Any, tmp_path: Path, loss: str, problem: str) -> None:
    """In one line that says what it is in place of what it must be."""
    with pytest.raises(CodeError, match=problem):
        advance(own(tmp_path / "store", text=LOSSES, loss=loss))
