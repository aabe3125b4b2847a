"""Where segments run: in this process, on worker processes of this machine, or wherever a user's executor runs them."""

from deepcolor.execution.executor import Event, Executor, Failed, Finished, Progress, RunSegment, failure, run_segment
from deepcolor.execution.serial import SerialExecutor

__all__ = [
    "Event",
    "Executor",
    "Failed",
    "Finished",
    "Progress",
    "RunSegment",
    "SerialExecutor",
    "failure",
    "run_segment",
]
