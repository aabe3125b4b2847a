"""`deepcolor service`, and what is asked of it: `submit`, `pause`, `resume`, `cancel`, `stop`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepcolor.cli import completing, console
from deepcolor.cli.options import (
    HERE,
    ClusterCaOption,
    ClusterCertOption,
    ClusterKeyOption,
    DebugOption,
    DeviceOption,
    JsonOption,
    OverrideOption,
    QuietOption,
    ServiceOption,
    ServiceTokenOption,
    StorageOption,
    TrackingOption,
    WorkspaceOption,
    command_lines,
    in_workspace,
    tracking_uri,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.service.client import Service
    from deepcolor.service.requests import Action

StudyArgument = Annotated[
    str,
    typer.Argument(
        help="Study or pipeline, as it was submitted.", show_default=False, autocompletion=completing.studies
    ),
]


def service(
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", metavar="ADDRESS", help="Train on the workers of a Dask cluster; they are the slots."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Slots of this machine.", show_default="one a GPU, or one a core"),
    ] = None,
    device: DeviceOption = "auto",
    host: Annotated[str | None, typer.Option("--host", help="Address to serve on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port; 0: any.", show_default="8765")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            envvar="DEEPCOLOR_SERVICE_TOKENS",
            help="Users and their tokens: a line USER TOKEN each.",
            show_default="a token for this user, in studies/.queue/",
        ),
    ] = None,
    at_a_time: Annotated[
        int | None,
        typer.Option("--at-a-time", min=1, help="Submissions that run together.", show_default="the slots, at most 4"),
    ] = None,
    limit_a_user: Annotated[
        int | None,
        typer.Option("--limit-a-user", min=1, help="Of these, at most so many of one user.", show_default="no limit"),
    ] = None,
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
    """Run sweeps and pipelines that are submitted, several at a time, until Ctrl-C or SIGTERM.

    Slots are shared evenly between users. Ended or killed, it loses nothing: started again, it continues where it was.
    Submit with `deepcolor submit`, in the same workspace or over HTTP; docs/service.md describes both.

    [bold]Examples[/bold]

      deepcolor service

      deepcolor service --workers 4 --at-a-time 2 --limit-a-user 1

      deepcolor service --cluster tcp://login1:8786 --host 0.0.0.0 --token-file tokens.txt
    """
    from deepcolor.app.how import Cluster
    from deepcolor.service.options import options_of
    from deepcolor.service.serving import run_service

    place = workspace_at(workspace, storage)
    given = {"host": host, "port": port, "token_file": token_file, "workers": workers, "cluster": cluster}
    options = options_of(place, **given, at_a_time=at_a_time, limit_a_user=limit_a_user)

    def started(url: str) -> None:
        console.result(f"service at {url} (API: {url}/docs); Ctrl-C ends it", {"url": url})

    run_service(
        place,
        options=options,
        cluster=None
        if options.cluster is None
        else Cluster.at(options.cluster, ca=cluster_ca, cert=cluster_cert, key=cluster_key),
        tracking_uri=tracking_uri(place, tracking),
        device=device,
        reporter=ConsoleReporter(),
        resume=command_lines()[1],
        started=started,
    )


def submit(
    file: Annotated[Path, typer.Argument(help="Sweep or pipeline file (YAML).", show_default=False)],
    override: OverrideOption = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="Let the study grow to a sweep with more trials, values or budget.")
    ] = False,
    priority: Annotated[
        int, typer.Option("--priority", min=-100, max=100, help="Among your own submissions, higher ones start first.")
    ] = 0,
    own_name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Of a pipeline: let every stage compete for a champion of its own: colorizer-NAME.",
            show_default="with the champion of its data set",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Of a pipeline: make each best trial champion whatever the gate says.")
    ] = False,
    service: ServiceOption = None,
    token_file: ServiceTokenOption = None,
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Hand a sweep or a pipeline to the service of this workspace, or to one elsewhere.

    The file is read now, with all that it names: changed later, it makes no difference. Without a running service it
    waits in the queue.

    [bold]Examples[/bold]

      deepcolor submit experiments/tpe/colorizer.yaml

      deepcolor submit sweep.yaml -o search.trials=50 --priority 5

      deepcolor submit experiments/pipeline.yaml --as fruits

      deepcolor submit sweep.yaml --service https://gpu1:8765 --token-file ~/.deepcolor-token
    """
    from deepcolor.service.delivery import deliver
    from deepcolor.service.submitting import read_draft

    place = Workspace.at(workspace)
    draft, parsed = read_draft(
        file,
        override or (),
        priority=priority,
        extend=extend,
        command=command_lines()[0],
        own_name=own_name,
        force=force,
        code=place.code,
    )
    there = None if service is None else _service(service, token_file, place)
    made = deliver(draft, parsed, workspace=place, service=there)
    if made.service:
        note = f"{'for the service ' if there is None else ''}at {made.service}"
    else:
        note = f"until a service runs (deepcolor service{in_workspace(place.root)})"
    console.result(
        f"{made.kind} {made.name} queued {note}\nfollow    deepcolor studies{_where(service, token_file, place)}",
        dict(made.fields),
    )


