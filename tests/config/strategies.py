"""Sweeps as hypothesis draws them: every field, every form of a dimension, all three stages."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from deepcolor.config.schema import Pipeline, Sweep
from deepcolor.stages.finding import SHIPPED

STAGES = tuple(SHIPPED)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    [
        "1e-3",
        "yes",
        "null",
        "~",
        "0x10",
        "1:30",
        "010",
        "# no comment",
        "a: b",
        "two\nlines\n",
        " padded ",
        "2026-01-01",
    ]
)
LEARNING_RATES = st.floats(min_value=1e-8, max_value=1.0, allow_subnormal=False)
DECAYS = st.floats(min_value=0.0, max_value=1.0, allow_subnormal=False)
SEEDS = st.integers(0, 2**31 - 1)

AUGMENT = st.fixed_dictionaries(
    {},
    optional={
        "random_crop": st.none() | st.integers(1, 64),
        "random_horizontal_flip": st.none() | st.floats(0.01, 1.0),
        "random_rotation": st.none() | st.floats(0.5, 180.0),
        "random_adjust_sharpness": st.none() | st.floats(0.0, 10.0),
        "mode": st.sampled_from(["fixed", "fresh"]),
    },
)
DATA = st.fixed_dictionaries(
    {"name": NAMES}, optional={"size_px": st.integers(1, 16).map(lambda n: 64 * n), "augment": AUGMENT}
)
TRAINING = st.fixed_dictionaries(
    {},
    optional={
        "epochs": st.integers(1, 100_000),
        "lr": LEARNING_RATES,
        "weight_decay": DECAYS,
        "batch_size": st.integers(2, 4096),
        "optimizer": st.sampled_from(["adam", "adamw", "sgd", "rmsprop"]),
        "early_stopping": st.none() | st.booleans(),
        "seed": SEEDS,
    },
)


def _ranges(bound: st.SearchStrategy[Any], step: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    ordered = st.tuples(bound, bound).map(sorted).filter(lambda ends: ends[0] < ends[1])
    plain = ordered.map(lambda ends: {"low": ends[0], "high": ends[1]})
    logarithmic = ordered.filter(lambda ends: ends[0] > 0).map(
        lambda ends: {"low": ends[0], "high": ends[1], "log": True}
    )
    stepped = st.tuples(bound, step, st.integers(1, 6)).map(
        lambda drawn: {"low": drawn[0], "high": drawn[0] + drawn[1] * drawn[2], "step": drawn[1]}
    )
    return plain | logarithmic | stepped


SPACE = st.fixed_dictionaries(
    {},
    optional={
        "lr": st.lists(LEARNING_RATES, min_size=1, max_size=4, unique=True) | _ranges(LEARNING_RATES, LEARNING_RATES),
        "weight_decay": st.lists(st.sampled_from([0, 1e-6, 1e-5, 1]), min_size=1, max_size=4, unique=True),
        "epochs": _ranges(st.integers(1, 1000), st.integers(1, 50)),
        "feature_maps": st.lists(st.integers(1, 512), min_size=1, max_size=4, unique=True),
        "growth": st.just(["constant", "double"]),
        "early_stopping": st.just([None, True]),
        "mixed_precision": st.just([False, True]),
    },
)


@st.composite
def sweep_trees(draw: st.DrawFn, stage: str | None = None) -> dict[str, Any]:
    """A sweep as a file would hold it, allowed by the schema."""
    stage = stage or draw(st.sampled_from(STAGES))
    space = draw(SPACE)
    gridded = all(isinstance(spec, list) or "step" in spec for spec in space.values())
    sampler = draw(st.sampled_from((["grid"] if gridded else []) + (["tpe", "random"] if space else [])))
    tree: dict[str, Any] = {
        "study": draw(NAMES),
        "stage": stage,
        "description": draw(TEXTS),
        "data": draw(DATA),
        "training": draw(TRAINING),
        "search": {"sampler": sampler, "space": space, "seed": draw(SEEDS)},
    }
    if sampler != "grid":
        tree["search"]["trials"] = draw(st.integers(1, 1000))
    bounds = st.floats(0.001, 1e9) | st.fixed_dictionaries({"at_least": st.integers(1, 9)})
    tree["search"]["constraints"] = draw(
        st.dictionaries(st.sampled_from(["parameters", "mb", "epoch_s", "val/mse_a", "psnr_db"]), bounds, max_size=2)
    )
    if tree["training"].get("seed", 0) < 2**31 - 100:
        confirm = st.fixed_dictionaries({}, optional={"top": st.integers(1, 9), "seeds": st.integers(2, 9)})
        tree["search"]["confirm"] = draw(st.none() | confirm)
    if stage == "transfer":
        start = st.sampled_from(["colorizer@champion", "transfer@3", "study:wide"])
        tree["init"] = {"init_from": draw(start), "freeze": draw(st.sampled_from(["none", "encoder"]))}
    return tree


def sweeps(stage: str | None = None) -> st.SearchStrategy[Sweep]:
    """Sweeps of one stage, or of any."""
    return sweep_trees(stage).map(Sweep.model_validate)


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Pipelines of one to three stages, in order."""
    stages = draw(
        st.lists(st.sampled_from(STAGES), min_size=1, max_size=3).map(
            lambda drawn: sorted(drawn, key=list(SHIPPED).index)
        )
    )
    trees = [{**draw(sweep_trees(stage)), "study": f"study-{index}"} for index, stage in enumerate(stages)]
    return Pipeline.model_validate({"pipeline": draw(NAMES), "description": draw(TEXTS), "sweeps": trees})
