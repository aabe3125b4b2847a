"""A real SLURM for the tests: one controller and two nodes, all on this machine, for each process that runs tests.

Each job is a real one: sbatch, squeue, scancel and scontrol are SLURM's own, found by the configuration's path.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.needs import SLURM
from tests.processes import WAIT_S

NODES = ("n1", "n2")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol")
_SYSTEM = ("/usr/sbin", "/usr/local/sbin")
_CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobRequeue=1
KillWait=10
InactiveLimit=0
MinJobAge=60
ReturnToService=2
SlurmctldPort={controller_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmdParameters=config_overrides
{nodes}
PartitionName=long Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
_NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=1000 State=UNKNOWN"


def programs_are_there() -> bool:
    """Whether SLURM, MUNGE and dask-jobqueue are installed."""
    try:
        import dask_jobqueue  # noqa: F401
    except ImportError:
        return False
    return all(_found(program) for program in PROGRAMS)


def needed() -> None:
    """Skip the test where SLURM is missing; in CI it fails."""
    if not programs_are_there():
        SLURM.lacking()


@dataclass(frozen=True)
class Slurm:
    """A cluster whose commands work in processes with `environment`."""

    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs to find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, program: str, *words: str) -> str:
        """Run one of SLURM's commands as its administrator, and return what it said."""
        done = subprocess.run(
            [_found(program) or program, *words],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        assert done.returncode == 0, f"{program} {' '.join(words)}: {done.stderr}"
        return done.stdout

    def jobs(self, *states: str, name: str = "") -> dict[str, str]:
        """Return the jobs that there are, by id, with their state."""
        said = self.ask("squeue", "--noheader", "--states=all", "--format=%i %T %j")
        found = (line.split(maxsplit=2) for line in said.splitlines())
        return {job: state for job, state, called in found if (not states or state in states) and name in ("", called)}

    def script(self, job: str) -> str:
        """Return the script that was submitted."""
        return self.ask("scontrol", "write", "batch_script", job, "-")

    def rest(self) -> None:
        """End what a test has left, and bring all nodes back."""
        if jobs := self.jobs("PENDING", "RUNNING", "CONFIGURING", "SUSPENDED"):
            self.ask("scancel", "--quiet", *jobs)
        for node in NODES:
            state = self.ask("scontrol", "show", "node", node)
            if "DRAIN" in state or "DOWN" in state:
                self.ask("scontrol", "update", f"nodename={node}", "state=resume")


def start_slurm() -> Slurm:
    """Start a cluster, which ends with this process. Not one for all: tests drain its nodes and cancel its jobs."""
    # Not below pytest's folder: MUNGE wants every folder above its socket to be safe, and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="dc-slurm-"))
    folder.chmod(0o755)
    made = Slurm(folder)
    host = socket.gethostname().partition(".")[0]
    ports = _free_ports(1 + len(NODES))
    nodes = "\n".join(
        _NODE.format(name=name, host=host, port=port) for name, port in zip(NODES, ports[1:], strict=True)
    )
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir()
    conf = _CONF.format(host=host, user=getpass.getuser(), folder=folder, controller_port=ports[0], nodes=nodes)
    (folder / "slurm.conf").write_text(conf)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    _end_with(folder, pid=os.getpid())
    _munge(folder)
    _daemon(made, "slurmctld", "-c")
    for node in NODES:
        _daemon(made, "slurmd", "-N", node)
    deadline = time.monotonic() + WAIT_S
    while made.ask("sinfo", "--noheader", "--format=%T", "--Node").split() != ["idle"] * len(NODES):
        assert time.monotonic() < deadline, made.ask("sinfo", "--Node", "--long")
        time.sleep(0.1)
    return made


def _munge(folder: Path) -> None:
    files = {f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")}
    words = [_found("munged") or "munged", "--force", f"--socket={folder}/munge.socket", *sorted(files)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _daemon(made: Slurm, program: str, *words: str) -> None:
    done = subprocess.run(
        [_found(program) or program, "-f", str(made.folder / "slurm.conf"), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, **made.environment},
    )
    assert done.returncode == 0, f"{program}: {done.stderr}"


def _end_with(folder: Path, *, pid: int) -> None:
    """Let all daemons end, and their folder be removed, when a process ends, in whatever way."""
    names = ["slurmctld", *(f"slurmd-{node}" for node in NODES), "munge"]
    files = " ".join(str(folder / f"{name}.pid") for name in names)
    stop = f'for file in {files}; do [ -f "$file" ] && kill "$(cat "$file")"; done; sleep 2; rm -rf {folder}'
    jobs = f"SLURM_CONF={folder}/slurm.conf scancel --quiet --state=RUNNING --user=$(id -un)"
    line = f"while [ -d /proc/{pid} ]; do sleep 0.5; done; {jobs}; sleep 1; {stop}"
    out = subprocess.DEVNULL
    subprocess.Popen(["/bin/sh", "-c", line], stdin=out, stdout=out, stderr=out, cwd="/", start_new_session=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _found(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(_SYSTEM))
