from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.config.schema import STAGES
from deepcolor.errors import ModelError
from deepcolor.registry.names import Ref, parse_ref, registered_name


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("colorizer@champion", Ref("colorizer", alias="champion")),
        ("colorizer@3", Ref("colorizer", number=3)),
        ("transfer", Ref("transfer", alias="champion")),
        ("models:/deepcolor-transfer@previous", Ref("transfer", alias="previous")),
        ("models:/deepcolor-regressor/12", Ref("regressor", number=12)),
        ("models:/deepcolor-colorizer/Production", Ref("colorizer", registry_stage="Production")),
    ],
)
def test_references_are_understood(text: str, ref: Ref) -> None:
    """The form of deepcolor and that of MLflow mean the same."""
    assert parse_ref(text) == ref


def test_a_registry_stage_goes_with_the_stage_alone() -> None:
    """Any case will do; together with an alias it is refused."""
    assert parse_ref("colorizer", registry_stage="production") == Ref("colorizer", registry_stage="Production")
    with pytest.raises(ModelError, match="name the stage alone"):
        parse_ref("colorizer@champion", registry_stage="Production")


@pytest.mark.parametrize(
    "text",
    ["", "painter@1", "colorizer@", "colorizer@../../x", "colorizer@1/../2", "/etc@1", "models:/x/1", "colorizer@1 "],
)
def test_other_texts_are_refused(text: str) -> None:
    """What is no reference is refused with an example of one, before anything is looked up or opened."""
    with pytest.raises(ModelError, match="For example"):
        parse_ref(text)


@given(st.text(max_size=50))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    """Whatever comes from outside, the answer is a reference with plain parts, or a ModelError."""
    with contextlib.suppress(ModelError):
        ref = parse_ref(text)
        assert "/" not in str(ref)
        assert ".." not in str(ref)


@given(st.sampled_from(STAGES), st.integers(0, 10**8))
def test_a_reference_reads_back(stage: str, number: int) -> None:
    """What a reference prints is what it was parsed from; MLflow's form gives the same."""
    ref = parse_ref(f"{stage}@{number}")
    assert parse_ref(str(ref)) == ref
    assert parse_ref(f"models:/{registered_name(ref.stage)}/{number}") == ref
