"""`deepcolor sweep` and `deepcolor studies`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.confirmation import confirmation_lines, show_confirmation
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    DeviceOption,
    ExecutorOption,
    JsonOption,
    OverrideOption,
    QuietOption,
    TrackingOption,
    WorkersOption,
    WorkspaceOption,
    command_lines,
    in_workspace,
    tracking_uri,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.counting import counted
from deepcolor.printable import shown_uri
from deepcolor.words import duration, param_text, params_line, percent, value_text
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.search.rules.summary import Summary
    from deepcolor.search.study.storage import StoredStudy, StoredTrial, StudyStorage

SHOWN_TRIALS = 10
_FIGURES = {"PSNR dB": "psnr_db", "SSIM": "ssim", "colour": "colourfulness"}
_SPARE = ("colour", "SSIM", "PSNR dB", "epoch")
"""The last columns of a leaderboard, in the order in which a narrow terminal does without them."""
_STATES = ("complete", "pruned", "running", "waiting", "failed")


def sweep(
    file: Annotated[Path, typer.Argument(help="Sweep file (YAML).", show_default=False)],
    override: OverrideOption = None,
    extend: Annotated[
        bool,
        typer.Option("--extend", help="Let the study grow to a sweep with more trials, values or budget."),
    ] = False,
    executor: ExecutorOption = "local",
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run a sweep: create its study, or go on with it.

    Every finished trial is kept, so an interrupted sweep goes on where it was, and a finished one trains nothing. With
    --extend a sweep may have grown (more trials, a wider space, a larger budget); it is refused where that would change
    what its finished trials mean.

    [bold]Examples[/bold]

      deepcolor sweep experiments/report1/regressor.yaml

      deepcolor sweep experiments/tpe/colorizer.yaml --workers 4 -o search.trials=50

      deepcolor sweep experiments/tpe/colorizer.yaml --extend -o search.trials=80

      deepcolor sweep experiments/tpe/regressor.yaml --extend -o "search.confirm={top: 3, seeds: 3}"

      deepcolor sweep sweep.yaml --executor serial --json
    """
    from deepcolor.app.how import How
    from deepcolor.app.sweep import run_sweep
    from deepcolor.config.load import load_sweep

    place = Workspace.at(workspace)
    parsed = load_sweep(file, override or ())
    command, resume = command_lines()
    how = How(
        place,
        tracking_uri(place, tracking),
        executor,
        workers,
        device,
        command,
        extend=extend,
        resume=resume,
        reporter=ConsoleReporter(),
    )
    runner = how.make_executor()
    try:
        summary = run_sweep(parsed, how, executor=runner)
    finally:
        runner.close()
    show_summary(summary, how.workspace, how.tracking_uri)


