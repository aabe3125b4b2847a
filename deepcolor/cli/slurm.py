"""`deepcolor slurm`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.options import (
    HERE,
    ClusterProfileOption,
    DebugOption,
    JsonOption,
    OverrideOption,
    QuietOption,
    StorageOption,
    TrackingOption,
    WorkspaceOption,
    on_command_line,
    workspace_at,
)
from deepcolor.workspace import check_store_uri


def slurm(
    file: Annotated[Path, typer.Argument(help="Sweep or pipeline file (YAML).", show_default=False)],
    override: OverrideOption = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="Let the study grow, as `deepcolor sweep --extend` does.")
    ] = False,
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster",
            metavar="slurm[:NAME]",
            help="The profile: ~/.config/deepcolor/slurm.yaml, or NAME.yaml; see docs/cluster.md.",
        ),
    ] = "slurm",
    cluster_profile: ClusterProfileOption = None,
    show: Annotated[bool, typer.Option("--print", help="Print the job's script, and submit nothing.")] = False,
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Submit a job that drives a sweep or a pipeline with `--cluster slurm`, so that you can log out.

    The job trains nothing itself: it submits those that do. At its time limit, or when SLURM requeues it, it saves
    everything and continues by itself; scancel ends it and the jobs that train.

    [bold]Examples[/bold]

      deepcolor slurm experiments/report1/colorizer.yaml

      deepcolor slurm experiments/pipeline.yaml --cluster slurm:a100

      deepcolor slurm sweep.yaml --cluster-profile site.yaml --print
    """
    from deepcolor.app.how import SlurmProfile, cluster_at
    from deepcolor.app.slurm import driver_script, submit
    from deepcolor.errors import UserError

    place = workspace_at(workspace, storage)
    check_store_uri(place.store_uri(tracking), option="--tracking-uri")  # A wrong one is refused now, not in the job.
    profile = cluster_at(cluster, profile=cluster_profile)
    if not isinstance(profile, SlurmProfile):
        raise UserError(f"--cluster: must be slurm or slurm:NAME; got {cluster}. Use deepcolor sweep for a scheduler.")
    where = ["--cluster-profile", str(cluster_profile)] if cluster_profile is not None else ["--cluster", cluster]
    options = [*where, "--workspace", str(place.root)]
    # The job finds what variables say, passwords included, in its environment.
    for name, value in (("--storage", on_command_line(storage)), ("--tracking-uri", on_command_line(tracking))):
        options += [name, value] if value is not None else []
    options += ["--extend"] if extend else []
    script = driver_script(file, workspace=place, profile=profile, options=options, overrides=override or ())
    if show:
        console.result(script.text.rstrip("\n"), {"name": script.name, "script": script.text})
        return
    job = submit(script, workspace=place)
    lines = [
        f"{console.bold('job')}    {job.job} ({job.name})",
        f"{console.bold('log')}    {job.log}",
        f"{console.bold('look')}   squeue --me; deepcolor studies",
        f"{console.bold('end')}    scancel {job.job}",
    ]
    console.result("\n".join(lines), job.as_dict())
