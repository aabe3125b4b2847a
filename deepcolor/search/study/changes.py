"""What differs between a study's sweep and the one given now, and the file that holds the study's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deepcolor.atomic import write_atomically
from deepcolor.config.load import to_yaml
from deepcolor.config.schema import Sweep
from deepcolor.config.stored import read_stored
from deepcolor.counting import counted
from deepcolor.errors import StudyError
from deepcolor.search.study.starts import read_start
from deepcolor.workspace import Workspace

RESOLVED_FILE = "sweep.yaml"
"""In a study's folder: its sweep as it runs."""

_SHOWN = 5
"""Changes that are named in an error; of more, how many there are."""
_LEFT_TO_THE_STUDY = {"search.pruner.min_epochs", "search.pruner.extrapolate"}
"""Keys for which null means the value that the study has."""


def changes_of(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Say what differs between a study's sweep and the one given now; the description may change, and is left out.

    Args:
        stored: The sweep as a study holds it; keys that came later are missing, and have what their absence means.
        given: All keys of the sweep given now.
    """
    known = read_stored(Sweep, stored).value.model_dump(mode="json")
    return [
        f"{key}: {old!r} -> {new!r}"
        for key, old, new in _differences(known, given)
        if key.split(".")[0] != "description" and not (key in _LEFT_TO_THE_STUDY and new is None)
    ]


def refused(workspace: Workspace, name: str, changes: Sequence[str]) -> StudyError:
    """The error for a sweep that differs from its study's."""
    start = read_start(workspace.study(name))
    # Other code means other trainings, under which finished trials would mean something else.
    other_code = any(change.startswith("code.") for change in changes)
    own_name = "give the sweep another study name"
    given = own_name if other_code else f"extend the study with --extend, or {own_name}"
    shown = "; ".join(changes[:_SHOWN])
    if len(changes) > _SHOWN:
        shown += f"; and {counted(len(changes) - _SHOWN, 'other key')}"
    last = f" It was last started with: {start.command}." if start else ""
    return StudyError(
        f"study: {name!r} has a different sweep from the one given; changed: {shown} (in the study -> given)."
        f"{last} To continue with the study's sweep: deepcolor studies {name} --write-sweep FILE, then "
        f"deepcolor sweep FILE. To use the one given: {given}."
    )


def write_resolved(workspace: Workspace, sweep: Sweep) -> None:
    """Keep a study's sweep in its folder as it runs, with all defaults written out, for people to read.

    Raises:
        OSError: The folder cannot be written to.
    """
    path = workspace.study(sweep.study) / RESOLVED_FILE
    heading = f"# The sweep of study {sweep.study} as it runs. Written by deepcolor, never read back."
    content = f"{heading}\n{to_yaml(sweep)}".encode()
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)


def _differences(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else str(key))
    elif old != new:
        yield prefix, old, new
