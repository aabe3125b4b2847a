"""What may be asked of a submission, by whom, and what becomes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from deepcolor.app.trial_stop import stop_trial
from deepcolor.errors import StudyError
from deepcolor.service.queue import Queue
from deepcolor.service.record import State, Submission
from deepcolor.workspace import Workspace

Action = Literal["pause", "resume", "cancel"]
_FROM: dict[Action, frozenset[State]] = {
    "pause": frozenset({"queued", "running"}),
    "resume": frozenset({"paused", "failed", "cancelled"}),
    "cancel": frozenset({"queued", "running", "paused"}),
}
_MEANS: dict[Action, State] = {"pause": "paused", "cancel": "cancelled"}


class NotYoursError(StudyError):
    """Somebody else has submitted it."""


def request(
    queue: Queue, name: str, action: Action, *, allowed: Callable[[Submission], bool] = lambda _: True
) -> Submission:
    """Pause, resume or cancel the latest submission of a study or a pipeline.

    What runs ends its epoch first, and is saved; its trials stay, whatever is asked.

    Args:
        queue: Holds it.
        name: Of its study, its pipeline, or its identity.
        action: What is asked.
        allowed: Whether whoever asks may.
    Raises:
        UnknownSubmissionError: There is none.
        StudyError: It is in a state from which that is not possible.
        NotYoursError: It is not allowed.
    """
    one = queue.find(name)
    _check_allowed(one, allowed)

    def change(now: Submission) -> Submission:
        if action == "resume" and now.wish:
            return replace(now, wish="")  # Asked to end a moment ago; it will be queued again instead.
        if now.state not in _FROM[action]:
            possible = " or ".join(sorted(_FROM[action]))
            raise StudyError(f"{action}: must be asked of what is {possible}; got {now.name}, which is {now.state}.")
        if action == "resume":
            return replace(now, state="queued", wish="", crashes=0)
        if now.state == "running":
            return replace(now, wish=action)
        ended_at = time.time() if action == "cancel" else now.ended_at
        return replace(now, state=_MEANS[action], wish="", ended_at=ended_at)

    return queue.change(one.id, change, event="resumed" if action == "resume" else "")


def request_stop_of_trial(
    workspace: Workspace,
    study: str,
    trial: int,
    *,
    by: str,
    allowed: Callable[[Submission], bool] | None = None,
) -> str:
    """Ask to end one trial of a study; return in one line what will happen.

    Args:
        workspace: Holds it.
        study: Its name.
        trial: Its number.
        by: Who asks.
        allowed: Whether whoever asks may change a submission; None: the study need not have been submitted.
    Raises:
        StudyError: There is no such trial, or it has ended; by HTTP also where the study was not submitted.
        NotYoursError: It is not allowed.
    """
    if allowed is not None:
        _check_allowed(Queue(workspace).find(study), allowed)
    return stop_trial(workspace, study, trial, by=by)


def said_of(one: Submission, action: Action) -> str:
    """Say in a line what a request has done."""
    if one.wish:
        return f"{one.name} ends its epoch, and is then {_MEANS[action]}; its trials are kept"
    if action == "resume" and one.state == "running":
        return f"{one.name} goes on"
    return f"{one.name} is {one.state}" + ("; its trials are kept" if action == "cancel" else "")


def _check_allowed(one: Submission, allowed: Callable[[Submission], bool]) -> None:
    if not allowed(one):
        raise NotYoursError(f"study: must be your own; got {one.name}, which {one.user} has submitted. Ask {one.user}.")
