"""What a notebook shows: progress that changes in place in the cell's output, messages as plain lines, and studies.

IPython is only used inside a kernel, which has already imported it; nothing here imports it anywhere else.
"""

from __future__ import annotations

import importlib
import math
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

from deepcolor.cli import console
from deepcolor.cli.live import Steps, best, counts, figures_text, pace, so_far, trial_line, who
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.counting import counted
from deepcolor.waiting import told_of_waits
from deepcolor.words import duration, figure_text, param_text, params_line, value_text

if TYPE_CHECKING:
    from deepcolor.app.reporter import OnProgress, Reporter
    from deepcolor.search.rules.summary import RunningTrial, Snapshot, Watcher
    from deepcolor.search.study.trials import StoredTrial

REDRAW_EVERY_S = 0.4
"""Each redraw is a message to every browser that shows the notebook."""
_TICK_S = 1.0
SHOWN_TRIALS = 20
_LEFT, _RIGHT = 'style="text-align: left"', 'style="text-align: right"'


def in_kernel() -> bool:
    """Whether this process is a notebook's kernel. IPython in a terminal is not: it shows what a terminal can."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def without_widgets() -> None:
    """Import the progress bars that Optuna uses, without their warning that this kernel has no widgets for them."""
    with warnings.catch_warnings(), suppress(ImportError):
        warnings.simplefilter("ignore")
        importlib.import_module("tqdm.auto")


def told(reporter: Reporter | None) -> Reporter:
    """Return who is told what goes on: where nobody is named, the cell of a notebook, and standard error elsewhere."""
    return reporter or (NotebookReporter() if in_kernel() else ConsoleReporter())


class NotebookReporter:
    """Shows it in the output of the cell that is running."""

    def __init__(self) -> None:
        self._panel = _Panel()

    def note(self, message: str) -> None:
        print(_plain(message))

    def warn(self, message: str) -> None:
        print(f"warning: {_plain(message)}", file=sys.stderr)

    def left_out(self, message: str) -> None:
        self.warn(message)

    def tell(self, message: str) -> None:
        print(_plain(message), file=sys.stderr)

    @contextmanager
    def progress(self, title: str, *, of: str | None = "picture") -> Iterator[OnProgress]:
        """Show a bar until the block ends."""
        bar = _Bar(title, self._panel, of=of)
        try:
            yield bar.update
        finally:
            self._panel.put_line(None)

    @contextmanager
    def starting(self, study: str) -> Iterator[Steps]:
        """Show one line that names the current step, below the view of the study."""
        self._panel = _Panel()  # The studies of a pipeline are shown one below the other.
        steps = _CellSteps(study, self._panel)
        try:
            with told_of_waits(steps.waits), steps.shown():
                yield steps
        finally:
            self._panel = _Panel()

    @contextmanager
    def watching(self, study: str) -> Iterator[Watcher]:
        """Show the study as it stands, and leave its final state there."""
        watcher = _CellWatcher(study, self._panel)
        try:
            yield watcher
        finally:
            watcher.end()


@dataclass(frozen=True)
class _Shown:
    """The same output twice: for a browser, and for where there is none."""

    html: str
    text: str


class _Panel:
    """One output of a cell, updated in place: a view that stays, and below it a line that comes and goes."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._handle: Any = None
        self._view: _Shown | None = None
        self._line: _Shown | None = None
        self._drawn_at = -math.inf

    def put_view(self, view: _Shown, *, at_once: bool) -> None:
        """Replace the view; unless `at_once`, it may only be drawn with a later change."""
        with self.lock:
            self._view = view
            self._draw(at_once=at_once)

    def put_line(self, line: _Shown | None, *, at_once: bool = True) -> None:
        """Replace the line; None removes it."""
        with self.lock:
            if line is not None or self._line is not None:
                self._line = line
                self._draw(at_once=at_once)

    def _draw(self, *, at_once: bool) -> None:
        now = time.monotonic()
        if not at_once and now - self._drawn_at < REDRAW_EVERY_S:
            return
        self._drawn_at = now
        parts = [part for part in (self._view, self._line) if part is not None]
        text = "\n".join(part.text for part in parts)
        shown = {"text/plain": text, "text/html": "".join(part.html for part in parts)}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown, raw=True)


