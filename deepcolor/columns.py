"""Read what another version has stored: it may lack columns that came later, and hold some that came later still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def from_columns(kind: type[T], content: Mapping[str, Any]) -> T:
    """Build a dataclass from what is stored of it: a missing column has its default, an unknown one is passed over.

    Args:
        kind: The dataclass; a field that came later has a default, which says what its absence meant.
        content: Values by the names of fields.
    Raises:
        TypeError: A column without a default is missing.
    """
    assert is_dataclass(kind)
    return kind(**{field.name: content[field.name] for field in fields(kind) if field.name in content})
