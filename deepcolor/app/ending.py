"""Tell somebody when a sweep or a pipeline has ended, however it has."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from deepcolor.app.reporter import Reporter
from deepcolor.errors import DeepcolorError, Interrupted
from deepcolor.notify import Notify, tell
from deepcolor.printable import without_secrets
from deepcolor.words import params_line, value_text

if TYPE_CHECKING:
    from deepcolor.search.rules.summary import Summary

Event = Literal["done", "failed", "interrupted"]
_WAITS_S = (1.0, 5.0)
"""Somebody is waiting for the command to end."""


@dataclass
class Ending:
    """What is to be said of an end; an error says it by itself."""

    event: Event = "done"
    message: str = ""


@contextmanager
def told_of_end(
    notify: Notify | None, *, kind: str, name: str, studies: Sequence[str], reporter: Reporter
) -> Iterator[Ending]:
    """Tell somebody how what is done here has ended, as the service does of submissions.

    Args:
        notify: Whom; None: nobody.
        kind: `sweep` or `pipeline`.
        name: Of the study, or of the pipeline.
        studies: That belong to it.
        reporter: Is warned where nobody could be told; that is no failure of what has ended.
    Yields:
        What will be told, to be filled in.
    """
    ending = Ending()
    try:
        yield ending
    except BaseException as error:
        stopped = isinstance(error, Interrupted | KeyboardInterrupt)
        ending.event = "interrupted" if stopped else "failed"
        known = isinstance(error, DeepcolorError | Interrupted)
        ending.message = str(error) if known else type(error).__name__
        raise
    finally:
        if notify is not None:
            _tell(notify, ending, kind=kind, name=name, studies=studies, reporter=reporter)


def said_of(summary: Summary) -> tuple[Event, str]:
    """How a sweep has ended, and in one line with what."""
    counts = [
        f"{count} {state}"
        for state in ("complete", "pruned", "waiting", "failed")
        if (count := getattr(summary, state)) or state == "complete"
    ]
    best = summary.best
    found = f"; best: trial {best.number}, {value_text(best.value)}, {params_line(best.params)}" if best else ""
    event: Event = "interrupted" if summary.state == "interrupted" else "done"
    if summary.failed and not (summary.complete or summary.pruned or summary.waiting):
        event = "failed"
    return event, f"{', '.join(counts)}{found}".rstrip(", ")


def _tell(notify: Notify, ending: Ending, *, kind: str, name: str, studies: Sequence[str], reporter: Reporter) -> None:
    payload = {
        "event": ending.event,
        "submission": None,
        "kind": kind,
        "name": name,
        "studies": list(studies),
        "user": _user(),
        "message": without_secrets(ending.message),
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    about = f"{name} is {ending.event}"
    tell(notify, payload, about=about, warn=reporter.warn, wait=_wait, waits_s=_WAITS_S)


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # Of a user without a name, as in some containers.
        return ""