class _CellSteps(Steps):
    """The line that shows the steps of a start, drawn in a cell."""

    def __init__(self, title: str, panel: _Panel) -> None:
        super().__init__(title)
        self._live = False
        self._panel = panel

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the line up to date until the block ends, then remove it."""
        threading.Thread(target=self._tick, name="deepcolor-steps", daemon=True).start()
        try:
            yield
        finally:
            self._over.set()
            self.hide()

    def step(self, what: str, *, slow: str = "") -> None:
        """Say what is being done now; see `Steps`."""
        with self._panel.lock:
            super().step(what, slow=slow)
            self._draw()

    def hide(self) -> None:
        """Show no step until the next one."""
        with self._panel.lock:
            super().hide()
            self._panel.put_line(None)

    def _tick(self) -> None:
        while not self._over.wait(_TICK_S):
            with self._panel.lock:
                if self._step:
                    self._draw()

    def _draw(self) -> None:
        self._panel.put_line(_line(self.line()))


class _Bar:
    """How far something has got, with the time left."""

    def __init__(self, title: str, panel: _Panel, *, of: str | None) -> None:
        self._title = title
        self._panel = panel
        self._of = of
        self._began: tuple[float, int] | None = None

    def update(self, done: int, total: int) -> None:
        """Draw the bar if it is time to; remove it when all is done, so that another may follow."""
        if done >= total:
            self._panel.put_line(None)
            return
        now = time.monotonic()
        began_at, first = self._began = self._began or (now, done)
        said = f"{done} of {counted(total, self._of)}" if self._of else f"{done / total:.0%}"
        if done > first:
            said += f", {duration((now - began_at) / (done - first) * (total - done))} left"
        html = f"<div>{_html(self._title)} {_progress(done, total)} {_html(said)}</div>"
        self._panel.put_line(_Shown(html, _plain(f"{self._title}: {said}")), at_once=False)


class _CellWatcher:
    """A study in a cell: what is done, the best so far, what is running; each failed trial gets a line of its own."""

    def __init__(self, title: str, panel: _Panel) -> None:
        self._title = title
        self._panel = panel
        self._last: Snapshot | None = None

    def update(self, snapshot: Snapshot) -> None:
        self._last = snapshot
        self._panel.put_view(study_view(self._title, snapshot), at_once=False)

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:
        if trial.state == "failed":
            print(_plain(f"{self._title}: {trial_line(trial, objective=snapshot.objective)}"), file=sys.stderr)
        self.update(snapshot)

    def end(self) -> None:
        """Leave the study's final state in the cell."""
        if self._last is not None:
            self._panel.put_view(study_view(self._title, self._last, ended=True), at_once=True)


def study_view(title: str, snapshot: Snapshot, *, ended: bool = False) -> _Shown:
    """A study at one moment: how much is done, how fast it goes, the best trial, and the running ones.

    Args:
        title: Its name.
        snapshot: The moment.
        ended: It is the last one: nothing is running any more.
    """
    if ended:
        snapshot = replace(snapshot, running=(), workers="")
        took = f"took {duration(snapshot.elapsed_s)}"
        said = f"{took}, {snapshot.epochs_per_s:.2g} epochs/s" if snapshot.trained_epochs else took
    else:
        said = pace(snapshot)
    found = f"{best(snapshot)}, {params_line(snapshot.best.params)}".strip(", ") if snapshot.best else ""
    total = snapshot.total + snapshot.to_confirm
    head = f"<b>{_html(title)}</b> {_progress(snapshot.done, total)} {_html(counts(snapshot))}"
    rows = [_running(trial, objective=snapshot.objective) for trial in snapshot.running]
    lines = [head, *(_html(line) for line in (said, found, snapshot.workers) if line)]
    html = "".join(f"<div>{line}</div>" for line in lines) + (table_html((), rows) if rows else "")
    text = [f"{title}: {counts(snapshot)}", said, found, snapshot.workers, *("  ".join(row).rstrip() for row in rows)]
    return _Shown(html, _plain("\n".join(line for line in text if line)))


