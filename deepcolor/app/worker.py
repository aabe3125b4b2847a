"""Lend this machine to the drivers of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcolor.app.reporter import Reporter
from deepcolor.errors import UserError
from deepcolor.limits import check_room

if TYPE_CHECKING:
    from deepcolor.execution.reach import Cluster
    from deepcolor.workspace import Workspace


def work(
    cluster: Cluster,
    *,
    workspace: Workspace,
    reporter: Reporter,
    slots: int | None = None,
    device: str = "auto",
    slots_per_gpu: int | None = None,
    threads: int | None = None,
    interface: str | None = None,
    allow_versions: bool = False,
) -> None:
    """Run segments for the drivers of a cluster until a signal asks to end.

    Args:
        cluster: Where its scheduler is.
        workspace: The driver's, as this machine sees it.
        reporter: Is told what goes on.
        slots: Segments at a time; None: one a GPU, or one a core.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        slots_per_gpu: Segments that share each GPU; None: one.
        threads: CPU threads of each; None: an equal share of the cores.
        interface: Network interface by which others reach this machine; None: the one that leads to the scheduler.
        allow_versions: Work for drivers with other versions of deepcolor, torch or Python, too.
    Raises:
        UserError: There is no workspace, the scheduler does not answer, a driver there would not take this machine, or
            an option is wrong.
        ExecutorError: The processes could not be started, or the scheduler has ended.
        LimitError: This shell allows too few files or processes.
    """
    from deepcolor.execution.devices import slots as divided
    from deepcolor.execution.hosting import host_workers
    from deepcolor.execution.post import posts

    if threads is not None and threads < 1:
        raise UserError(f"--threads: must be 1 or more; got {threads}. Leave it out to share the cores.")
    cut = divided(workers=slots, device=device, slots_per_gpu=slots_per_gpu)
    if cut.note:
        reporter.warn(cut.note)
    check_room(workers=cut.workers)
    made = posts(
        workers=cut.workers,
        threads=threads or cut.threads,
        devices=cut.devices or ("cpu",),
        root=workspace.root,
        any_version=allow_versions,
    )
    host_workers(
        cluster,
        workspace=workspace,
        posts=made,
        interface=interface,
        say=reporter.note,
    )