def pause(
    study: StudyArgument,
    service: ServiceOption = None,
    token_file: ServiceTokenOption = None,
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Let a submitted sweep end its epoch and wait; its slots are free for others until `deepcolor resume`.

    [bold]Examples[/bold]

      deepcolor pause tpe-colorizer

      deepcolor pause tpe-colorizer --service http://127.0.0.1:8765
    """
    _request(study, "pause", service, token_file, workspace)


def resume(
    study: StudyArgument,
    service: ServiceOption = None,
    token_file: ServiceTokenOption = None,
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Queue a submitted sweep again that was paused, cancelled or has failed; it continues where it was.

    [bold]Examples[/bold]

      deepcolor resume tpe-colorizer
    """
    _request(study, "resume", service, token_file, workspace)


def cancel(
    study: StudyArgument,
    service: ServiceOption = None,
    token_file: ServiceTokenOption = None,
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Take a submitted sweep out of the queue, or end it after its epoch; its trials are kept.

    [bold]Examples[/bold]

      deepcolor cancel tpe-colorizer
    """
    _request(study, "cancel", service, token_file, workspace)


def stop(
    study: Annotated[
        str, typer.Argument(help="A study that runs.", show_default=False, autocompletion=completing.studies)
    ],
    trial: Annotated[
        int,
        typer.Option(
            "--trial", "-t", min=0, help="Number of the trial.", show_default=False, autocompletion=completing.numbers
        ),
    ],
    service: ServiceOption = None,
    token_file: ServiceTokenOption = None,
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """End one trial of a study after its epoch; the study goes on, whoever drives it.

    The trial counts as pruned, with its value at the last rung it has reached, if any, and is never the best. If it has
    not finished an epoch, it has failed.

    [bold]Examples[/bold]

      deepcolor stop tpe-colorizer --trial 7
    """
    from deepcolor.service.requests import request_stop_of_trial
    from deepcolor.service.tokens import this_user

    place = workspace_at(workspace, storage)
    if service is not None:
        said = _service(service, token_file, place).stop_trial(study, trial)
    else:
        said = request_stop_of_trial(place, study, trial, by=this_user())
    console.result(said, {"study": study, "trial": trial, "said": said})


def submissions_elsewhere(url: str, token_file: Path | None, place: Workspace) -> None:
    """Print what a service elsewhere has been given."""
    found = _service(url, token_file, place).submissions()
    if console.settings.json:
        console.result("", found)
    elif not found:
        console.result("Nothing has been submitted yet. Submit with: deepcolor submit FILE", {})
    else:
        rows = [[str(one["name"]), str(one["kind"]), str(one["state"]), *_rest(one)] for one in found]
        columns = ["name", "kind", "state", "by", "slots", "message"]
        console.table("", columns, rows, numeric=("slots",), whole=("name", "kind", "state", "by"))


def submission_elsewhere(url: str, name: str, token_file: Path | None, place: Workspace) -> None:
    """Print how one submission of a service elsewhere stands."""
    one = _service(url, token_file, place).status(name)
    trials = [
        f"{study}: " + (", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no trials yet")
        for study, counts in one["trials"].items()
    ]
    said = [f"{one['name']}: {one['state']}, submitted by {one['user']}", *trials, *filter(None, [one["message"]])]
    console.result("\n".join(said), one)


def _rest(one: dict[str, Any]) -> list[str]:
    return [str(one["user"]), str(one["slots"] or "-"), str(one["message"] or one["wish"] or "-")]


def _request(study: str, action: Action, url: str | None, token_file: Path | None, workspace: Path) -> None:
    from deepcolor.service.queue import Queue
    from deepcolor.service.requests import request, said_of
    from deepcolor.service.serving import service_of

    place = Workspace.at(workspace)
    if url is not None:
        one = _service(url, token_file, place).request(study, action)
        wish = f", asked to {one['wish']}" if one["wish"] else ""
        console.result(f"{one['name']} is {one['state']}{wish}", one)
        return
    after = request(Queue(place), study, action)
    console.result(said_of(after, action), after.as_dict())
    if service_of(place) is None and after.state in {"queued", "running"}:
        console.warn(f"no service runs in {place.root}; start it with: deepcolor service{in_workspace(place.root)}")


def _service(url: str, token_file: Path | None, place: Workspace) -> Service:
    from deepcolor.service.client import Service

    made = Service.at(url, token_file=token_file, workspace=place)
    if made.warning:
        console.warn(made.warning)
    return made


def _where(url: str | None, token_file: Path | None, place: Workspace) -> str:
    if url is None:
        return in_workspace(place.root)
    token = f" --token-file {quote(str(token_file))}" if token_file else ""
    return f" --service {quote(url)}{token}"
