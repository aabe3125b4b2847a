"""Requests to end single trials of a study, whoever drives it and on whichever host.

    studies/<study>/stop-trials/<number>   asks for it, and says who does

The file is the stop file of the segment that the trial is trained by, so its epoch is the last one; the driver ends the
trial when it next looks, and removes the file. A request that no driver has seen waits for the next one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from deepcolor.atomic import write_atomically
from deepcolor.plainfile import read_plain

_FOLDER = "stop-trials"
_MOST_BYTES = 1024


def trial_stop_file(folder: Path, number: int) -> Path:
    """Return the file that asks to end a trial.

    Args:
        folder: That of the study.
        number: Of the trial.
    """
    return folder / _FOLDER / str(number)


def ask_to_stop(folder: Path, number: int, *, by: str) -> None:
    """Ask whoever drives a study to end one of its trials.

    Args:
        folder: That of the study.
        number: Of the trial.
        by: Who asks.
    Raises:
        OSError: The folder cannot be written to.
    """
    write_atomically(trial_stop_file(folder, number), by.encode()[:_MOST_BYTES])


def asked_stops(folder: Path) -> dict[int, str]:
    """Return who has asked to end which trials; nothing where the folder cannot be read."""
    asked: dict[int, str] = {}
    with suppress(OSError), os.scandir(folder / _FOLDER) as entries:
        for entry in entries:
            if entry.name.isdecimal():
                asked[int(entry.name)] = _by(Path(entry.path))
    return asked


def forget_stop(folder: Path, number: int) -> None:
    """Remove a request that has been met, or has come too late."""
    with suppress(OSError):
        trial_stop_file(folder, number).unlink(missing_ok=True)


def _by(file: Path) -> str:
    with suppress(OSError):
        return " ".join(read_plain(file, most_bytes=_MOST_BYTES).decode("utf-8", "replace").split()) or "somebody"
    return "somebody"