def studies(
    name: Annotated[str | None, typer.Argument(help="Show the leaderboard of this study.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Trials to show.")] = 20,
    write_sweep: Annotated[
        Path | None,
        typer.Option(
            "--write-sweep",
            metavar="FILE",
            help="Write the sweep that the study holds now to a new file, for `deepcolor sweep`; - prints it.",
        ),
    ] = None,
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """List the studies, or the trials of one, the best first.

    A trial is running while it is trained. One that is open and is not trained now is waiting: at a rung, before its
    turn, or for the next start of a sweep that was stopped. A pruned one has ended at a rung, with its value there.

    [bold]Examples[/bold]

      deepcolor studies

      deepcolor studies report1-regressor --limit 50

      deepcolor studies report1-regressor --json

      deepcolor studies tpe-regressor --write-sweep grown.yaml
    """
    from deepcolor.cli.sweepfile import write_sweep as write_held
    from deepcolor.search.study.storage import StudyStorage

    place = Workspace.at(workspace)
    storage = StudyStorage(place)
    if write_sweep is not None:
        write_held(storage, name, write_sweep)
    elif name is None:
        _list_studies(place, storage)
    else:
        _show_study(place, storage.load(name), limit)


def show_summary(summary: Summary, workspace: Workspace, uri: str) -> None:
    """Print what a sweep came to: leaderboard, best setting, figures, where to look."""
    from deepcolor.search.study.storage import StudyStorage

    link = runs_link(uri, summary.study, workspace)
    if console.settings.json:
        console.result("", {**summary.as_dict(), "runs": link})
        return
    study = StudyStorage(workspace).load(summary.study)
    if not console.settings.quiet:
        leaderboard(study, study.trials(), limit=SHOWN_TRIALS)
        if summary.confirmation:
            show_confirmation(summary.confirmation, objective=study.sweep.search.objective)
    console.result(_summary_text(summary, workspace, link), {})


def leaderboard(
    study: StoredStudy, trials: list[StoredTrial], *, limit: int, running: Collection[int] = frozenset()
) -> None:
    """Print the best trials of a study's search as a table.

    Args:
        study: Names the columns.
        trials: All of its trials.
        limit: How many are shown.
        running: Numbers of those that are being trained now.
    """
    from deepcolor.search.rules.ranking import ranked

    order, names = ranked(trials), list(study.sweep.search_names)
    shown = order[:limit]
    more = f" (best {limit} of {len(order)})" if len(order) > limit else ""
    title = f"{study.name}{more}, by value ({study.sweep.search.objective} at the chosen epoch)"
    figures = ["state", "value", *study.sweep.search.watch, *_FIGURES, "epoch"]
    rows = [_figures(trial, running, watch=study.sweep.search.watch) for trial in shown]
    wide = [
        [str(trial.number), *(param_text(trial.params[name]) if name in trial.params else "-" for name in names), *row]
        for trial, row in zip(shown, rows, strict=True)
    ]
    columns = ["trial", *names, *figures]
    if console.fits([*columns[: -len(_SPARE)]], [row[: -len(_SPARE)] for row in wide], unfolded=columns):
        numeric = [column for column in columns if column != "state"]
        console.table(title, columns, wide, numeric=numeric, whole=("state",), spare=_SPARE)
    else:  # The settings in one column can be folded.
        narrow = [[str(trial.number), *row, params_line(trial.params)] for trial, row in zip(shown, rows, strict=True)]
        numeric = ["trial", *figures[1:]]
        console.table(title, ["trial", *figures, "setting"], narrow, numeric=numeric, whole=("state",), spare=_SPARE)


def _figures(trial: StoredTrial, running: Collection[int], *, watch: Sequence[str]) -> list[str]:
    """A trial's state and what it came to, as the leaderboard shows it."""
    from deepcolor.search.study.attendance import state_of

    measured = [_metric(trial, name) for name in _FIGURES.values()]
    watched = trial.outcome.watched if trial.outcome else {}
    values = [value_text(value) for value in (trial.latest, *(watched.get(name) for name in watch))]
    return [state_of(trial, running), *values, *measured, _epochs(trial)]


def runs_link(uri: str, study: str, workspace: Workspace) -> str:
    """Return the command that shows a study's runs."""
    server = f" --tracking-uri {quote(shown_uri(uri))}" if uri.startswith(("http://", "https://")) else ""
    return f"deepcolor ui {study}{server}{in_workspace(workspace.root)}"


def _summary_text(summary: Summary, workspace: Workspace, link: str) -> str:
    best = summary.best
    lines = []
    if best is not None and best.outcome is not None:
        setting = params_line(best.params) or "the one setting"
        found = f"trial {best.number}: {value_text(best.value)} with {setting}"
        lines.append(f"{console.bold('best')}      {found} (epoch {best.outcome.view.chosen_epoch})")
    else:
        lines.append(f"{console.bold('best')}      none: no trial gave a finite value")
    if summary.confirmation is not None:
        lines += confirmation_lines(summary.confirmation)
    lines.append(f"{console.bold('trials')}    {_trials_text(summary)}")
    if summary.stopped_by:
        lines.append(
            f"{console.bold('budget')}    spent: search.budget.{summary.stopped_by}; go on with more by --extend"
        )
    lines.append(
        f"{console.bold('epochs')}    {summary.requested_epochs} asked for, {summary.trained_epochs} trained "
        f"({_saved_text(summary)}); "
        f"{summary.trained_now} trained now, in {duration(summary.wall_s)}"
    )
    lines.append(f"{console.bold('report')}    {workspace.report(summary.study)}")
    lines.append(f"{console.bold('compare')}   {link}")
    if best is not None:
        lines.append(f"{console.bold('promote')}   deepcolor promote {summary.study}{in_workspace(workspace.root)}")
    return "\n".join(lines)


def _saved_text(summary: Summary) -> str:
    """What needed no training, in epochs and in seconds at the pace of their trainings, where that is known."""
    if not summary.saved:
        return "none saved"
    seconds = f" or {duration(summary.saved_s)}" if summary.saved_s else ""
    return f"{percent(summary.saved)}{seconds} saved"


def _trials_text(summary: Summary) -> str:
    again = "they run" if summary.failed > 1 else "it runs"
    diverged = f" ({summary.diverged} of them diverged)" if summary.diverged else ""
    parts = [f"{summary.complete} complete{diverged}"]
    parts += [f"{count} {state}" for state in ("pruned", "waiting") if (count := getattr(summary, state))]
    parts += [f"{summary.failed} failed ({again} again on the next start)"] if summary.failed else []
    learnt = f"; learnt from {counted(summary.learnt_from, 'trial')} of other studies" if summary.learnt_from else ""
    return ", ".join(parts) + learnt


def _list_studies(workspace: Workspace, storage: StudyStorage) -> None:
    from deepcolor.search.rules.summary import best_as_dict, best_of
    from deepcolor.search.study.attendance import running_trials, state_of
    from deepcolor.search.study.trials import searched

    rows, data = [], []
    for name in storage.names():
        running, study = running_trials(workspace, name), storage.load(name)
        trials = searched(study.trials())
        counts = Counter(state_of(trial, running) for trial in trials)
        best = best_of(trials)
        sweep = study.sweep
        data.append(
            {
                "study": name,
                "stage": sweep.stage,
                "data": sweep.data.name,
                **{state: counts[state] for state in _STATES},
                "best": best_as_dict(best) if best else None,
            }
        )
        rows.append(
            [
                name,
                sweep.stage,
                sweep.data.name,
                sweep.search.sampler,
                *(str(counts[state]) for state in _STATES),
                value_text(best.value) if best else "-",
                params_line(best.params) if best else "-",
            ]
        )
    if not rows and not console.settings.json:
        console.result("No studies yet. Start one with: deepcolor sweep FILE", {})
        return
    columns = ["study", "stage", "data", "sampler", *_STATES, "best", "setting"]
    empty = [state for state in _STATES[1:] if not any(one[state] for one in data)]
    keep = [index for index, column in enumerate(columns) if column not in empty]
    console.table(
        "",
        [columns[index] for index in keep],
        [[row[index] for index in keep] for row in rows],
        numeric=(*_STATES, "best"),
        whole=("study", "stage", "data", "sampler"),
        spare=("sampler", "data", "stage", "setting"),
    )
    if console.settings.json:
        console.result("", data)


def _show_study(workspace: Workspace, study: StoredStudy, limit: int) -> None:
    from deepcolor.search.rules.confirmation import confirmation_of
    from deepcolor.search.rules.ranking import ranked
    from deepcolor.search.rules.summary import best_as_dict
    from deepcolor.search.study.attendance import running_trials, state_of

    running = running_trials(workspace, study.name)
    trials = study.trials()
    confirmation = confirmation_of(study.sweep, trials, spent=study.spent)
    if console.settings.json:
        rows = [
            {**best_as_dict(trial), "state": state_of(trial, running), "error": trial.error}
            for trial in ranked(trials)[:limit]
        ]
        known = confirmation.as_dict() if confirmation else None
        console.result("", {"study": study.name, "stage": study.sweep.stage, "trials": rows, "confirmation": known})
        return
    leaderboard(study, trials, limit=limit, running=running)
    if confirmation is not None:
        show_confirmation(confirmation, objective=study.sweep.search.objective)
        console.result("\n".join(confirmation_lines(confirmation)), {})
    for trial in trials:
        if trial.error:
            console.note(f"trial {trial.number} failed: {trial.error}")


def _epochs(trial: StoredTrial) -> str:
    """Whose weights were taken, of how many epochs; of a trial that waits, how many it has."""
    if trial.outcome is not None:
        return f"{trial.outcome.view.chosen_epoch}/{trial.outcome.view.end_epoch}"
    return f"-/{max(trial.reached)}" if trial.reached else "-"


def _metric(trial: StoredTrial, name: str) -> str:
    value = trial.outcome.metrics.get(name) if trial.outcome else None
    return "-" if value is None else f"{value:.3g}" if name != "psnr_db" else f"{value:.2f}"
