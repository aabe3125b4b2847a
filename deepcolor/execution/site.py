"""Whether jobs of SLURM's can be submitted from this host."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
from importlib.util import find_spec

from deepcolor.errors import ExecutorError, UserError
from deepcolor.execution.profile import SlurmProfile
from deepcolor.execution.squeue import ask
from deepcolor.workspace import Workspace


def try_jobs(profile: SlurmProfile, workspace: Workspace) -> str:
    """Ask SLURM whether it would take the jobs of a profile; none is submitted.

    Returns:
        Why not; empty if it would.
    """
    import_jobs()
    from deepcolor.execution.jobs import script_of

    try:
        ask("sbatch", "--test-only", given=script_of(profile, root=workspace.root, logs=workspace.job_logs))
    except ExecutorError as error:
        return str(error).partition("; got ")[2].rstrip(".") or str(error)
    return ""


def check_installed() -> None:
    """Make sure that jobs can be submitted from here.

    Raises:
        UserError: dask-jobqueue or SLURM's commands are missing.
    """
    if find_spec("dask_jobqueue") is None:
        raise UserError(
            "--cluster: slurm needs the package dask-jobqueue; got an environment without it. Install it with: pip "
            "install 'deepcolor[slurm]'"
        )
    missing = [program for program in ("sbatch", "squeue", "scancel") if shutil.which(program) is None]
    if missing:
        raise UserError(
            f"--cluster: slurm needs SLURM's own commands; got no {', '.join(missing)} on the PATH. Work on a login "
            "node of the cluster."
        )


def import_jobs() -> None:
    """Import dask-jobqueue, which then takes Ctrl-C for itself (its `runner`, which is not used here), and undo that.

    Raises:
        ExecutorError: This is not the main thread, where alone it can be imported for the first time.
    """
    if "dask_jobqueue" in sys.modules:
        return
    if threading.current_thread() is not threading.main_thread():
        raise ExecutorError(
            "slurm: jobs must first be used in the main thread; got another one. Start the sweep there."
        )
    before, blocked = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        import deepcolor.execution.jobs  # noqa: F401
    finally:
        signal.signal(signal.SIGINT, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
