"""Who is let in, before anything of a request is read: by host, origin and token. What was answered is counted here."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

from deepcolor.serving.tally import Tally

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HELD = "deepcolor.held"
"""In a request's scope: what is let go once its answer is sent."""
_MOST_FAULTS = 20
_OTHERS = "other"
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """An ASGI application before another one."""

    def __init__(
        self,
        app: App,
        *,
        paths: frozenset[str],
        free: frozenset[str],
        token: str | None,
        hosts: frozenset[str] | None,
        tally: Tally,
        send_s: float,
        fault: Callable[[str], None],
    ) -> None:
        """Guard an application.

        Args:
            app: The application.
            paths: Its paths, by which requests are counted.
            free: Those that are answered without a token.
            token: What clients must show; None: nothing.
            hosts: The names, without port, that it answers to; None: any.
            tally: Counts.
            send_s: How long a client may take to accept a part of its answer.
            fault: Is told, once for each kind, of what should not have happened.
        """
        self._app, self._paths, self._free, self._hosts = app, paths, free, hosts
        self._digest = None if token is None else _digest(token)
        self._tally, self._send_s, self._fault = tally, send_s, fault
        self._told: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or turn it away."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, status = time.monotonic(), 500
        path = scope["path"]

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_SECURITY]
            async with asyncio.timeout(self._send_s):  # A client that does not read holds nothing for long.
                await send(message)

        with ExitStack() as held:
            scope[HELD] = held
            try:
                refusal = self._refusal(scope)
                if refusal is None:
                    await self._app(scope, receive, counted)
                else:
                    await _refuse(counted, *refusal)
            except (OSError, TimeoutError):
                raise  # The client has gone, or does not read; its connection is closed.
            except Exception as error:
                self._tell(error)
                raise
            finally:
                known = path if path in self._paths else _OTHERS
                self._tally.answered(known, status, time.monotonic() - began_s)

    def _tell(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"[:200]
        if said not in self._told and len(self._told) < _MOST_FAULTS:
            self._told.add(said)
            self._fault(f"a request failed, which is a fault in deepcolor: {said}")

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and _name(host) not in self._hosts:
            # A page elsewhere whose name was made to lead here would otherwise be taken for this one.
            return (
                403,
                f"host: must be {', '.join(sorted(self._hosts))}; got another one. Use the address it serves on.",
            )
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and scope["method"] != "GET" and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "origin: must be this server's own page; got another one."
        if self._digest is not None and scope["path"] not in self._free:
            shown = headers.get(b"authorization", b"").decode("latin-1")
            kind, _, token = shown.partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(_digest(token.strip()), self._digest):
                return 401, "token: must be shown as `Authorization: Bearer TOKEN`; got none, or another one."
        return None


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