def _running(trial: RunningTrial, *, objective: str) -> list[str]:
    value = so_far(trial, objective=objective)
    return [who(trial), f"epoch {trial.epoch}/{trial.epochs}", value, params_line(trial.params)]


def trials_html(
    head: str, trials: Sequence[StoredTrial], *, best: StoredTrial | None, front: Sequence[StoredTrial] = ()
) -> str:
    """A study as a cell shows it: what it is, its best trial, and a table of its trials.

    Args:
        head: What it is.
        trials: Those of its search, best first.
        best: Its best trial; of several objectives, the chosen one.
        front: Of several objectives: the trials on the front.
    """
    states = Counter(trial.state for trial in trials)
    of_each = ", ".join(f"{number} {state}" for state, number in states.items())
    said = f"{head} ({of_each})" if of_each else head
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    aims = trials[0].aims if trials else None
    several = aims.names if aims is not None and aims.several else ()
    places = {trial.number: "front" for trial in front} | ({best.number: "chosen"} if best is not None else {})
    breaks = any(trial.breaks for trial in trials)
    judged = (*(("front",) if several else ()), *(("breaks",) if breaks else ()))
    columns = ("", "trial", "state", *judged, *(several or ("value",)), *names, "epochs", "epoch taken")
    rows = []
    for rank, trial in enumerate(trials[:SHOWN_TRIALS], start=1):
        words = {"front": places.get(trial.number, ""), "breaks": ", ".join(trial.breaks)}
        rows.append([str(rank), str(trial.number), trial.state, *(words[name] for name in judged)])
        rows[-1] += [*_worth(trial, several), *_setting(trial, names)]
    rest = len(trials) - len(rows)
    more = f"<div>and {counted(rest, 'trial')} more: <code>.trials()</code> has all of them</div>" if rest else ""
    table = table_html(columns, rows, left=("state", *judged)) if rows else "<div>no trials yet</div>"
    return f"<div>{_html(said)}</div><div>{_html(_found(best, front=front, several=bool(several)))}</div>{table}{more}"


def _found(best: StoredTrial | None, *, front: Sequence[StoredTrial], several: bool) -> str:
    """The best trial, in words."""
    on_front = f"{counted(len(front), 'trial')} on the front; " if front else ""
    if best is None:
        return f"{on_front}none is chosen" if front else "no complete trial yet"
    setting = params_line(best.params) or "the one setting"
    worth = figures_text(best) if several else figure_text(best.latest)
    return f"{on_front}{'chosen' if several else 'best'}: trial {best.number}, {worth} with {setting}"


def _worth(trial: StoredTrial, several: Sequence[str]) -> list[str]:
    """Its value, or what it is worth in each of several objectives, as far as it has come."""
    if not several:
        return [value_text(trial.latest)]
    others = trial.values[1:] or (None,) * (len(several) - 1)
    return [value_text(trial.latest), *(figure_text(value) for value in others)]


def _setting(trial: StoredTrial, names: Sequence[str]) -> list[str]:
    view = trial.outcome.view if trial.outcome else None
    epochs = (str(view.end_epoch), str(view.chosen_epoch)) if view else (str(max(trial.reached, default="")), "")
    return [*(param_text(trial.params[name]) if name in trial.params else "" for name in names), *epochs]


def table_html(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = ()) -> str:
    """A table in the notebook's own look: aligned to the right except for the columns in `left`; without a head, all
    to the left.
    """
    sides = [_LEFT if not columns or columns[place] in left else _RIGHT for place in range(len(rows[0]))]

    def row(cells: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag} {side}>{_html(cell)}</{tag}>" for cell, side in zip(cells, sides, strict=True))

    head = f"<thead><tr>{row(columns, 'th')}</tr></thead>" if columns else ""
    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _progress(done: int, total: int) -> str:
    """A bar; where the end is not known, one that only moves."""
    known = f' value="{done}" max="{total}"' if total else ""
    return f'<progress{known} style="vertical-align: middle"></progress>'


def _line(text: str) -> _Shown:
    return _Shown(f"<div>{_html(text)}</div>", _plain(text))


def _html(text: str) -> str:
    return escape(_plain(text))


def _plain(text: str) -> str:
    """A message fit to be shown, without the marks that highlight words on a terminal."""
    return console.styled(text).plain
