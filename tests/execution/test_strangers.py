"""Another user of the machine, who can reach every local port."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
import pytest
from distributed import Client, Security

from deepcolor.execution.cluster import throw_away_security
from deepcolor.execution.executor import Finished
from deepcolor.execution.local import LocalExecutor
from tests.execution.runs import run
from tests.execution.test_executors import outcomes, segment
from tests.processes import WAIT_S, descendants


def listening() -> dict[tuple[str, int], int]:
    """Addresses at which this process and those below it accept connections, with the process of each."""
    return {
        (connection.laddr.ip, connection.laddr.port): pid
        for pid in (os.getpid(), *descendants(os.getpid()))
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def sockets() -> set[Path]:
    """Files at which this process and those below it accept connections."""
    return {
        Path(connection.laddr)
        for pid in (os.getpid(), *descendants(os.getpid()))
        for connection in psutil.Process(pid).net_connections("unix")
        if connection.laddr
    }


def answer(address: tuple[str, int], request: bytes) -> bytes:
    """What comes back for a plain-text request; nothing if the connection is cut."""
    with socket.create_connection(address, timeout=WAIT_S) as stranger:
        stranger.sendall(request)
        try:
            return stranger.recv(100)
        except ConnectionResetError:
            return b""


def test_a_stranger_is_refused_everywhere(tmp_path: Path) -> None:
    """While segments run, no port of ours is open to other machines, answers plain HTTP, or accepts a task from a
    client without certificates or with the wrong ones; sockets are where only this user can go.
    """
    before = set(listening())
    executor = LocalExecutor(run, workers=2, threads=1)
    try:
        executor.submit(segment(tmp_path, epochs=1, lr=0.1))
        assert isinstance(outcomes(executor, 1)[-1], Finished)
        ours = set(listening()) - before
        assert len(ours) >= 5  # the scheduler, two workers and their two nannies
        for address in ours:
            assert address[0] == "127.0.0.1"
            assert b"HTTP" not in answer(address, b"GET / HTTP/1.0\r\n\r\n")
        assert executor._cluster is not None
        scheduler = executor._cluster.scheduler_address
        assert scheduler.startswith("tls://")
        place = scheduler.removeprefix("tls://")
        strangers: list[tuple[str, Security | None]] = [
            (f"tcp://{place}", None),
            (f"tls://{place}", throw_away_security()),
            (f"tls://{place}", Security.temporary()),
        ]
        for url, security in strangers:
            with pytest.raises(OSError, match=r"Timed out|refused|closed|certificate|SSL"):
                Client(url, security=security, timeout=5)
        folders = {path.parent for path in sockets() if path.is_absolute()}
        assert folders
        assert all(folder.stat().st_mode & 0o077 == 0 for folder in folders if folder.exists())
        executor.submit(segment(tmp_path, epochs=1, lr=0.2))
        assert isinstance(outcomes(executor, 1)[-1], Finished)
    finally:
        executor.close()
