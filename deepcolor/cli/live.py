"""What a person sees while a study starts and runs: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from deepcolor.app.reporter import SilentWatcher
from deepcolor.cli import console
from deepcolor.cli.screen import alone, screen_console
from deepcolor.counting import counted
from deepcolor.waiting import told_of_waits
from deepcolor.words import duration, figure_text, params_line, value_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from deepcolor.search.rules.summary import RunningTrial, Snapshot, Watcher
    from deepcolor.search.study.storage import StoredTrial

REDRAW_EVERY_S = 0.25
PLAIN_EVERY_S = 15.0
COUNTED_S, SLOW_S = 3.0, 10.0
"""A step that takes longer shows its seconds, then why it may take so long."""
_WIDEST_BAR, _NARROWEST_BAR = 30, 8


@contextmanager
def watching(title: str) -> Iterator[Watcher]:
    """Give the watcher that fits: live on a terminal, lines when piped, nothing with --quiet or --json."""
    if console.settings.quiet or console.settings.json:
        yield SilentWatcher()
    elif not sys.stderr.isatty():
        yield PlainWatcher(title)
    else:
        with _live(console.styled(f"{title}: taking up its trials")) as live:
            yield LiveWatcher(title, live)


@contextmanager
def starting(title: str) -> Iterator[Steps]:
    """Show what is being done before, and after, there is a study to watch; also what it waits for."""
    steps = Steps(title)
    with told_of_waits(steps.waits), steps.shown():
        yield steps


class Steps:
    """One line that names the present step, from the first moment on; where it is piped, only for a slow step."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._step, self._slow, self._waits = "", "", ""
        self._since = time.monotonic()
        self._said = ""
        self._screen: ExitStack | None = None
        self._over = threading.Event()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Take away at the end what is shown then."""
        silent = console.settings.quiet or console.settings.json
        self._live = not silent and sys.stderr.isatty()
        if not silent and not self._live:
            threading.Thread(target=self._say_slow, name="deepcolor-steps", daemon=True).start()
        try:
            yield
        finally:
            self._over.set()
            self.hide()

    def step(self, what: str, *, slow: str = "") -> None:
        """Say what is being done now.

        Args:
            what: Such as "opening the studies database".
            slow: What to say in its place when it takes long, such as "waiting for the studies database".
        """
        self._step, self._slow, self._waits = what, slow, ""
        self._since = time.monotonic()
        if self._live and self._screen is None:
            self._screen = ExitStack()
            self._screen.enter_context(_live(get=lambda: console.styled(self.line())))

    def waits(self, until: str | None) -> None:
        """Say what the present step waits for; None: nothing any more."""
        self._waits = f"waiting for {until}" if until else ""
        self._since = time.monotonic()

    def hide(self) -> None:
        """Leave the screen to something else, until the next step."""
        if self._screen is not None:
            self._screen.close()
            self._screen = None
        self._step = ""

    def line(self) -> str:
        """What is shown now."""
        took_s = time.monotonic() - self._since
        what = self._waits or (self._slow if took_s >= SLOW_S and self._slow else self._step)
        return f"{self._title}: {what}{f', {took_s:.0f} s' if took_s >= COUNTED_S else ''}"

    def _say_slow(self) -> None:
        while not self._over.wait(REDRAW_EVERY_S):
            step = self._waits or self._step
            if step and step != self._said and (self._waits or time.monotonic() - self._since >= SLOW_S):
                self._said = step
                console.note(f"{self._title}: {self._waits or self._slow or self._step}")


class PlainWatcher:
    """One line a finished trial, and one now and then while nothing finishes."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last = time.monotonic()

    def update(self, snapshot: Snapshot) -> None:
        if time.monotonic() - self._last >= PLAIN_EVERY_S:
            self._last = time.monotonic()
            console.note(f"{self._title}: {_all(snapshot)}")

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:
        self._last = time.monotonic()
        console.note(f"{self._title}: {trial_line(trial, objective=snapshot.objective)} ({_all(snapshot)})")


class LiveWatcher:
    """Finished trials scroll up; the running ones and the whole stay at the bottom."""

    def __init__(self, title: str, live: Live) -> None:
        self._title = title
        self._live = live
        self._last = 0.0

    def update(self, snapshot: Snapshot) -> None:
        if time.monotonic() - self._last >= REDRAW_EVERY_S:
            self._last = time.monotonic()
            self._live.update(view(self._title, snapshot))

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:
        self._live.console.print(console.styled(trial_line(trial, objective=snapshot.objective)), highlight=False)
        self._live.update(view(self._title, snapshot))


@contextmanager
def _live(first: RenderableType | None = None, *, get: Callable[[], RenderableType] | None = None) -> Iterator[Live]:
    from rich.live import Live

    live = Live(first, console=screen_console(), refresh_per_second=8, transient=True, get_renderable=get)
    with alone(live), live:
        yield live


def counts(snapshot: Snapshot) -> str:
    """How many trials there are of each kind, in words."""
    ended = snapshot.complete + snapshot.pruned
    parts = [f"{ended}/{counted(snapshot.total, 'trial')}" if snapshot.total else counted(ended, "trial")]
    if snapshot.pruned:
        parts.append(f"{snapshot.pruned} pruned")
    if snapshot.at_rung:
        parts.append(f"{snapshot.waiting} waiting")
    if snapshot.confirming:
        parts.append(f"{snapshot.confirmed}/{snapshot.to_confirm} under other seeds")
    if snapshot.running:
        parts.append(f"{len(snapshot.running)} running")
    if snapshot.failed:
        parts.append(f"{snapshot.failed} failed")
    return ", ".join(parts)


