"""A notebook's kernel that need not import anything to start: a real one, forked from the tests' server."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from ipykernel.kernelapp import launch_new_instance
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from tests.running import start_forked, writer_stands_by

_SWEEPS = 3
"""As many as are run in one kernel."""
_PICTURES = "module://matplotlib_inline.backend_inline"
"""What a kernel tells matplotlib to draw with, which the server has imported already."""


class _ForkedProvisioner(LocalProvisioner):
    """Starts the kernel's process; all else is as with one that is started anew."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        folder, words = Path(kwargs["cwd"]), cmd[cmd.index("ipykernel_launcher") :]
        process = start_forked(_become_kernel, words, folder=folder, environment=kwargs["env"], said=folder)
        self.process = process  # type: ignore[assignment]  # Handled like a `Popen`.
        self.pid = self.pgid = process.pid  # It makes a group of its own.
        return self.connection_info


def forked_kernel() -> AsyncKernelManager:
    """Return the manager of a kernel that is not running yet."""
    manager = AsyncKernelManager(kernel_name="python3")
    manager.provisioner = _ForkedProvisioner(kernel_spec=manager.kernel_spec, parent=manager)
    return manager


def _become_kernel(words: Sequence[str]) -> None:
    os.environ["JPY_PARENT_PID"] = str(os.getppid())  # The kernel ends when that process does.
    matplotlib.rcParams["backend"] = os.environ["MPLBACKEND"] = _PICTURES
    writer_stands_by(sweeps=_SWEEPS)
    sys.argv = list(words)
    launch_new_instance()
