"""The process of one submission: run the ordinary use case, and write into the queue what it came to.

A crash of it hurts nothing else; what it has trained is in the store, and it is simply started again.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deepcolor import limits, scratch
from deepcolor.app.how import How
from deepcolor.app.pipeline import run_pipeline
from deepcolor.app.reporter import Silent
from deepcolor.app.signals import listen
from deepcolor.app.sweep import run_sweep
from deepcolor.config.schema import Pipeline
from deepcolor.counting import counted
from deepcolor.errors import DeepcolorError, Interrupted
from deepcolor.printable import TRACKING_URI, Guarded, fit_to_print, note_secrets, shown_uri, without_secrets
from deepcolor.service.orders import Order, is_alive, process_of
from deepcolor.service.queue import Queue
from deepcolor.service.record import Process, State, Submission
from deepcolor.service.submitting import parsed_of
from deepcolor.words import params_line, value_text
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepcolor.app.pipeline import StageResult
    from deepcolor.search.rules.summary import Snapshot, Summary, Watcher
    from deepcolor.search.study.storage import StoredTrial

_LOG = logging.getLogger("deepcolor.service")
_LONGEST = 1000


@dataclass(frozen=True)
class End:
    """How a process has ended."""

    state: State
    """queued: it was asked to stop, and goes on with its next start."""
    message: str = ""


def main() -> None:
    """Carry out the order that stands on standard input."""
    sys.stdout, sys.stderr = Guarded(sys.stdout), Guarded(sys.stderr)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", level=logging.WARNING)
    _LOG.setLevel(logging.INFO)
    try:
        listen()
        carry_out(Order.read(sys.stdin.buffer.read()))
    except KeyboardInterrupt:
        _LOG.warning("stopped before it had begun")


def carry_out(order: Order) -> None:
    """Run a submission, and write down what it came to."""
    limits.allow_open_files()
    os.environ["PYTHONSAFEPATH"] = "1"
    scratch.claim()
    workspace = Workspace.at(order.root, storage=order.storage)
    queue = Queue(workspace)
    for uri in (order.tracking_uri, workspace.storage):
        note_secrets(uri)
    os.environ[TRACKING_URI] = shown_uri(order.tracking_uri)
    me = process_of(os.getpid(), host=platform.node())
    if (submission := _claimed(queue, order, me)) is None:
        _LOG.warning("another process runs it already")
        return
    end = _run(submission, workspace, order)
    _LOG.info("%s %s", end.state, end.message)
    queue.change(order.submission, lambda now: _ended(now, end))


def _claimed(queue: Queue, order: Order, me: Process) -> Submission | None:
    """Return what is to be run, marked as run by this process; None where another one does, or nobody is to.

    A service that was killed just after it had started this process may have left nothing that says so.
    """

    def claim(now: Submission) -> Submission | None:
        free = now.state == "queued" or (now.state == "running" and not (now.process and is_alive(now.process)))
        return replace(now, state="running", process=me, slots=order.slots) if free else None

    found = queue.change(order.submission, claim)
    return found if found.state == "running" and found.process == me else None


def _ended(now: Submission, end: End) -> Submission:
    """What becomes of a submission; what was asked of it decides what a stop means."""
    wished: dict[str, State] = {"pause": "paused", "cancel": "cancelled"}
    state = wished.get(now.wish, "queued") if end.state == "queued" else end.state
    return replace(
        now,
        state=state,
        wish="",
        message=end.message,
        ended_at=time.time(),
        slots=(),
        process=None,
        crashes=0,
        told=state not in {"done", "failed"},
    )


def _run(submission: Submission, workspace: Workspace, order: Order) -> End:
    try:
        parsed = parsed_of(submission, workspace=workspace, allow_code=order.allow_code)
        how = How(
            workspace,
            order.tracking_uri,
            device=order.device,
            command=submission.command or f"deepcolor submit {submission.name}.yaml",
            resume=f"deepcolor resume {submission.name}",
            extend=submission.extend,
            reporter=LogReporter(),
            cluster=order.cluster,
            part=order.part,
        )
        if isinstance(parsed, Pipeline):
            results = run_pipeline(parsed, how, own_name=submission.own_name, force=submission.force)
            return End("done", _said_of_pipeline(results))
        return _end_of(run_sweep(parsed, how), workspace)
    except (Interrupted, KeyboardInterrupt) as stop:
        _LOG.info("%s", stop)
        return End("queued", "stopped; finished work is kept")
    except DeepcolorError as error:
        return End("failed", _in_a_line(str(error)))
    except Exception as error:  # noqa: BLE001  # whatever it is, it must not be taken for a crash that another start mends
        if (refused := limits.refusal(error)) is not None:
            return End("failed", _in_a_line(str(refused)))
        _LOG.error("%s", "".join(traceback.format_exception(error)))  # with no traceback of its own
        return End("failed", _in_a_line(f"{type(error).__name__}: {error}; a fault in deepcolor, see the log"))


def _end_of(summary: Summary, workspace: Workspace) -> End:
    if summary.failed and not (summary.complete or summary.pruned or summary.waiting):
        return End("failed", f"every trial failed; why: {workspace.failures(summary.study)}")
    return End("done", _said_of(summary))


def _said_of(summary: Summary) -> str:
    counts = [counted(summary.complete, "trial") + " complete"]
    counts += [f"{count} {name}" for name in ("pruned", "failed") if (count := getattr(summary, name))]
    said = ", ".join(counts)
    if (best := summary.best) is not None:
        setting = params_line(best.params) or "the one setting"
        said += f"; best trial {best.number}: {value_text(best.value)} with {setting}"
    return _in_a_line(said)


def _said_of_pipeline(results: list[StageResult]) -> str:
    return _in_a_line("; ".join(f"{one.sweep.study}: {one.promotion.sentence.rstrip('.')}" for one in results))


def _in_a_line(text: str) -> str:
    return fit_to_print(without_secrets(" ".join(text.split())))[:_LONGEST]


class LogReporter(Silent):
    """Tells it in lines of the submission's log."""

    def note(self, message: str) -> None:
        _LOG.info("%s", fit_to_print(message))

    def warn(self, message: str) -> None:
        _LOG.warning("warning: %s", fit_to_print(message))

    def left_out(self, message: str) -> None:
        self.warn(message)

    def tell(self, message: str) -> None:
        self.note(message)

    @contextmanager
    def watching(self, study: str) -> Iterator[Watcher]:
        """Write a line for each trial that ends."""
        yield _LoggingWatcher(study)


class _LoggingWatcher:
    def __init__(self, study: str) -> None:
        self._study = study

    def update(self, snapshot: Snapshot) -> None:
        pass

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:  # noqa: ARG002  # see Watcher
        said = value_text(trial.value) + (f" ({trial.error})" if trial.error else "")
        _LOG.info("%s trial %d %s: %s", self._study, trial.number, trial.state, said)


if __name__ == "__main__":
    main()
