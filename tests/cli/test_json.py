"""What commands print with --json, as any reader of JSON takes it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcolor.cli import console

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each) | st.tuples(each) | st.dictionaries(st.text(), each),
    max_leaves=10,
)


def plain(value: Any) -> Any:
    """The value as JSON can say it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@settings(max_examples=40)
@given(data=st.dictionaries(st.text(), VALUES))
def test_every_result_is_json_that_others_can_read(data: dict[str, Any]) -> None:
    """One line that holds what was given, with null where a diverged trial has infinity or no number."""
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr(console.settings, "json", True)
        patch.setattr("builtins.print", said.append)
        console.result("", data)
    (line,) = said
    assert "\n" not in line
    assert json.loads(line, parse_constant=refuse) == plain(data)
