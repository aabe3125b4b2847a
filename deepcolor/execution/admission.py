"""Whether a worker may train for a driver: it must compute the same numbers, and see the same store.

A driver states what it asks; each worker answers for itself. What travels is plain data, so that other versions can
read it, and say so.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deepcolor import __version__, plugins
from deepcolor.execution.post import SLOT
from deepcolor.memory import keep_freed_memory
from deepcolor.workspace import Workspace

DRIVERS = "deepcolor-drivers"
"""Where a scheduler keeps what drivers state, by their topic."""
STATED_FOR_S = 120.0
"""A driver repeats its statement more often than that; older ones are of drivers that were killed."""


def tell(line: str) -> None:
    """Say something on this worker's terminal, or in its job's log."""
    print(f"worker: {line}", file=sys.stderr, flush=True)  # noqa: T201  # nobody else would hear of it


def job_here() -> str:
    """Return the number of the job of SLURM's that this process is a part of; empty outside of one."""
    return os.environ.get("SLURM_JOB_ID", "")


def versions_here() -> dict[str, str]:
    """Return the versions that numbers depend on, and without which nothing can be exchanged.

    Of torch the release alone: whether it was built for a GPU is seen in the device.
    """
    try:
        torch = version("torch").partition("+")[0]
    except PackageNotFoundError:
        torch = "none"
    return {"deepcolor": __version__, "torch": torch, "python": ".".join(map(str, sys.version_info[:2]))}


def statement(workspace: Workspace) -> dict[str, Any]:
    """Say what a driver at work in a workspace asks of its workers."""
    return {
        "store": workspace.identified(),
        "root": str(workspace.root),
        "versions": versions_here(),
        "host": platform.node(),
        "at": time.time(),
    }


def demanded(asked: Mapping[str, Any]) -> dict[str, float]:
    """Return the resources of a worker that a segment of this driver needs: a slot, and to have been admitted."""
    return {SLOT: 1, f"deepcolor-store-{asked['store']}": 1}


def refusal(asked: Mapping[str, Any], *, root: Path | None, any_version: bool) -> str:
    """Say why this process may not work for a driver; empty if it may.

    Args:
        asked: The driver's statement.
        root: The workspace as this process sees it; None: under the driver's path.
        any_version: Whether other versions do not matter.
    """
    differing = [] if any_version else differences(versions_here(), asked["versions"])
    if differing:
        return f"{', '.join(differing)}. Install the same versions here, or start it with --allow-versions"
    return _unseen(Workspace.at(root or asked["root"]), asked["store"])


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Say which versions differ between a worker (here) and a driver."""
    names = {"deepcolor": "deepcolor", "torch": "torch", "python": "Python"}
    return [
        f"{names.get(name, name)} {here.get(name, 'none')} here, {wanted} on the driver"
        for name, wanted in there.items()
        if here.get(name) != wanted
    ]


def _unseen(workspace: Workspace, store: str) -> str:
    file, advice = workspace.identity_file, "Mount it here, or name it with --workspace"
    try:
        found = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        return f"the driver's store is not seen here ({file}: {said.lower()}). {advice}"
    if found != store:
        return f"another store than the driver's is seen here ({workspace.root}). {advice}"
    if not os.access(workspace.studies, os.W_OK | os.X_OK):
        return f"the driver's store cannot be written to from here ({workspace.studies}). Fix its permissions"
    return ""


async def admit(asked: Mapping[str, Any], *, dask_worker: Any) -> dict[str, Any]:
    """Let this worker work for a driver, if it may; runs in its event loop.

    Returns:
        `refused` (empty if it may), `host`, `threads`, `device`, and the `job` of SLURM's that it is a part of.
    """
    post = getattr(dask_worker, "post", None)
    root = post.root if post else None
    answer = {
        "host": platform.node(),
        "threads": post.threads if post else dask_worker.state.nthreads,
        "device": (post.label or post.device or "") if post else "",
        "job": job_here(),
        "refused": "",
    }
    if getattr(dask_worker, "leaves", False):
        return {**answer, "refused": "it is ending"}
    refused = refusal(asked, root=root, any_version=post is not None and post.any_version)
    if refused:
        if post is not None:
            tell(f"not used by the driver on {asked['host']}: {refused}")
        return {**answer, "refused": refused}
    plugins.look_in(Workspace.at(root or asked["root"]).code)
    keep_freed_memory()
    has = dask_worker.state.total_resources
    await dask_worker.set_resources(**{name: 1 for name in demanded(asked) if not has.get(name)})
    return answer
