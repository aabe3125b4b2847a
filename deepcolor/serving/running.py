"""The server itself: where it listens, its connections, how it starts and ends. The door to uvicorn."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from deepcolor.addresses import EVERYWHERE, LOOPBACK, bracketed, listening, url_here
from deepcolor.errors import DeepcolorError, ExecutorError
from deepcolor.serving.guard import App, Receive, Scope, Send

_HEAD_S = 10.0
"""How long a connection may be silent, or be busy with the head of a request."""
_KEEP_ALIVE_S = 15
_MOST_CONNECTIONS = 256
_BACKLOG = 256
_POLL_S = 0.05


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any that is free."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine's users can reach it."""
        return self.host in LOOPBACK

    def url(self, port: int) -> str:
        """Return where a browser on this machine finds it."""
        return url_here(self.host, port)

    def bound(self) -> socket.socket:
        """Return a socket that listens there.

        Raises:
            UserError: It is in use, or not of this machine.
        """
        return listening(self.host, self.port, command="serve")


class Running:
    """An application behind a socket."""

    def __init__(self, app: App, listening: socket.socket, *, aloud: bool, end_s: float) -> None:
        """Serve nothing yet.

        Args:
            app: The application; where its start raises one of our errors, so does `run`.
            listening: The socket; closed at the end.
            aloud: Let uvicorn write what it does to stderr.
            end_s: How long requests that have begun may take once the server is asked to end.
        """
        self._failure: BaseException | None = None
        self._app, self._listening = app, listening
        config = uvicorn.Config(
            self._watched,
            interface="asgi3",
            http=_Patient,
            loop="asyncio",
            ws="none",
            lifespan="on",
            log_level="info" if aloud else "critical",
            log_config=uvicorn.config.LOGGING_CONFIG if aloud else None,
            access_log=aloud,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(end_s) + 1,
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until a signal asks to end, or `stop`.

        Raises:
            DeepcolorError: It does not come up.
        """
        try:
            with suppress(SystemExit):  # What uvicorn makes of a start that failed.
                self._server.run(sockets=[self._listening])
        finally:
            self._listening.close()
        if isinstance(self._failure, DeepcolorError):
            raise self._failure
        if self._failure is not None or not self._server.started:
            raise ExecutorError(f"serve: the server must come up; it did not ({self._failure}).") from self._failure

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Serve for the time of the block, in a thread.

        Raises:
            DeepcolorError: It does not come up.
        """
        raised: list[BaseException] = []

        def run() -> None:
            try:
                self.run()
            except BaseException as error:  # noqa: BLE001  # it is raised where the caller is
                raised.append(error)

        thread = threading.Thread(target=run, name="deepcolor-serve")
        thread.start()
        while not self._server.started and thread.is_alive():
            thread.join(_POLL_S)
        try:
            if not raised:
                yield
        finally:
            self._server.should_exit = True
            thread.join()
        if raised:
            raise raised[0]

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and keep the error of a start that failed: uvicorn only prints it."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        try:
            await self._app(scope, receive, send)
        except BaseException as error:
            self._failure = error
            raise


class _Patient(H11Protocol):
    """A connection that is closed if no request has come whole in its head for long: a few idle clients would otherwise
    take the room of all others.
    """

    _last: Any = None
    """The request that was the last one when it was looked at before."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look_again: Any = self.loop.call_later(_HEAD_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_again.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        cycle: Any = self.cycle  # None until a request has come, whatever its annotation says.
        if cycle is self._last and (cycle is None or cycle.response_complete):
            self.transport.close()
            return
        self._last = cycle
        self._look_again = self.loop.call_later(_HEAD_S, self._look)


def others_reach(address: Address, port: int) -> str:
    """Return where others reach a server; empty where they cannot."""
    if address.is_local:
        return ""
    host = socket.gethostname() if address.host in EVERYWHERE else address.host
    return f"http://{bracketed(host)}:{port}"
