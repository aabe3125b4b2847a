"""`deepcolor plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import console
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
    OverrideOption,
    QuietOption,
    SlotsPerGpuOption,
    StorageOption,
    TrackingOption,
    WorkersOption,
    WorkspaceOption,
    cluster_of,
    tracking_uri,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.counting import counted
from deepcolor.words import duration, size

if TYPE_CHECKING:
    from deepcolor.app.plan import Plan
    from deepcolor.search.plan.price import Cost


def plan(
    file: Annotated[Path, typer.Argument(help="Sweep or pipeline file (YAML).", show_default=False)],
    override: OverrideOption = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="Plan the study as `deepcolor sweep --extend` would continue it.")
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
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Say what a sweep or a pipeline would cost: trials, epochs, hours, disk. Nothing is trained.

    What the workspace holds already is not counted. The seconds of an epoch come from finished trials of the same form
    on this machine, else from a short calibration with as many processes as the sweep would use. It measures for a
    tenth of the time it announces at most, or half a minute, what makes that surest; other networks are derived from
    those that differ from them in width alone. What a sampler will draw is taken to lie evenly over the space, though
    it may come to prefer large networks. With a pruner it says what is likely, and what is the most.

    [bold]Examples[/bold]

      deepcolor plan experiments/report2/regressor.yaml

      deepcolor plan experiments/pipeline.yaml --workers 1

      deepcolor plan sweep.yaml -o model.feature_maps=64 --json
    """
    from deepcolor.app.how import How
    from deepcolor.app.plan import plan_file

    place = workspace_at(workspace, storage)
    how = How(
        place,
        tracking_uri(place, tracking),
        executor,
        workers,
        device,
        reporter=ConsoleReporter(),
        slots_per_gpu=slots_per_gpu,
        cluster=cluster_of(cluster, profile=cluster_profile, ca=cluster_ca, cert=cluster_cert, key=cluster_key),
    )
    _show(plan_file(file, how, overrides=override or (), extend=extend))


def _show(planned: Plan) -> None:
    """Print a row for each sweep, then the sum."""
    columns = ["study", "trials", "trainings", "epochs asked", "to train", "s/epoch", "s/trial", "time"]
    rows = [
        [
            cost.study,
            str(cost.trials),
            str(cost.trajectories),
            str(cost.requested_epochs),
            str(cost.trained_epochs),
            f"{cost.epoch_s:.3g}",
            f"{cost.trial_s:.2g}",
            duration(cost.wall_s if cost.expected_s is None else cost.expected_s),
        ]
        for cost in planned.costs
    ]
    console.table("", columns, rows, numeric=columns[1:])
    console.result("\n".join(_lines(planned)), planned.as_dict())


def _lines(planned: Plan) -> list[str]:
    costs = planned.costs
    bound = "at most " if planned.at_most else ""
    gpu = f", {planned.gpu_hours:.2f} GPU-hours" if planned.gpu_hours else ""
    disk = f"{size(planned.store_bytes)} below studies/, {size(planned.tracking_bytes)} below mlruns/"
    lines = [
        f"{console.bold('time')}      {planned.time}{gpu}",
        f"{console.bold('disk')}      {bound}{disk}",
    ]
    lines += [
        f"{console.bold('data')}      {cost.study}: decoded in {cost.data_forms} forms, {size(cost.data_bytes)}"
        for cost in costs
        if cost.data_forms > 1
    ]
    lines += [
        f"{console.bold('budget')}    {cost.study} ends on its budget: {cost.limited_by}"
        for cost in costs
        if cost.limited_by
    ]
    lines += [
        f"{console.bold('pruner')}    {cost.study}: about {cost.expected_epochs} of its "
        f"{counted(cost.trained_epochs, 'epoch')}, if trials come in no order"
        for cost in costs
        if cost.expected_epochs is not None
    ]
    lines += [_confirmation(cost) for cost in costs if cost.confirmations]
    lines += [f"{console.bold('left out')}  {cost.study}: {cost.left_out}" for cost in costs if cost.left_out]
    measured = sorted({source for cost in costs for source in cost.sources})
    if measured:
        lines.append(f"{console.bold('measured')}  {', '.join(_SOURCES[source] for source in measured)}")
    return lines


def _confirmation(cost: Cost) -> str:
    """What is included for it, and what that rests on."""
    presumed = f", taken for {counted(cost.presumed_epochs, 'epoch')} each" if cost.presumed_epochs else ""
    trainings = f"{counted(cost.confirmations, 'training')} under other seeds{presumed}"
    return f"{console.bold('confirm')}   {cost.study}: {trainings}; included"


_SOURCES = {
    "store": "finished trials on this machine",
    "calibration": "a calibration just now",
    "interpolation": "other forms by interpolation",
}
