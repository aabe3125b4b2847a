"""The options of every use case that trains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.fields.named import EXECUTORS
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.execution.devices import Slots
    from deepcolor.execution.executor import Executor, RunSegment


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

    def make_executor(self, run: RunSegment | None = None) -> Executor:
        """The executor asked for; its processes start with the first segment.

        Args:
            run: Runs a segment; None: trains it.
        """
        from deepcolor.execution.devices import make_executor

        if self.executor in EXECUTORS.shipped and run is None and (note := self.slots().note):
            self.reporter.warn(note)
        make = partial(make_executor, run=run) if run is not None else make_executor
        return make(self.executor, workers=self.workers, device=self.device, slots_per_gpu=self.slots_per_gpu)

    def slots(self) -> Slots:
        """How that executor is cut to this machine."""
        from deepcolor.execution.devices import slots

        if self.executor == "serial":
            return slots(workers=1, device=self.device)
        return slots(workers=self.workers, device=self.device, slots_per_gpu=self.slots_per_gpu)
