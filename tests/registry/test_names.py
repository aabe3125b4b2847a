from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.errors import ModelError
from deepcolor.registry.names import Line, Ref, is_ref, line_of, named_line, parse_line, parse_ref
from deepcolor.stages.finding import SHIPPED


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("colorizer@champion", Ref(Line("colorizer"), alias="champion")),
        ("colorizer@3", Ref(Line("colorizer"), number=3)),
        ("transfer", Ref(Line("transfer"), alias="champion")),
        ("colorizer-old.fruits-2@champion", Ref(Line("colorizer", "old.fruits-2"), alias="champion")),
        ("models:/deepcolor-transfer@previous", Ref(Line("transfer"), alias="previous")),
        ("models:/deepcolor-regressor/12", Ref(Line("regressor"), number=12)),
        ("models:/deepcolor-colorizer/Production", Ref(Line("colorizer"), registry_stage="Production")),
        ("models:/deepcolor-colorizer-fruits/3", Ref(Line("colorizer", "fruits"), number=3)),
    ],
)
def test_references_are_understood(text: str, ref: Ref) -> None:
    """The form of deepcolor and that of MLflow mean the same."""
    assert parse_ref(text) == ref


def test_a_registry_stage_goes_with_the_stage_alone() -> None:
    """Any case will do; together with an alias it is refused."""
    assert parse_ref("colorizer", registry_stage="production") == Ref(Line("colorizer"), registry_stage="Production")
    with pytest.raises(ModelError, match="name the stage alone"):
        parse_ref("colorizer@champion", registry_stage="Production")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Painter@1",
        "colorizer@",
        "colorizer@../../x",
        "colorizer@1/../2",
        "/etc@1",
        "models:/x/1",
        "colorizer@1 ",
        "colorizer-@1",
        "colorizer-..@1",
        "colorizer-a/b@1",
        "colorizer-a b@1",
        "colorizer-a'b@1",
    ],
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


@given(
    st.sampled_from([*SHIPPED, "my_stage"]),
    st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
    st.integers(0, 10**8),
)
def test_a_reference_reads_back(stage: str, name: str | None, number: int) -> None:
    """What a reference prints is what it was parsed from; MLflow's form and its name of the model give the same."""
    line = Line(stage, name)
    ref = parse_ref(f"{line}@{number}")
    assert ref == Ref(line, number=number)
    assert parse_ref(str(ref)) == ref
    assert parse_ref(f"models:/{line.registered_name}/{number}") == ref
    assert parse_line(str(line)) == line_of(line.registered_name) == line
    assert is_ref(str(ref))


def test_a_name_of_its_own() -> None:
    """It is given short, or as the list of models shows it; the stage alone means the line without one."""
    assert (
        named_line("colorizer", "fruits") == named_line("colorizer", "colorizer-fruits") == Line("colorizer", "fruits")
    )
    assert named_line("colorizer", "colorizer") == Line("colorizer")
    for name in ("", "a/b", "../x", "a b", "x" * 101):
        with pytest.raises(ModelError, match="--as: must be"):
            named_line("colorizer", name)


def test_what_is_no_model_of_deepcolor() -> None:
    """Registered models of others are passed over, and a folder's name is no reference."""
    for other in (
        "deepcolor-",
        "colorizer",
        "somebody-elses",
        "deepcolor-Painter",
    ):
        assert line_of(other) is None
    assert not is_ref("colorizer-old")
    assert not is_ref("models/colorizer@3")