def pace(snapshot: Snapshot) -> str:
    """How fast it goes, and how long it will; empty before the first epoch."""
    parts = [f"{snapshot.epochs_per_s:.2g} epochs/s"] if snapshot.trained_epochs else []
    left = snapshot.done < snapshot.total + snapshot.to_confirm
    if snapshot.stopping:
        parts.append("stopping after this epoch")
    elif snapshot.remaining_s is not None and left:
        parts.append(f"{duration(snapshot.remaining_s)} left")
    return ", ".join(parts)


def best(snapshot: Snapshot) -> str:
    """The best trial so far and its value; empty before the first."""
    if snapshot.front:
        on_front = f"{snapshot.front} on the front"
        if snapshot.best is None:
            return f"{on_front}, none chosen"
        return f"{on_front}, chosen trial {snapshot.best.number}: {figures_text(snapshot.best)}"
    if snapshot.best is None:
        return ""
    return f"best {snapshot.objective} {value_text(snapshot.best.value)}: trial {snapshot.best.number}"


def figures_text(trial: StoredTrial) -> str:
    """What a trial is worth in each of several objectives."""
    first, *others = zip(trial.aims.names, trial.values, strict=False)
    said = [f"{first[0]} {value_text(first[1])}", *(f"{name} {figure_text(value)}" for name, value in others)]
    return ", ".join(said)


def trial_line(trial: StoredTrial, *, objective: str) -> str:
    """A trial that has ended, in one line."""
    setting = params_line(trial.params) or "the one setting"
    if trial.confirms is not None:
        setting = f"{setting} (trial {trial.confirms.trial} under seed {trial.confirms.seed})"
    if trial.state == "failed":
        return f"trial {trial.number} {console.red('failed')}: {setting}: {trial.error}"
    if trial.diverged:
        return f"trial {trial.number} {console.yellow('diverged')}: {setting}"
    value = figures_text(trial) if trial.aims.several and trial.values else f"{objective} {value_text(trial.value)}"
    if trial.breaks:
        value += f", {console.yellow('breaks')} {', '.join(trial.breaks)}"
    if trial.state == "pruned" and trial.outcome is not None:
        value = f"pruned: {value} after {counted(trial.outcome.view.end_epoch, 'epoch')}"
        return f"trial {trial.number} {value}  {setting}"
    return f"trial {trial.number}: {value}  {setting}"


def view(title: str, snapshot: Snapshot) -> RenderableType:
    """A study at one moment: what is done, how fast it goes, the best setting, the running trials; a line each."""
    from rich.console import Group

    lines: list[Any] = [_Head(title, snapshot)]
    if said := pace(snapshot):
        lines.append(_line(f"  {said}"))
    if snapshot.best is not None:
        lines.append(_line(f"  {best(snapshot)}  {params_line(snapshot.best.params)}"))
    if snapshot.workers:
        lines.append(_line(f"  {snapshot.workers}"))
    lines += [_line(row) for row in _running(snapshot)]
    return Group(*lines)


class _Head:
    """Title, bar and counts, the bar as wide as there is room for."""

    def __init__(self, title: str, snapshot: Snapshot) -> None:
        self._title = title
        self._snapshot = snapshot

    def __rich_console__(self, console_: Any, options: Any) -> Iterator[Any]:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        said, snapshot = counts(self._snapshot), self._snapshot
        room = options.max_width - len(said) - len(self._title) - 2
        if room < _NARROWEST_BAR:  # Two lines, so that nothing is cut off.
            yield _line(self._title, style="bold")
            room, title = options.max_width - len(said) - 3, " "
        else:
            title = self._title
        head = Table.grid(padding=(0, 1))
        bar = ProgressBar(
            total=snapshot.total + snapshot.to_confirm if snapshot.total else None,
            completed=snapshot.done,
            width=max(1, min(_WIDEST_BAR, room)),
        )
        head.add_row(_line(title, style="bold"), bar, _line(said))
        yield head


def _running(snapshot: Snapshot) -> Iterator[str]:
    """The running trials in columns, what they train at the end, where it may be cut off."""
    trials = snapshot.running
    objective = snapshot.objective
    rows = [(who(trial), f"epoch {trial.epoch}/{trial.epochs}", so_far(trial, objective=objective)) for trial in trials]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for trial, cells in zip(trials, rows, strict=True):
        columns = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield f"  {columns}  {params_line(trial.params)}"


def who(trial: RunningTrial) -> str:
    """A running trial by its number; one that confirms another by that one and its seed, too."""
    return f"trial {trial.number}" + (f" ({trial.confirms} under seed {trial.seed})" if trial.seed is not None else "")


def so_far(trial: RunningTrial, *, objective: str) -> str:
    """The objective and what is watched at its last epoch; empty before the first."""
    if trial.value is None:
        return ""
    figures = {objective: trial.value, **trial.watched}
    return "  ".join(f"{name} {value_text(value)}" for name, value in figures.items())


def _line(text: str, *, style: str = "") -> Any:
    line = console.styled(text)
    line.no_wrap, line.overflow = True, "ellipsis"
    line.stylize(style)
    return line


def _all(snapshot: Snapshot) -> str:
    parts = (counts(snapshot), best(snapshot), pace(snapshot), snapshot.workers)
    return ", ".join(part for part in parts if part)
