"""`deepcolor gc`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    JsonOption,
    QuietOption,
    StorageOption,
    TrackingOption,
    WorkspaceOption,
    guard_secrets,
    tracking_uri,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.words import size

if TYPE_CHECKING:
    from deepcolor.app.gc import Collected

_WHAT = {
    "checkpoints": "checkpoints of trainings that nothing needs; their histories stay",
    "results": "weights and pictures of the same trainings",
    "samples": "their contact sheets from before their end",
    "unmentioned": "trainings that no study mentions",
    "artifacts": "artifacts of runs that MLflow does not hold",
    "temporary": "left-overs of processes that were killed over a day ago",
    "logs": "what jobs of SLURM's said over 30 days ago",
}
_WHY = {
    "registered": "a registered version came from it",
    "pinned": "a study starts from its weights",
    "unfinished": "its study is not finished",
    "best": "one of its study's best, or the best of a network form",
    "confirmed": "it confirmed its study's winner, or runner-up, under another seed",
}


def gc(
    keep: Annotated[int, typer.Option("--keep", min=1, help="Best trials of each study that keep their weights.")] = 5,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove what is listed; else it is listed only.")] = False,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            metavar="URI",
            help="Another MLflow store whose registered versions are needed; may be given several times.",
        ),
    ] = None,
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Say which checkpoints and results nothing needs any more, and with --yes remove them.

    Kept is whatever a registered version, the parent of a model, an unfinished study, a study's best trials or the
    confirmation of its winner need. Of the others every figure stays: studies list as before, and running a sweep again
    trains nothing.

    [bold]Examples[/bold]

      deepcolor gc

      deepcolor gc --keep 1 --yes

      deepcolor gc --also https://mlflow.example.org --json
    """
    place = workspace_at(workspace, storage)
    for uri in also or ():
        guard_secrets(uri, option="--also")
    uri = tracking_uri(place, tracking)
    from deepcolor.app.gc import collect_garbage

    done = collect_garbage(place, uri, also=also or (), keep=keep, removing=yes, reporter=ConsoleReporter())
    _show(done, removed=yes)


def _show(done: Collected, *, removed: bool) -> None:
    """Print what goes and what stays."""
    from deepcolor.printable import shown_uri

    garbage = done.garbage
    counts, sizes = garbage.count_by_kind(), garbage.bytes_by_kind()
    kept = Counter(garbage.kept.values())
    asked = [shown_uri(uri) for uri in done.asked]
    data = {
        "removed": removed,
        "bytes": garbage.bytes,
        "kinds": {kind: {"count": counts[kind], "bytes": sizes[kind]} for kind in counts},
        "kept": {"trajectories": len(garbage.kept), "bytes": garbage.kept_bytes, "reasons": dict(kept)},
        "registries": asked,
    }
    if not console.settings.quiet:
        rows = [[kind, str(counts[kind]), size(sizes[kind]), _WHAT[kind]] for kind in counts if counts[kind]]
        if rows:
            console.table("", ["what goes", "count", "size", ""], rows, numeric=("count", "size"))
        rows = [[reason, str(count), _WHY[reason]] for reason, count in kept.most_common()]
        if rows:
            console.table("", ["what stays", "trainings", ""], rows, numeric=("trainings",))
        console.note(f"registered versions were looked up in {', '.join(asked)}; name others with --also")
    if removed:
        console.result(f"{size(garbage.bytes)} freed; {size(garbage.kept_bytes)} stay", data)
    elif garbage.items:
        console.result(f"{size(garbage.bytes)} can go; {size(garbage.kept_bytes)} stay. Remove with: --yes", data)
    else:
        console.result(f"nothing can go; {size(garbage.kept_bytes)} stay", data)
