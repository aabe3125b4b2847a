"""What a space, and the settings to try first, may not say: each in one line, with its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepcolor.config.load import load_sweep, sweep_of
from deepcolor.errors import ConfigError

OPTIMIZERS = {"optimizer": ["adam", "sgd"]}


def refused(space: dict[str, Any], *, training: dict[str, Any] | None = None, **search: Any) -> str:
    content = {"study": "s", "stage": "regressor", "data": {"name": "faces"}, "training": training or {}}
    with pytest.raises(ConfigError) as caught:
        sweep_of({**content, "search": {"space": space, **search}})
    return str(caught.value)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({**OPTIMIZERS, "momentum": {"values": [0.9], "when": {"optimiser": "sgd"}}}, "Did you mean optimizer?"),
        (
            {**OPTIMIZERS, "momentum": {"values": [0.9], "when": {"optimizer": "sdg"}}},
            "got 'sdg' (the sweep given, search.space.momentum.when.optimizer). Did you mean sgd? Allowed: adam, sgd.",
        ),
        (
            {"lr": {"values": [0.1], "when": {"patience": 2}}, "patience": {"values": [2], "when": {"lr": 0.1}}},
            "when: conditions must not go round in a circle; got lr -> patience -> lr",
        ),
        ({"lr": {"values": [0.1, 0.2], "when": {"lr": 0.3}}}, "go round in a circle; got lr -> lr"),
        ({**OPTIMIZERS, "momentum": {"values": [0.9], "when": "sgd"}}, "when: must be a mapping of conditions"),
        ({**OPTIMIZERS, "momentum": {"values": [0.9], "wen": {}}}, "wen: unknown key"),
        ({**OPTIMIZERS, "momentum": [0.9]}, "momentum: means something to sgd and rmsprop only"),
        ({"size": {"values": {"small": {"featuremaps": 3}}}}, "featuremaps: unknown key"),
        ({"size": {"values": {"small": {"lr": -3}}}}, "lr: must be above 0; got -3"),
        (
            {"size": {"values": {"a": {"lr": 0.1}}}, "lr": [0.1]},
            "lr: a field can be searched once only; got lr in size",
        ),
        ({"size": {"values": {"a": {"lr": 0.1}, "b": {"lr": 0.1}}}}, "size: mappings must differ from each other"),
        ({"lr": {"values": {"a": {"patience": 2}}}}, "needs a name of its own; got lr, a field of training"),
        ({"state": {"values": {"a": {"lr": 0.1}}}}, "no column of the leaderboard"),
        (
            {"size": {"values": {"a": {"lr": 0.1}}}, "patience": {"values": [2], "when": {"lr": 0.1}}},
            "lr: is set by size (the sweep given, search.space.patience.when.lr). Name size and its labels",
        ),
        (
            {"random_rotation": {"low": 1, "high": 90}},
            "random_rotation: a grid needs a list of values, or a range with a step",
        ),
        ({"augment.random_crop": [4]}, "augment: the keys of a space are flat; got the section augment"),
        ({"data": {"augment": {"random_crop": [4]}}}, "data: the keys of a space are flat; got the section data"),
        ({"random_rotation": list(range(1, 70))}, "space: pictures may be decoded in 64 forms at most; got 69"),
        ({"lr": [{"patience": 2}, 3]}, "lr: mappings and single values cannot be mixed; got 3"),
    ],
)
def test_a_space_that_means_nothing_is_refused(space: dict[str, Any], expected: str) -> None:
    """Unknown names and values, circles, and fields that are searched twice."""
    assert expected in refused(space)


def test_pictures_are_not_decoded_in_any_number_of_forms() -> None:
    """A sampler may draw any number from a range, so a range of augmentation needs steps."""
    said = refused({"random_rotation": {"low": 1, "high": 90}}, sampler="random", trials=3)
    assert "random_rotation: pictures are decoded for each of its values; got a range without steps" in said


def test_momentum_belongs_to_optimizers_that_have_it() -> None:
    """Fixed beside another optimizer it is refused; under a condition, or with labels that give both, it is not."""
    said = "momentum: means something to sgd and rmsprop only; got optimizer adam beside it"
    assert said in refused({"lr": [0.1]}, training={"momentum": 0.5})
    content = {"study": "s", "stage": "regressor", "data": {"name": "faces"}}
    both = {"plain": {"optimizer": "adam"}, "heavy": {"optimizer": "sgd", "momentum": 0.99}}
    for space in (
        {**OPTIMIZERS, "momentum": {"low": 0.0, "high": 0.99, "step": 0.33, "when": {"optimizer": "sgd"}}},
        {"kind": {"values": both}},
    ):
        sweep_of({**content, "search": {"space": space}})


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (
            [{"lr": 0.5}],
            "lr: must lie in search.space.lr; got 0.5 (the sweep given, search.first.0.lr). Allowed: 0.001",
        ),
        ([{"lr": 0.01}, {"epoch": 3}], "epoch: unknown key (the sweep given, search.first.1.epoch)"),
        (
            [{"optimizer": "adam", "momentum": 0.5}],
            "momentum: is searched only where optimizer is sgd; got optimizer='adam'",
        ),
        ([{"lr": 0.01}, {"lr": 1e-2}], "first.1: settings must differ from each other"),
        (
            [{"lr": 0.1 / n} for n in range(1, 7)],
            "first: must be no more settings than the study has trials (5); got 6",
        ),
        ("rates.txt", "first: must be settings, or name a table or a study of them"),
        ("study:s", "first: a study cannot begin with its own trials"),
        ([3], "first.0: must be a mapping of parameters and their values; got 3"),
    ],
)
def test_settings_to_try_first_lie_in_the_space(first: Any, expected: str) -> None:
    """Each is checked when the sweep is read, and the message names its entry."""
    space = {
        **OPTIMIZERS,
        "lr": {"low": 1e-3, "high": 0.1},
        "momentum": {"low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
    }
    assert expected in refused(space, sampler="tpe", trials=5, first=first)


def test_a_grid_is_not_stopped_before_its_last_point() -> None:
    """A grid is there to be gone through."""
    assert "stop: a grid tries all of its points; got stop: regret" in refused({"lr": [0.1]}, stop="regret")
    assert "name: must be one of regret" in refused({"lr": [0.1]}, stop="regrets")


def test_settings_to_try_first_are_read_from_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns by parameter, the others passed over in a line; a row outside the space is named by file and line."""
    (tmp_path / "sweep.yaml").write_text(
        "study: s\nstage: regressor\ndata: {name: faces}\n"
        "search: {first: runs.csv, space: {lr: [1e-2, 1e-3], optimizer: [adam, sgd]}}\n"
    )
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "runs.csv"
    table.write_text("rank,lr,optimizer,value\n1,0.001,sgd,3\n2,0.001,sgd,4\n3,,adam,5\n")
    sweep = load_sweep(tmp_path / "sweep.yaml")
    assert sweep.search.first == ({"lr": 0.001, "optimizer": "sgd"}, {"optimizer": "adam"})
    assert sweep.said == (f"{table}: settings by lr, optimizer; no parameters, and passed over: rank, value",)
    assert len(load_sweep(tmp_path / "sweep.yaml", ["search.first=runs.csv#1"]).search.first) == 1
    table.write_text("lr\n0.001\n7\n")
    with pytest.raises(ConfigError, match=r"lr: must lie in search.space.lr; got 7 \(.*runs.csv, line 3\)"):
        load_sweep(tmp_path / "sweep.yaml")
    table.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="a column for some of lr, optimizer; got the columns a, b"):
        load_sweep(tmp_path / "sweep.yaml")
