"""What names a training, and what another version has stored: neither changes with a field that comes later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from deepcolor.config.schema import ModelConfig, Sweep
from deepcolor.config.stored import read_stored
from deepcolor.fields.frozen import introduced
from deepcolor.training.trajectory import InitWeights, Trajectory


class Later(ModelConfig):
    """The model's section in a later version."""

    dropout: float = Field(default=0.1, ge=0, json_schema_extra=introduced(absent=0.0))
    """Before there was this field, nothing was dropped."""
    blocks: int = 6
    """As there were before, too."""


@pytest.mark.parametrize(
    ("fields", "digest"),
    [
        ({"stage": "regressor"}, "47d7001604da99c861669007c36e288e"),
        (
            {
                "stage": "colorizer",
                "model": {"feature_maps": 16, "skip_connections": True},
                "training": {"lr_schedule": "cosine", "epochs": 30, "optimizer": "adamw"},
            },
            "4119720b4db9b1eb2f47ecb6e591f708",
        ),
        (
            {"stage": "transfer", "init": {"init_from": "colorizer@3", "freeze": "encoder"}},
            "f4fe43e44010951e6b0b3b5a2d1e6c82",
        ),
    ],
)
def test_trainings_keep_the_names_they_were_given(fields: dict[str, Any], digest: str) -> None:
    """A setting names the same training as in the first version, so that nothing is trained again."""
    data = {"name": "faces", "size_px": 64 if fields["stage"] == "transfer" else 128}
    sweep = Sweep.model_validate({"study": "s", "data": data, "search": {"space": {"lr": [0.1]}}, **fields})
    init = InitWeights("ab" * 32, Path(), "colorizer@3") if fields["stage"] == "transfer" else None
    assert Trajectory(sweep.setting({"lr": 0.1}), "d" * 32, init).digest == digest


def test_a_later_field_counts_where_it_says_something() -> None:
    """With the value that its absence means it is left out of what names and stores a section; with another it is
    there; and where it is missing from a record, that value is read.
    """
    before = ModelConfig().identity()
    assert Later(dropout=0.0).identity() == before
    assert Later().identity() == {**before, "dropout": 0.1}
    assert Later(dropout=0.0, blocks=7).identity() == {**before, "blocks": 7}
    assert read_stored(Later, before).value == Later(dropout=0.0)
    assert read_stored(Later, Later().identity()).value == Later()


def test_a_field_of_a_later_version_is_passed_over_and_named() -> None:
    """A stored sweep that sets what this version does not know is read without it, at any depth."""
    sweep = Sweep.model_validate(
        {"study": "s", "stage": "regressor", "data": {"name": "x"}, "search": {"space": {"lr": {"low": 1, "high": 2}}}}
        | {"search": {"sampler": "random", "trials": 3, "space": {"lr": {"low": 1, "high": 2}}}}
    )
    content = sweep.identity()
    content["tags"] = ["a"]
    content["model"]["dropout"] = 0.5
    content["search"]["pruner"]["grace"] = 3
    content["search"]["space"]["lr"]["prior"] = "normal"
    stored = read_stored(Sweep, content)
    assert stored.value == sweep
    assert set(stored.unknown) == {"tags", "model.dropout", "search.pruner.grace", "search.space.lr.prior"}
