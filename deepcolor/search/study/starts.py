"""How a driver was last started on a study: what its runs say of their origin, and how its segments were run.

Kept with the study, so that its runs can be rebuilt as they were, and it is known whether its timings are comparable.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from deepcolor.atomic import write_atomically
from deepcolor.columns import from_columns
from deepcolor.plainfile import read_plain
from deepcolor.printable import shown_command, without_secrets
from deepcolor.tracking.records import Provenance
from deepcolor.workspace import FAILURES

START_FILE = "start.json"
_OVERRIDES, _JOINED = ("-o", "--override"), ("-o", "--override=")
"""Options of `deepcolor sweep` that a key's value follows, as a word of its own or in the same one."""
_MOST_BYTES = 2**24
"""A command line alone can take megabytes."""


@dataclass(frozen=True)
class Start:
    """One start of a driver."""

    provenance: Provenance
    command: str
    """The command line that reproduces the study."""
    workers: int = 1
    """Segments at a time."""
    threads: int = 1
    """CPU threads of each."""


def write_start(folder: Path, start: Start) -> None:
    """Write the start of a driver into its study's folder, replacing the previous one.

    Raises:
        OSError: The folder cannot be written to.
    """
    write_atomically(folder / START_FILE, json.dumps(asdict(start), indent=2).encode() + b"\n")


def read_start(folder: Path) -> Start | None:
    """Return how a driver was last started on the study of this folder; None if that is not known."""
    try:
        content = json.loads(read_plain(folder / START_FILE, most_bytes=_MOST_BYTES))
        command = _without_secrets(content["command"])
        provenance = from_columns(Provenance, content["provenance"])
        return from_columns(Start, {**content, "command": command, "provenance": provenance})
    except (OSError, ValueError, KeyError, TypeError):
        return None  # From before this was recorded, or damaged: what depends on it does without.


def with_study(command: str, study: str) -> str:
    """Return a line that sweeps a file as one that sweeps it under a study's name, whatever the file says; another line
    as it is.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    if words[1:2] != ["sweep"]:
        return command
    kept = [
        word
        for word, after in zip(words, [*words[1:], ""], strict=True)
        if not (_sets_study(word) or (word in _OVERRIDES and _sets_study(after)))
    ]
    return shlex.join([*kept, _OVERRIDES[0], f"study={study}"])


def _sets_study(word: str) -> bool:
    return any(word.startswith(f"{option}study=") for option in ("", *_JOINED))


def _without_secrets(command: str) -> str:
    """A command as it is recorded today; early releases recorded the passwords it was given too."""
    try:
        return shown_command(shlex.split(command))
    except ValueError:
        return without_secrets(command)


def failure_file(folder: Path, number: int) -> Path:
    """Where the end of the traceback of a trial that failed is kept, below the folder of its study."""
    return folder / FAILURES / f"t{number:04d}.txt"
