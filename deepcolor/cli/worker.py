"""`deepcolor worker`."""

from __future__ import annotations

from typing import Annotated

import typer

from deepcolor.cli.options import (
    HERE,
    ClusterCaOption,
    ClusterCertOption,
    ClusterKeyOption,
    DebugOption,
    DeviceOption,
    QuietOption,
    SlotsPerGpuOption,
    WorkspaceOption,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.workspace import Workspace


def worker(
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="Dask scheduler: tcp://HOST:PORT, tls://HOST:PORT, or its scheduler file (.json).",
            show_default=False,
        ),
    ],
    slots: Annotated[
        int | None, typer.Option("--slots", help="Trainings at a time.", show_default="one a GPU, or one a core")
    ] = None,
    device: DeviceOption = "auto",
    slots_per_gpu: SlotsPerGpuOption = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="CPU threads of each.", show_default="a share of the cores")
    ] = None,
    interface: Annotated[
        str | None,
        typer.Option(
            "--interface",
            help="Network interface by which others reach this machine, such as ib0.",
            show_default="the one that leads to the scheduler",
        ),
    ] = None,
    lifetime: Annotated[
        float | None,
        typer.Option(
            "--lifetime",
            metavar="SECONDS",
            help="End after this long, as when asked to, such as before a job's time limit.",
            show_default="when asked to",
        ),
    ] = None,
    lifetime_stagger: Annotated[
        float,
        typer.Option("--lifetime-stagger", metavar="SECONDS", help="End up to this much earlier, at a random moment."),
    ] = 0.0,
    scratch: Annotated[
        str | None,
        typer.Option(
            "--scratch",
            metavar="FOLDER",
            help="Copy decoded pictures to this folder of the machine's own disk, once, and train from there; may hold "
            "variables, such as '$TMPDIR'.",
            show_default="train from the workspace",
        ),
    ] = None,
    allow_versions: Annotated[
        bool,
        typer.Option(
            "--allow-versions", help="Work for drivers with other versions, too, whose numbers may then differ."
        ),
    ] = False,
    cluster_ca: ClusterCaOption = None,
    cluster_cert: ClusterCertOption = None,
    cluster_key: ClusterKeyOption = None,
    workspace: WorkspaceOption = HERE,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Lend this machine to sweeps that run with --cluster, until Ctrl-C or SIGTERM.

    It must see the driver's workspace, under any path, and have the same versions of deepcolor, torch and Python; if
    not, it says what differs, and ends. Asked to end, it lets running trainings finish their epoch and saves them; they
    go on elsewhere. Killed, it costs at most the epochs since the last checkpoint.

    [bold]Examples[/bold]

      deepcolor worker --cluster tcp://login1:8786

      deepcolor worker --cluster scheduler.json --slots 2 --threads 4 --workspace /mnt/team/colours

      deepcolor worker --cluster tls://login1:8786 --cluster-ca ca.pem --cluster-cert me.pem --cluster-key me.key
    """
    from deepcolor.app.how import Cluster
    from deepcolor.app.worker import work

    work(
        Cluster.at(cluster, ca=cluster_ca, cert=cluster_cert, key=cluster_key),
        workspace=Workspace.at(workspace),
        reporter=ConsoleReporter(),
        slots=slots,
        device=device,
        slots_per_gpu=slots_per_gpu,
        threads=threads,
        interface=interface,
        lifetime_s=lifetime,
        stagger_s=lifetime_stagger,
        scratch=scratch,
        allow_versions=allow_versions,
    )
