"""What differs between the sweep a study was made from and the one given now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError


def changes_of(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Say what differs between a study's sweep and the one given now; the description may change, and is left out."""
    # Keys that a study was made before have their defaults.
    known = Sweep(**stored).model_dump(mode="json")
    return [
        f"{key}: {old!r} -> {new!r}"
        for key, old, new in _differences(known, given)
        if key.split(".")[0] != "description"
    ]


def refused(name: str, changes: Sequence[str]) -> StudyError:
    """The error for a sweep that is not the one its study was made from."""
    return StudyError(
        f"study: {name!r} was made from another sweep; changed: {'; '.join(changes)}. "
        "Give the sweep another study name, undo the change, or let the study grow with --extend."
    )


def _differences(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else str(key))
    elif old != new:
        yield prefix, old, new
