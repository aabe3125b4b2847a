"""`deepcolor sweep` and `deepcolor studies`."""

from __future__ import annotations

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
    tracking_uri,
)
from deepcolor.cli.words import duration, param_text, params_line, percent, value_text
from deepcolor.printable import shown_uri
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.search.study import StoredStudy, StoredTrial
    from deepcolor.search.summary import Summary

SHOWN_TRIALS = 10
_COUNTED = ("complete", "pruned", "running", "failed")


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
    from deepcolor.cli.drive import How, command_lines, run_sweep
    from deepcolor.config.load import load_sweep

    place = Workspace.at(workspace)
    parsed = load_sweep(file, override or ())
    command, resume = command_lines()
    how = How(place, tracking_uri(place, tracking), executor, workers, device, command, extend, resume)
    runner = how.make_executor()
    try:
        summary = run_sweep(parsed, how, executor=runner)
    finally:
        runner.close()
    show_summary(summary, how.workspace, how.tracking_uri)


def studies(
    name: Annotated[str | None, typer.Argument(help="Show the leaderboard of this study.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Trials to show.")] = 20,
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """List the studies, or the trials of one, the best first.

    [bold]Examples[/bold]

      deepcolor studies

      deepcolor studies report1-regressor --limit 50

      deepcolor studies report1-regressor --json
    """
    from deepcolor.search.study import StudyStorage

    storage = StudyStorage(Workspace.at(workspace))
    if name is None:
        _list_studies(storage.names(), storage.load)
    else:
        _show_study(storage.load(name), limit)


def show_summary(summary: Summary, workspace: Workspace, uri: str) -> None:
    """Print what a sweep came to: leaderboard, best setting, figures, where to look."""
    from deepcolor.search.study import StudyStorage

    link = runs_link(uri, summary.study)
    if console.settings.json:
        console.result("", {**summary.as_dict(), "runs": link})
        return
    study = StudyStorage(workspace).load(summary.study)
    if not console.settings.quiet:
        leaderboard(study, study.trials(), limit=SHOWN_TRIALS)
        if summary.confirmation:
            show_confirmation(summary.confirmation, objective=study.sweep.search.objective)
    console.result(_summary_text(summary, workspace, link), {})


def leaderboard(study: StoredStudy, trials: list[StoredTrial], *, limit: int) -> None:
    """Print the best trials of a study's search as a table."""
    from deepcolor.search.report import ranked

    order = ranked(trials)
    names = study.sweep.search_names
    metric_names = ("psnr_db", "ssim", "colourfulness")
    rows = [
        [
            str(trial.number),
            *(param_text(trial.params[name]) if name in trial.params else "-" for name in names),
            value_text(trial.value) if trial.state == "complete" else trial.state,
            *(_metric(trial, name) for name in metric_names),
            f"{trial.outcome.view.chosen_epoch}/{trial.outcome.view.end_epoch}" if trial.outcome else "-",
        ]
        for trial in order[:limit]
    ]
    columns = ["trial", *names, study.sweep.search.objective, "PSNR dB", "SSIM", "colour", "epoch"]
    more = f" (best {limit} of {len(order)})" if len(order) > limit else ""
    console.table(f"{study.name}{more}", columns, rows, numeric=columns)


def runs_link(uri: str, study: str) -> str:
    """Where a study's runs are seen: the whole link on a server, the command that serves it for a local database."""
    return (
        f"deepcolor ui {study}"
        if not uri.startswith(("http://", "https://"))
        else f"deepcolor ui {study} --tracking-uri {quote(shown_uri(uri))}"
    )


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
    failed = f", {summary.failed} failed (they run again on the next start)" if summary.failed else ""
    diverged = f", {summary.diverged} diverged" if summary.diverged else ""
    pruned = f", {summary.pruned} stopped early" if summary.pruned else ""
    learnt = f"; learnt from {summary.learnt_from} of other studies" if summary.learnt_from else ""
    lines.append(f"{console.bold('trials')}    {summary.complete} complete{pruned}{failed}{diverged}{learnt}")
    if summary.stopped_by:
        lines.append(
            f"{console.bold('budget')}    spent: search.budget.{summary.stopped_by}; go on with more by --extend"
        )
    lines.append(
        f"{console.bold('epochs')}    {summary.requested_epochs} asked for, {summary.trained_epochs} trained "
        f"({percent(summary.saved)} or {duration(summary.saved_s)} saved); "
        f"{summary.trained_now} trained now, in {duration(summary.wall_s)}"
    )
    lines.append(f"{console.bold('report')}    {workspace.study(summary.study) / 'report'}")
    lines.append(f"{console.bold('compare')}   {link}")
    if best is not None:
        lines.append(f"{console.bold('promote')}   deepcolor promote {summary.study}")
    return "\n".join(lines)


def _list_studies(names: list[str], load: object) -> None:
    from deepcolor.search.summary import best_as_dict, best_of
    from deepcolor.search.trials import searched

    rows, data = [], []
    for name in names:
        study: StoredStudy = load(name)  # type: ignore[operator]
        trials = searched(study.trials())
        counts = {state: sum(trial.state == state for trial in trials) for state in _COUNTED}
        best = best_of(trials)
        sweep = study.sweep
        data.append(
            {
                "study": name,
                "stage": sweep.stage,
                "data": sweep.data.name,
                **counts,
                "best": best_as_dict(best) if best else None,
            }
        )
        rows.append(
            [
                name,
                sweep.stage,
                sweep.data.name,
                sweep.search.sampler,
                str(counts["complete"]),
                str(counts["pruned"]),
                str(counts["running"]),
                str(counts["failed"]),
                value_text(best.value) if best else "-",
                params_line(best.params) if best else "-",
            ]
        )
    if not names and not console.settings.json:
        console.result("No studies yet. Start one with: deepcolor sweep FILE", {})
        return
    columns = ["study", "stage", "data", "sampler", "complete", "pruned", "open", "failed", "best", "setting"]
    console.table("", columns, rows, numeric=("complete", "pruned", "open", "failed", "best"))
    if console.settings.json:
        console.result("", data)


def _show_study(study: StoredStudy, limit: int) -> None:
    from deepcolor.search.confirmation import confirmation_of
    from deepcolor.search.report import ranked
    from deepcolor.search.summary import best_as_dict

    trials = study.trials()
    confirmation = confirmation_of(study.sweep, trials, spent=study.spent)
    if console.settings.json:
        rows = [{**best_as_dict(trial), "state": trial.state, "error": trial.error} for trial in ranked(trials)[:limit]]
        known = confirmation.as_dict() if confirmation else None
        console.result("", {"study": study.name, "stage": study.sweep.stage, "trials": rows, "confirmation": known})
        return
    leaderboard(study, trials, limit=limit)
    if confirmation is not None:
        show_confirmation(confirmation, objective=study.sweep.search.objective)
        console.result("\n".join(confirmation_lines(confirmation)), {})
    for trial in trials:
        if trial.error:
            console.note(f"trial {trial.number} failed: {trial.error}")


def _metric(trial: StoredTrial, name: str) -> str:
    value = trial.outcome.metrics.get(name) if trial.outcome else None
    return "-" if value is None else f"{value:.3g}" if name != "psnr_db" else f"{value:.2f}"
