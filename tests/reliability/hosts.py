"""Hosts of a network of their own: namespaces of this machine's kernel, joined by a cable that can be pulled out."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NETWORK = 0x40000000
"""CLONE_NEWNET of Linux's interface."""


@dataclass(frozen=True)
class Host:
    """A namespace with one address."""

    name: str
    address: str
    cable: str
    """Its end of it: a network interface."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """Before a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function in a thread that is on this host."""
        got: list[Any] = []

        def there() -> None:
            descriptor = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
            try:
                assert ctypes.CDLL(None, use_errno=True).setns(descriptor, _NETWORK) == 0, ctypes.get_errno()
                got.append(function())
            except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
                got.append(error)
            finally:
                os.close(descriptor)

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        if isinstance(got[0], BaseException):
            raise got[0]
        return got[0]

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Pull its cable out for as long as the block takes."""
        _ip("-n", self.name, "link", "set", self.cable, "down")
        try:
            yield
        finally:
            _ip("-n", self.name, "link", "set", self.cable, "up")


def can_have_hosts() -> bool:
    """Whether hosts can be made: that takes root, and the command `ip`."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Make two hosts that reach each other and nothing else."""
    # Interfaces have at most 15 letters, and all test processes share one list of namespaces.
    mark = f"dc{os.getpid()}"
    hosts = [Host(f"{mark}-{end}", f"10.231.7.{number}", f"{mark}{end}") for number, end in ((1, "a"), (2, "b"))]
    try:
        for host in hosts:
            _ip("netns", "add", host.name)
        first, second = hosts
        _ip("-n", first.name, "link", "add", first.cable, "type", "veth", "peer", "name", second.cable)
        _ip("-n", first.name, "link", "set", second.cable, "netns", second.name)
        for host in hosts:
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", host.cable)
            for interface in ("lo", host.cable):
                _ip("-n", host.name, "link", "set", interface, "up")
        yield first, second
    finally:
        for host in hosts:
            if Path(f"/run/netns/{host.name}").exists():
                _ip("netns", "delete", host.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)
