"""`deepcolor doctor`."""

from __future__ import annotations

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
    JsonOption,
    QuietOption,
    StorageOption,
    TrackingOption,
    WorkspaceOption,
    cluster_of,
    tracking_uri,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.errors import EXIT_FAILURE

_SIGNS = {"well": "ok", "note": "note", "wrong": "WRONG"}


def doctor(
    device: DeviceOption = "auto",
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
    """Check all that a sweep will need: folders, disk, databases, tracking, devices or a cluster, versions and data.

    A line for each, with what to do where something is wrong; the exit code is 1 then. Nothing is changed: a tracking
    server is tried with a run of its own, which is deleted.

    [bold]Examples[/bold]

      deepcolor doctor

      deepcolor doctor --tracking-uri http://tracker:5000 --json
    """
    from deepcolor.app.doctor import examine

    place = workspace_at(workspace, storage)
    found = examine(
        place,
        tracking_uri=tracking_uri(place, tracking),
        device=device,
        cluster=cluster_of(cluster, profile=cluster_profile, ca=cluster_ca, cert=cluster_cert, key=cluster_key),
        reporter=ConsoleReporter(),
    )
    wrong = [each for each in found if each.state == "wrong"]
    width = max(len(each.name) for each in found)
    lines = [
        f"{_SIGNS[each.state]:<5}  {each.name:<{width}}  {each.said}" + (f". {each.remedy}" if each.remedy else "")
        for each in found
        if not (console.settings.quiet and each.state == "well")
    ]
    console.result("\n".join(lines), {"well": not wrong, "findings": [each.as_dict() for each in found]})
    if wrong:
        raise typer.Exit(EXIT_FAILURE)
