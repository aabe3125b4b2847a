"""`deepcolor sweep`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.confirmation import confirmation_lines, show_confirmation
from deepcolor.cli.live import figures_text
from deepcolor.cli.options import (
    HERE,
    ClusterCaOption,
    ClusterCertOption,
    ClusterKeyOption,
    ClusterOption,
    ClusterProfileOption,
    DebugOption,
    DeviceOption,
    ExecutorOption,
    JsonOption,
    NotifyOption,
    OverrideOption,
    QuietOption,
    SlotsPerGpuOption,
    StorageOption,
    SystemMetricsOption,
    TrackingOption,
    WorkersOption,
    WorkspaceOption,
    cluster_of,
    command_lines,
    notify_from,
    tracking_uri,
    with_storage,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.cli.studies import leaderboard
from deepcolor.counting import counted
from deepcolor.errors import EXIT_FAILURE
from deepcolor.printable import shown_uri
from deepcolor.words import duration, params_line, percent, value_text
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.search.rules.summary import Summary

SHOWN_TRIALS = 10


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
    slots_per_gpu: SlotsPerGpuOption = None,
    cluster: ClusterOption = None,
    cluster_profile: ClusterProfileOption = None,
    cluster_ca: ClusterCaOption = None,
    cluster_cert: ClusterCertOption = None,
    cluster_key: ClusterKeyOption = None,
    notify: NotifyOption = None,
    system_metrics: SystemMetricsOption = None,
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run a sweep: create its study, or continue it.

    Every finished trial is kept: an interrupted sweep continues where it was, and a finished one trains nothing. With
    --extend a sweep may have grown (more trials, a wider space, a larger budget); it is refused where that would change
    what its finished trials mean.

    [bold]Examples[/bold]

      deepcolor sweep experiments/report1/regressor.yaml

      deepcolor sweep experiments/tpe/colorizer.yaml --workers 4 -o search.trials=50

      deepcolor sweep experiments/tpe/colorizer.yaml --extend -o search.trials=80

      deepcolor sweep experiments/tpe/regressor.yaml --extend -o "search.confirm={top: 3, seeds: 3}"

      deepcolor sweep sweep.yaml --executor serial --json

      deepcolor sweep sweep.yaml --cluster tcp://login1:8786

      deepcolor sweep sweep.yaml --notify "mail -s done me@example.org"
    """
    from deepcolor.app.ending import said_of, told_of_end
    from deepcolor.app.how import How
    from deepcolor.app.sweep import run_sweep
    from deepcolor.config.load import load_sweep

    place, listener = workspace_at(workspace, storage), notify_from(notify)
    parsed = load_sweep(file, override or (), code=place.code)
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
        slots_per_gpu=slots_per_gpu,
        cluster=cluster_of(cluster, profile=cluster_profile, ca=cluster_ca, cert=cluster_cert, key=cluster_key),
        system_metrics=system_metrics,
    )
    with told_of_end(
        listener, kind="sweep", name=parsed.study, studies=[parsed.study], reporter=how.reporter
    ) as ending:
        summary = run_sweep(parsed, how)
        ending.event, ending.message = said_of(summary)
    show_summary(summary, how.workspace, how.tracking_uri)
    if summary.failed and not (summary.complete or summary.pruned or summary.waiting):
        raise typer.Exit(EXIT_FAILURE)  # What comes after it would have nothing to start from.


def show_summary(summary: Summary, workspace: Workspace, uri: str) -> None:
    """Print what a sweep came to: leaderboard, best setting, figures, where to look."""
    from deepcolor.app.studies import standing_of

    link = runs_link(uri, summary.study, workspace)
    if console.settings.json:
        console.result("", {**summary.as_dict(), "runs": link})
        return
    if not console.settings.quiet:
        standing = standing_of(workspace, summary.study)
        leaderboard(standing, limit=SHOWN_TRIALS)
        if summary.confirmation:
            show_confirmation(summary.confirmation, objective=standing.study.sweep.search.objectives[0])
    console.result(_summary_text(summary, workspace, link), {})


def runs_link(uri: str, study: str, workspace: Workspace) -> str:
    """Return the command that shows a study's runs."""
    server = f" --tracking-uri {quote(shown_uri(uri))}" if uri.startswith(("http://", "https://")) else ""
    return f"deepcolor ui {study}{server}{with_storage(workspace)}"


def _summary_text(summary: Summary, workspace: Workspace, link: str) -> str:
    best = summary.best
    lines = []
    if best is not None and best.outcome is not None:
        setting = params_line(best.params) or "the one setting"
        value = figures_text(best) if summary.front else value_text(best.value)
        head = console.bold("chosen" if summary.front else "best")
        found = f"trial {best.number}: {value} with {setting}"
        lines.append(f"{head}{' ' * (4 if summary.front else 6)}{found} (epoch {best.outcome.view.chosen_epoch})")
    elif (near := summary.nearest) is not None:
        rule = f"search.choose ({near.aims.choose})" if summary.front else "search.constraints"
        far = figures_text(near) if summary.front else near.breaks_text
        lines.append(f"{console.bold('best')}      none: no trial keeps to {rule}; nearest: trial {near.number}, {far}")
    else:
        failed = summary.failed and not summary.complete
        why = "every trial failed" if failed else "no trial gave a finite value"
        lines.append(f"{console.bold('best')}      none: {why}")
    if summary.front:
        rule = next((f", by {trial.aims.choose}" for trial in summary.front if trial.aims.choose), "")
        numbers = ", ".join(str(trial.number) for trial in summary.front)
        lines.append(f"{console.bold('front')}     {counted(len(summary.front), 'trial')}: {numbers}{rule}")
    if summary.confirmation is not None:
        lines += confirmation_lines(summary.confirmation)
    lines.append(f"{console.bold('trials')}    {_trials_text(summary)}")
    if summary.left_out:
        lines.append(f"{console.bold('left out')}  {summary.left_out}")
    if summary.stopped_why:
        lines.append(
            f"{console.bold('stopped')}   regret: {summary.stopped_why}; continue with a smaller search.stop.within by "
            "--extend"
        )
    elif summary.stopped_by:
        lines.append(
            f"{console.bold('budget')}    spent: search.budget.{summary.stopped_by}; continue with more by --extend"
        )
    lines.append(
        f"{console.bold('epochs')}    {summary.requested_epochs} asked for, {summary.trained_epochs} trained "
        f"({_saved_text(summary)}); "
        f"{summary.trained_now} trained now, in {duration(summary.wall_s)}"
    )
    if summary.failed:
        lines.append(f"{console.bold('failed')}    why, with tracebacks: {workspace.failures(summary.study)}")
    lines.append(f"{console.bold('report')}    {workspace.report(summary.study) / 'report.html'}")
    lines.append(f"{console.bold('compare')}   {link}")
    if best is not None:
        lines.append(f"{console.bold('promote')}   deepcolor promote {summary.study}{with_storage(workspace)}")
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
    broken = f" ({summary.broken} of them {'break' if summary.broken > 1 else 'breaks'} a constraint)"
    parts = [f"{summary.complete} complete{diverged}{broken if summary.broken else ''}"]
    parts += [f"{count} {state}" for state in ("pruned", "waiting") if (count := getattr(summary, state))]
    parts += [f"{summary.failed} failed ({again} again on the next start)"] if summary.failed else []
    learnt = f"; learnt from {counted(summary.learnt_from, 'trial')} of other studies" if summary.learnt_from else ""
    return ", ".join(parts) + learnt
