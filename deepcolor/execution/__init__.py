"""Where segments run: in this process, or on worker processes of this machine."""

from deepcolor.execution.executor import Event, Executor, Failed, Finished, Progress, RunSegment, run_segment
from deepcolor.execution.serial import SerialExecutor

__all__ = ["Event", "Executor", "Failed", "Finished", "Progress", "RunSegment", "SerialExecutor", "run_segment"]
