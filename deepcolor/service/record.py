"""What is known of something submitted, and how it is written down."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from secrets import token_hex
from typing import Any, Literal, get_args

from deepcolor.columns import from_columns

Kind = Literal["sweep", "pipeline"]
State = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)
ACTIVE: frozenset[State] = frozenset({"queued", "running", "paused"})
"""The states from which a submission will go on; only one at a time may have the same study."""
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})
Wish = Literal["", "pause", "cancel"]
MOST_PRIORITY = 100
"""Priorities lie between this and its negative."""


@dataclass(frozen=True)
class Process:
    """The process that runs a submission."""

    place: str
    """Tells the processes that can be seen together from those of other machines and containers."""
    host: str
    pid: int
    start: int
    """When it started, in the kernel's ticks: a number used again is another process."""


@dataclass(frozen=True)
class Submission:
    """A sweep or a pipeline that somebody has submitted; all that is needed to run it, or to go on with it."""

    id: str
    kind: Kind
    name: str
    """Of the study, or of the pipeline."""
    studies: tuple[str, ...]
    """The studies that it drives."""
    user: str
    text: str = field(repr=False)
    """The file with every default, in YAML."""
    command: str = ""
    """The line that submitted it."""
    priority: int = 0
    """Among the submissions of its user, those with higher ones start first."""
    extend: bool = False
    """Let its study grow to a sweep that has changed."""
    submitted_at: float = 0.0
    """Seconds since 1970, as all times here."""
    state: State = "queued"
    wish: Wish = ""
    """What was asked of it while it runs, until it has been met."""
    message: str = ""
    """What it came to, or why it has stopped, in one line."""
    started_at: float | None = None
    """Its last start."""
    ended_at: float | None = None
    slots: tuple[int, ...] = ()
    """Numbers of the slots that it holds while it runs."""
    process: Process | None = None
    crashes: int = 0
    """How often in a row its process has ended without a word."""
    told: bool = True
    """False while somebody has yet to be told of its end."""
    own_name: str | None = None
    """Pipelines: the champion of its own that every stage competes for, as of `deepcolor pipeline --as`."""
    force: bool = False
    """Pipelines: make each best trial champion whatever the gate says."""

    def as_dict(self) -> dict[str, Any]:
        """What may be shown of it, as a JSON object."""
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "studies": list(self.studies),
            "user": self.user,
            "priority": self.priority,
            "state": self.state,
            "wish": self.wish,
            "slots": len(self.slots),
            "submitted_at": self.submitted_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "message": self.message,
        }

    def as_bytes(self) -> bytes:
        """All of it, as its file holds it."""
        return json.dumps(asdict(self), indent=1).encode() + b"\n"


def new_id(now: float | None = None) -> str:
    """Return an identity that sorts by time."""
    moment = time.gmtime(time.time() if now is None else now)
    return f"{time.strftime('%Y%m%d-%H%M%S', moment)}-{token_hex(3)}"


def read_submission(content: bytes) -> Submission:
    """Read what `as_bytes` has written, by this version or another one.

    Raises:
        ValueError: It is something else.
    """
    try:
        found = json.loads(content)
        process = from_columns(Process, found["process"]) if found.get("process") else None
        tuples = {name: tuple(found.get(name, ())) for name in ("studies", "slots")}
        made = from_columns(Submission, {**found, **tuples, "process": process})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a submission: {error}") from error
    if made.state not in STATES:
        raise ValueError(f"not a state: {made.state}")
    return made
