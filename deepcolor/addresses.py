"""Where servers of ours listen, and how these places are written."""

from __future__ import annotations

import socket

from deepcolor.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine's users can reach."""
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # to be told apart, not to be served on
"""Hosts that stand for all addresses of this machine."""
_BACKLOG = 256


def bracketed(host: str) -> str:
    """Write a host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def url_here(host: str, port: int) -> str:
    """Return where a browser on this machine finds a server that listens there."""
    return f"http://{bracketed('127.0.0.1' if host in EVERYWHERE else host)}:{port}"


def listening(host: str, port: int, *, command: str, perhaps: str = "") -> socket.socket:
    """Return a socket that listens.

    Args:
        host: A name or an address of this machine.
        port: 0: any that is free.
        command: Which the message begins with.
        perhaps: Why the port may be taken, for the message.
    Raises:
        UserError: Host and port are in use, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio looks at the protocol to see that it may send what it has at once; else a client's delayed acknowledgement
    # would keep every answer waiting for 40 ms.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        advice = f"Choose another --port; perhaps {perhaps}." if perhaps else "Choose another --port."
        raise UserError(
            f"{command}: host and port must be free to serve on; got {host}:{port} ({error.strerror or error}). "
            f"{advice}"
        ) from error
    return made
