"""Read what another version has stored: it may lack columns that came later, or hold columns of a later version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def from_columns(kind: type[T], content: Mapping[str, Any]) -> T:
    """Build a dataclass from its stored columns: a missing column gets its default, an unknown one is ignored.

    Args:
        kind: The dataclass; a field that was added later has a default, which says what its absence meant.
        content: Values by field name.
    Raises:
        TypeError: A column without a default is missing.
    """
    names = _NAMES.get(kind)
    if names is None:
        assert is_dataclass(kind)
        names = _NAMES[kind] = tuple(field.name for field in fields(kind))
    return kind(**{name: content[name] for name in names if name in content})


_NAMES: dict[type, tuple[str, ...]] = {}
"""Of the fields, by dataclass: a study of thousands of trials is read at once."""
