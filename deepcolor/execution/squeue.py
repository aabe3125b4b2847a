"""What SLURM says of jobs: its own commands, asked in processes, and their answers in words."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from deepcolor.counting import counted
from deepcolor.errors import ExecutorError
from deepcolor.words import duration

Phase = Literal["waits", "runs", "ends", "ended"]

_ANSWER_WITHIN_S = 60
_FORMAT = "%i|%T|%r"
_OF_A_JOB = ("SLURM_", "SLURMD_")
_UNKNOWN_JOB = "invalid job id"
_WAIT = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
_RUN = {"RUNNING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}
_FROM_OUTSIDE = {"CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "REVOKED", "BOOT_FAIL", "DEADLINE"}
"""Ends for which the training is not to blame."""
_BY_ITSELF = {"COMPLETED", "TIMEOUT"}
"""Ends that are expected."""
_REASONS = (
    # Its long form also speaks of priority.
    (re.compile("down|drain|notavail|unavailable", re.IGNORECASE), "nodes are drained or down"),
    (re.compile("priority", re.IGNORECASE), "others come first"),
    (re.compile("resources", re.IGNORECASE), "for free nodes"),
    (re.compile("limit|max|qos|assoc", re.IGNORECASE), "at a limit of the site's"),
    (re.compile("reserv", re.IGNORECASE), "for a reservation"),
    (re.compile("begintime", re.IGNORECASE), "for their time to begin"),
    (re.compile("held", re.IGNORECASE), "held"),
    (re.compile("partition", re.IGNORECASE), "the partition takes none now"),
    (re.compile("licenses", re.IGNORECASE), "for a licence"),
)
"""The reasons that SLURM gives, in words; the first that fits."""


@dataclass(frozen=True)
class Seen:
    """A job as SLURM has seen it last."""

    state: str
    """In SLURM's own word, such as `PENDING`."""
    reason: str = ""
    """Why it waits, as SLURM says it."""

    @property
    def phase(self) -> Phase:
        """Whether it waits, runs, is ending, or has ended."""
        if self.state == "COMPLETING":
            return "ends"
        return "waits" if self.state in _WAIT else "runs" if self.state in _RUN else "ended"

    @property
    def from_outside(self) -> bool:
        """Whether it was ended by somebody, or by its node: what it was training is not to blame."""
        return self.state in _FROM_OUTSIDE or not self.state

    @property
    def is_expected(self) -> bool:
        """Whether it has done what jobs do: it came to its end."""
        return self.state in _BY_ITSELF or not self.state


GONE = Seen("")
"""A job that SLURM has forgotten; it keeps ended ones for a few minutes."""


def look_at(ids: Sequence[str]) -> dict[str, Seen]:
    """Ask SLURM how jobs are; one that it has forgotten is `GONE`.

    Raises:
        ExecutorError: SLURM does not answer.
    """
    if not ids:
        return {}
    try:
        said = ask("squeue", "--noheader", "--states=all", f"--jobs={','.join(ids)}", f"--format={_FORMAT}")
    except ExecutorError as error:
        if _UNKNOWN_JOB not in str(error).lower():  # Said of a single one only.
            raise
        said = ""
    lines = (line.strip().split("|", 2) for line in said.splitlines() if line.count("|") >= 2)
    seen = {job: Seen(state, reason) for job, state, reason in lines}
    return {job: seen.get(job, GONE) for job in ids}


def cancel(ids: Sequence[str]) -> None:
    """End jobs: what runs is asked to end, and killed after a while of the site's (`KillWait`).

    Raises:
        ExecutorError: SLURM does not answer; a job that has ended already is no error.
    """
    if ids:
        ask("scancel", "--quiet", *ids)


def ask(program: str, *words: str, given: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Run one of SLURM's commands and return what it printed.

    Args:
        program: Such as `squeue`.
        words: Its arguments.
        given: What it reads.
        environment: None: this process's.
    Raises:
        ExecutorError: It is not there, does not answer in time, or refuses; with what it said.
    """
    try:
        done = subprocess.run(
            [program, *words],
            input=given if given is not None else "",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_ANSWER_WITHIN_S,
            check=False,
            env=environment,
        )
    except FileNotFoundError as error:
        raise ExecutorError(
            f"slurm: its commands must be installed; got no {program} on the PATH. Work on a login node of the cluster."
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        said = getattr(error, "strerror", None) or f"no answer within {_ANSWER_WITHIN_S} s"
        raise ExecutorError(f"slurm: {program} must answer; got {said}. Try again, or ask the site.") from error
    if done.returncode != 0:
        raise ExecutorError(f"slurm: {program} must answer; got {said_by(done.stderr or done.stdout)}.")
    return done.stdout or done.stderr


def said_by(text: str) -> str:
    """Return what a command of SLURM's has complained of, in one line."""
    lines = [re.sub(r"^\w+: (?:(?:error|fatal): )?", "", line.strip()) for line in text.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines)).rstrip(".") or "nothing"


def of_this_job() -> list[str]:
    """Return the variables that say what job this process is in, by which it would tell its own jobs of its size."""
    return [name for name in os.environ if name.startswith(_OF_A_JOB) and name != "SLURM_CONF"]


def standing(seen: Iterable[Seen], *, waited_s: float, refused: str = "") -> str:
    """Say how many jobs run, how many wait, why, and for how long; empty where there are none.

    Args:
        seen: The jobs.
        waited_s: How long the first of those that wait has waited.
        refused: Why SLURM takes no more of them at present.
    """
    jobs = list(seen)
    running = sum(job.phase == "runs" for job in jobs)
    reasons = Counter(job.reason for job in jobs if job.phase == "waits")
    parts = [f"{counted(running, 'job')} running"] if jobs else []
    if waiting := sum(reasons.values()):
        why = "; ".join(dict.fromkeys(in_words(reason) for reason, _ in reasons.most_common(2)))
        parts.append(f"{waiting} waiting{f' ({why})' if why else ''}, {duration(waited_s)} so far")
    if refused:
        parts.append(f"no more taken: {refused}")
    return ", ".join(parts)


def in_words(reason: str) -> str:
    """Return why a job waits: in words as far as they are known, and SLURM's own."""
    if reason in {"", "None"}:
        return ""
    known = next((words for pattern, words in _REASONS if pattern.search(reason)), "")
    own = reason if len(reason) <= 40 else f"{reason[:37]}..."
    return f"{known}: {own}" if known else own
