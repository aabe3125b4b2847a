"""What a stage says of the size of its models, and what a sweep may do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from deepcolor.config.load import load_sweep
from deepcolor.config.schema import Sweep
from deepcolor.errors import ConfigError
from deepcolor.models.networks import build
from deepcolor.search.plan.workload import workload
from deepcolor.search.study.sizes import known_figures, size_of

FORMULA = (Path(__file__).parent / "formula.py").read_text()
SAYS_SIZE = """
    @classmethod
    def size(cls, job):
        from deepcolor.stages import Size
        return Size(parameters=1 + int(job.model.start), bytes=72)
"""
SWEEP = """
study: near
stage: own.py:MyFormula
search:
  objective: val/far
  constraints: {parameters: 2}
  space:
    pull: [0.1, 0.5]
    start: {low: 0.0, high: 2.0, step: 1.0}
"""


@pytest.mark.parametrize("stage", ["regressor", "colorizer"])
@pytest.mark.parametrize(
    "model",
    [
        {"feature_maps": 3},
        {"feature_maps": 17, "growth": "double"},
        {"feature_maps": 8, "skip_connections": True},
        {"feature_maps": 40, "output_activation": "tanh"},
    ],
)
def test_the_size_is_that_of_the_saved_weights(stage: str, model: dict[str, Any]) -> None:
    """Weights are counted, and the file is foretold to the byte, for any form of the shipped networks."""
    if stage == "regressor":
        model = {name: value for name, value in model.items() if name != "skip_connections"}
    tree = {"study": "s", "stage": stage, "data": {"name": "x"}, "model": model, "search": {"space": {"lr": [0.1]}}}
    setting = Sweep.model_validate(tree).setting({"lr": 0.1})
    network = build("mean" if stage == "regressor" else "pixels", setting.model, 128)  # type: ignore[arg-type]
    found = size_of(setting)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    assert found.parameters == sum(each.numel() for each in network.parameters())
    assert found.bytes == len(safetensors.torch.save(tensors))
    assert known_figures(setting)["mb"] == found.bytes / 1e6


def test_a_stage_of_ones_own_says_it_or_is_told_to(tmp_path: Path) -> None:
    """Without a size a bound on it is refused in a line; with one, a plan counts only what fits."""
    (tmp_path / "own.py").write_text(FORMULA)
    (tmp_path / "near.yaml").write_text(SWEEP)
    with pytest.raises(ConfigError) as caught:
        load_sweep(tmp_path / "near.yaml")
    assert str(caught.value) == (
        f"parameters: the stage MyFormula does not say how large its models are; got parameters ({tmp_path}/near.yaml, "
        "search.constraints.parameters). Give it a class method size(cls, job) (docs/extending.md), or leave it out."
    )
    (tmp_path / "own.py").write_text(FORMULA + SAYS_SIZE)
    sweep = load_sweep(tmp_path / "near.yaml")
    work = workload(sweep, [], data_digest="d", store=tmp_path / "store", parent_of=lambda _: None)
    assert (work.trials, work.left_out) == (4, "2 of 6 settings left out: over search.constraints.parameters")
