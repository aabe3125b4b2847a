"""Lend this machine to the drivers of a cluster."""

from __future__ import annotations

import os
import random
from pathlib import Path
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
    lifetime_s: float | None = None,
    stagger_s: float = 0.0,
    scratch: str | None = None,
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
        lifetime_s: End after this many seconds, as when asked to; None: only when asked to.
        stagger_s: End up to this many seconds earlier, at a random moment.
        scratch: Folder of this machine's own disk into which decoded pictures are copied; it may hold variables of the
            environment. None: they are read from the workspace.
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
    if lifetime_s is not None and not 0 <= stagger_s < lifetime_s:
        got = f"{stagger_s:g} with --lifetime {lifetime_s:g}"
        raise UserError(f"--lifetime-stagger: must be from 0 to less than --lifetime; got {got}. Correct one of them.")
    local = None if scratch is None else _folder_for_copies(scratch)
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
        scratch=local,
    )
    host_workers(
        cluster,
        workspace=workspace,
        posts=made,
        interface=interface,
        # Every second of it counts in a job, so it begins before the libraries are imported.
        lifetime_s=None if lifetime_s is None else lifetime_s - random.random() * stagger_s,
        say=reporter.note,
    )


def _folder_for_copies(named: str) -> Path:
    path = Path(os.path.expanduser(os.path.expandvars(named)))  # noqa: PTH111  # variables and home together
    if "$" in str(path) or not path.is_absolute():
        raise UserError(
            f"--scratch: must be an absolute folder, of variables that are set here; got {named}. Correct it."
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--scratch: must be a folder that can be written to; got {path} ({error.strerror}). Choose another one."
        ) from error
    return path
