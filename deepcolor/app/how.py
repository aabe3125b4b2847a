"""The options of every use case that trains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import UserError
from deepcolor.execution.profile import SlurmProfile, find_profile, is_slurm
from deepcolor.execution.reach import Cluster
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.execution.executor import Executor, RunSegment
    from deepcolor.execution.post import Slots


__all__ = ["Cluster", "How", "SlurmProfile", "cluster_at"]


def cluster_at(
    named: str | None,
    *,
    profile: Path | None = None,
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
) -> Cluster | SlurmProfile:
    """Return the cluster that a user has named.

    Args:
        named: The address of a Dask scheduler, its scheduler file, or `slurm`, `slurm:NAME`.
        profile: A file with the profile of a site with SLURM.
        ca: See `Cluster`, and so are the others.
        cert: As there.
        key: As there.
    Raises:
        UserError: It is none of these, a file is missing or wrong, or an address and a profile are given.
    """
    if named is None or is_slurm(named):
        return find_profile(named, file=profile)
    if profile is not None:
        raise UserError(
            f"--cluster-profile: must be given with --cluster slurm, or alone; got it with --cluster {named}. "
            "Leave one of them out."
        )
    return Cluster.at(named, ca=ca, cert=cert, key=key)


@dataclass(frozen=True)
class How:
    """How trainings are run, and who is told of them."""

    workspace: Workspace
    tracking_uri: str
    executor: str = "local"
    workers: int | None = None
    device: str = "auto"
    command: str = ""
    """The command line that reproduces the work, without what must not be told (see `resume`)."""
    extend: bool = False
    """Let a study grow to a sweep that has changed."""
    resume: str = ""
    """The line that continues the work after an interrupt: the command, and the variables it needs; "": as above."""
    reporter: Reporter = SILENT
    slots_per_gpu: int | None = None
    """Trainings that share a GPU; None: one."""
    cluster: Cluster | SlurmProfile | None = None
    """The cluster to train on, which makes `dask` the executor; or the profile of one with SLURM, and then `slurm`."""
    part: Slots | None = None
    """What may be used of this machine, or of the cluster's workers, where others share it; None: all."""
    system_metrics: bool | None = None
    """Whether trainings record what their machine has to do; None: as the workspace's settings say."""

    @property
    def kind(self) -> str:
        """The executor's name.

        Raises:
            UserError: A cluster is given with an executor that does not use it.
        """
        if self.cluster is None:
            return self.executor
        kind = "slurm" if isinstance(self.cluster, SlurmProfile) else "dask"
        if self.executor not in {"local", kind}:
            raise UserError(
                f"--cluster: must be used by the executor {kind}; got --executor {self.executor}. "
                "Leave one of them out."
            )
        where, better = "slurm", "processes in its profile"
        if isinstance(self.cluster, Cluster):
            where, better = self.cluster.address, "deepcolor worker --slots"
        for option, number in (("--workers", self.workers), ("--slots-per-gpu", self.slots_per_gpu)):
            if number is not None:
                raise UserError(
                    f"{option}: must be said where the workers are started; got {number} with --cluster "
                    f"{where}. Use {better}, and leave it out here."
                )
        return kind

    def make_executor(self, run: RunSegment | None = None) -> Executor:
        """The executor asked for; its processes start with the first segment.

        Args:
            run: Runs a segment; None: trains it.
        """
        from deepcolor.execution.devices import make_executor

        kind = self.kind
        if kind in {"serial", "local"} and run is None and self.part is None and (note := self.slots().note):
            self.reporter.warn(note)
        if kind in {"serial", "local"} and run is None:
            self._note_unread_gpus()
        make = partial(make_executor, run=run) if run is not None else make_executor
        if kind in {"dask", "slurm"}:
            make = partial(make, cluster=self.cluster, workspace=self.workspace, say=self.reporter.note)
        return make(kind, workers=self.workers, device=self.device, slots_per_gpu=self.slots_per_gpu, part=self.part)

    @property
    def system_metrics_every_s(self) -> float | None:
        """See `Segment.system_metrics_every_s`."""
        from deepcolor.training.system_metrics import EVERY_S

        wanted = self.workspace.settings.system_metrics if self.system_metrics is None else self.system_metrics
        return EVERY_S if wanted else None

    def _note_unread_gpus(self) -> None:
        """Say what is missing where trainings on a GPU are to record what it has to do."""
        from deepcolor.training.machine import gpu_names
        from deepcolor.training.system_metrics import reads_gpus

        if self.device != "cpu" and self.system_metrics_every_s and gpu_names() and not reads_gpus():
            self.reporter.note(
                "system metrics: those of the GPU are left out, as nvidia-ml-py is not installed. "
                "Install it with: pip install 'deepcolor[gpu]'"
            )

    def measured_on(self, slots: int) -> int:
        """How many of an executor's slots a measurement takes: on SLURM those of one job, for jobs share nothing.

        Args:
            slots: How many there are in all.
        """
        return self.cluster.slots_a_job if isinstance(self.cluster, SlurmProfile) else slots

    def slots(self, executor: Executor | None = None) -> Slots:
        """How that executor is cut to its machines.

        Args:
            executor: Where there is one already; a cluster without workers is waited for otherwise.
        """
        from deepcolor.execution.devices import slots

        if self.kind == "dask":
            from deepcolor.execution.remote import ClusterExecutor, cluster_slots

            assert isinstance(self.cluster, Cluster)
            if isinstance(executor, ClusterExecutor):
                return executor.cut
            self.cluster.check()
            return cluster_slots(self.cluster, workspace=self.workspace, say=self.reporter.note)
        if isinstance(self.cluster, SlurmProfile):
            return self.cluster.slots
        if self.executor == "serial":
            return slots(workers=1, device=self.device)
        if self.part is not None:
            return self.part
        return slots(workers=self.workers, device=self.device, slots_per_gpu=self.slots_per_gpu)
