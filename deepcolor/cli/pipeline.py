"""`deepcolor pipeline`: the sweeps of a file one after the other, each one's best trial promoted before the next one
starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.confirmation import spread_text
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
from deepcolor.words import duration, figure_text, params_line, value_text
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.pipeline import StageResult
    from deepcolor.config.schema import Pipeline
    from deepcolor.registry.versions import ModelVersion


def pipeline(
    file: Annotated[Path, typer.Argument(help="Pipeline file (YAML).", show_default=False)],
    override: OverrideOption = None,
    own_name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Let every stage compete for a champion of its own: colorizer-NAME.",
            show_default="with the champion of its data set",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Make each best trial champion whatever the gate says.")
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
    """Run several sweeps in order, and promote the best trial of each before the next one starts.

    The same command continues after an interruption at any point; finished work is not done again. A stage whose best
    trial does not become champion is no obstacle, unless a later one starts from that champion: then the pipeline ends
    there.

    [bold]Examples[/bold]

      deepcolor pipeline experiments/quick.yaml

      deepcolor pipeline experiments/pipeline.yaml -o colorizer.training.epochs=30
    """
    from deepcolor.app.ending import told_of_end
    from deepcolor.app.how import How
    from deepcolor.app.pipeline import run_pipeline
    from deepcolor.config.load import load_pipeline

    place, listener = workspace_at(workspace, storage), notify_from(notify)
    parsed = load_pipeline(file, override or (), code=place.code)
    command, resume = command_lines()
    uri, reporter = tracking_uri(place, tracking), ConsoleReporter()
    how = How(
        place,
        uri,
        executor,
        workers,
        device,
        command,
        resume=resume,
        reporter=reporter,
        slots_per_gpu=slots_per_gpu,
        cluster=cluster_of(cluster, profile=cluster_profile, ca=cluster_ca, cert=cluster_cert, key=cluster_key),
        system_metrics=system_metrics,
    )
    studies = [sweep.study for sweep in parsed.sweeps]
    with told_of_end(listener, kind="pipeline", name=parsed.pipeline, studies=studies, reporter=reporter) as ending:
        results = run_pipeline(parsed, how, own_name=own_name, force=force)
        ending.message = "; ".join(result.promotion.sentence.rstrip(".") for result in results)
    show_pipeline(parsed, results, place)


def show_pipeline(parsed: Pipeline, results: list[StageResult], workspace: Workspace) -> None:
    """Print the summary of a pipeline: a row a stage, then what fine-tuning changed."""
    if console.settings.json:
        console.result("", {"pipeline": parsed.pipeline, "stages": [result.as_dict() for result in results]})
        return
    from deepcolor.app.models import are_shipped

    rows = [
        [
            result.sweep.label,
            result.promotion.version.ref,
            *_found(result),
            value_text(result.promotion.test[gate := result.promotion.gate.metric]),
            value_text(result.promotion.test.get(f"baseline_{gate}")),
            result.promotion.verdict,
        ]
        for result in results
    ]
    shipped = are_shipped(result.sweep.label for result in results)
    figures = ("val MSE", "test MSE", "mean colour") if shipped else ("value", "test error", "baseline")
    columns = ["stage", "version", "best setting", *figures, "verdict"]
    console.table(f"pipeline {parsed.pipeline}", columns, rows, numeric=figures)
    lines = [line for result in results if (line := _fine_tuning(result)) is not None]
    trained = sum(result.summary.trained_now for result in results)
    wall_s = sum(result.summary.wall_s for result in results)
    lines.append(f"{console.bold('epochs')}    {trained} trained now, in {duration(wall_s)}")
    lines.append(f"{console.bold('summary')}   {workspace.pipeline_summary(parsed.pipeline)}")
    if (page := workspace.pipeline_page(parsed.pipeline)).exists():
        lines.append(f"{console.bold('report')}    {page}")
    where = with_storage(workspace)
    usable = [result.promotion.version for result in results if result.promotion.version.colours]
    model = f" --model {reference(usable[-1])}" if usable else ""
    commands = ("models", "ui", f"colorize PHOTO -o OUT{model}")
    lines.append(f"{console.bold('next')}      {'; '.join(f'deepcolor {command}{where}' for command in commands)}")
    console.result("\n".join(lines), {})


def reference(version: ModelVersion) -> str:
    """Name a version: as champion where it is, else by its number."""
    return f"{version.line}@champion" if "champion" in version.aliases else version.ref


def _fine_tuning(result: StageResult) -> str | None:
    gate, test = result.promotion.gate, result.promotion.test
    if result.before is None or gate.metric not in result.before:
        return None
    before, after = result.before[gate.metric], test[gate.metric]
    change = f"{(after - before) / before:+.0%}"
    told = f"{gate.value(result.before)} without fine-tuning, {figure_text(after)} with it ({change})"
    line = f"{console.bold(result.sweep.data.title)}    {told}"
    if "psnr_db" not in result.before:
        return line
    return f"{line}; PSNR {result.before['psnr_db']:.2f} dB and {test['psnr_db']:.2f} dB"


def _found(result: StageResult) -> tuple[str, str]:
    """The winning setting and its value, in words: confirmed under other seeds, or the best one."""
    confirmation, best = result.summary.confirmation, result.summary.best
    if confirmation is not None and confirmation.winner is not None:
        return params_line(confirmation.winner.params) or "-", spread_text(confirmation.winner)
    return params_line(best.params) if best else "-", value_text(best.value if best else None)
