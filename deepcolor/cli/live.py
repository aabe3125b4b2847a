"""What a person sees while a study runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deepcolor.cli import console
from deepcolor.cli.words import duration, params_line, value_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from deepcolor.search.study import StoredTrial
    from deepcolor.search.summary import Snapshot, Watcher

REDRAW_EVERY_S = 0.25
PLAIN_EVERY_S = 15.0


@contextmanager
def watching(title: str) -> Iterator[Watcher]:
    """Give the watcher that fits: live on a terminal, lines when piped, nothing with --quiet or --json."""
    if console.settings.quiet or console.settings.json:
        yield SilentWatcher()
    elif not sys.stderr.isatty():
        yield PlainWatcher(title)
    else:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=8, transient=True) as live:
            yield LiveWatcher(title, live)


class SilentWatcher:
    """Prints nothing."""

    def update(self, snapshot: Snapshot) -> None:
        pass

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:
        pass


class PlainWatcher:
    """One line a finished trial, and one now and then while nothing finishes."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last = time.monotonic()

    def update(self, snapshot: Snapshot) -> None:
        if time.monotonic() - self._last >= PLAIN_EVERY_S:
            self._last = time.monotonic()
            console.note(f"{self._title}: {_counts(snapshot)}")

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:
        self._last = time.monotonic()
        console.note(f"{self._title}: {_trial_line(trial)} ({_counts(snapshot)})")


class LiveWatcher:
    """Finished trials scroll up; the running ones and the whole stay at the bottom."""

    def __init__(self, title: str, live: Live) -> None:
        self._title = title
        self._live = live
        self._last = 0.0

    def update(self, snapshot: Snapshot) -> None:
        if time.monotonic() - self._last >= REDRAW_EVERY_S:
            self._last = time.monotonic()
            self._live.update(_table(self._title, snapshot))

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:
        self._live.console.print(console.styled(_trial_line(trial)))
        self._live.update(_table(self._title, snapshot))


def _counts(snapshot: Snapshot) -> str:
    parts = [f"{snapshot.complete}/{snapshot.total} trials" if snapshot.total else f"{snapshot.complete} trials"]
    if snapshot.waiting:
        parts.append(f"{snapshot.waiting} waiting or stopped early")
    if snapshot.confirmed:
        parts.append(f"{snapshot.confirmed}/{snapshot.to_confirm} under other seeds")
    if snapshot.running:
        parts.append(f"{len(snapshot.running)} running")
    if snapshot.failed:
        parts.append(f"{snapshot.failed} failed")
    if snapshot.best is not None:
        parts.append(f"best {value_text(snapshot.best.value)} ({params_line(snapshot.best.params)})")
    if snapshot.trained_epochs:
        parts.append(f"{snapshot.epochs_per_s:.2g} epochs/s")
    if snapshot.stopping:
        parts.append("stopping after this epoch")
    elif snapshot.remaining_s is not None and (
        snapshot.complete + snapshot.waiting < snapshot.total or snapshot.confirmed < snapshot.to_confirm
    ):
        parts.append(f"{duration(snapshot.remaining_s)} left")
    return ", ".join(parts)


def _trial_line(trial: StoredTrial) -> str:
    setting = params_line(trial.params) or "the one setting"
    if trial.confirms is not None:
        setting = f"{setting} (trial {trial.confirms.trial} under seed {trial.confirms.seed})"
    if trial.state == "failed":
        return f"trial {trial.number} {console.red('failed')}: {setting}: {trial.error}"
    if trial.diverged:
        return f"trial {trial.number} {console.yellow('diverged')}: {setting}"
    if trial.state == "pruned" and trial.outcome is not None:
        reached = f"{value_text(trial.value)} after {trial.outcome.view.end_epoch} epochs"
        return f"trial {trial.number} stopped early: {reached}  {setting}"
    return f"trial {trial.number} {value_text(trial.value)}  {setting}"


def _table(title: str, snapshot: Snapshot) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 1))
    head.add_row(
        Text(title, style="bold"),
        ProgressBar(total=snapshot.total or None, completed=snapshot.complete + snapshot.waiting, width=30),
        console.styled(_counts(snapshot)),
    )
    running = Table.grid(padding=(0, 2))
    for trial in snapshot.running:
        running.add_row(
            f"  trial {trial.number}",
            f"epoch {trial.epoch}/{trial.epochs}",
            value_text(trial.value),
            console.styled(params_line(trial.params)),
        )
    return Group(head, running)
