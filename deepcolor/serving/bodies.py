"""Bodies of requests: pictures as they are, as files of a form, or in base64. A path or an address is no picture."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from deepcolor.printable import fit_to_print
from deepcolor.serving.work import Bounds

_LONGEST_NAME = 80
_FIELD_BYTES = 2**16
_POURING_S = 5.0
_GRACE_S = 10.0
"""How long a body may bring next to nothing; after that it must have brought some bytes a second. While it arrives it
holds room in the queue, which a few clients that stand still would otherwise take from all others.
"""
_LEAST_BYTES_A_S = 1000
_MOST_VALUES = 100_000
"""In a body of JSON: what it holds is a few pictures, and a list of millions of numbers takes many times its bytes."""
_FORM = "multipart/form-data"
_JSON = "application/json"
# Without it, each broken form of a client would be a line on stderr.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())
_PLAIN = ("image/", "application/octet-stream")


@dataclass(frozen=True)
class Sent:
    """One picture of a request."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Body:
    """What a request holds."""

    pictures: list[Sent]
    as_json: bool
    """Whether the answer is JSON too: of several pictures, or where they came in JSON."""


class BodyError(Exception):  # The web side makes an answer of it.
    """Why a body is not taken, with the status of HTTP that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def announced_bytes(request: Request, bounds: Bounds) -> int:
    """Return how many bytes a request may hold; as many as any, where it does not say.

    Raises:
        BodyError: It is too large, or its length is no number.
    """
    text = request.headers.get("content-length")
    if text is None:
        return bounds.request_bytes
    if not text.isascii() or not text.isdigit():
        raise BodyError(400, f"Content-Length: must be a number; got {fit_to_print(text)[:40]!r}.")
    if int(text) > bounds.request_bytes:
        raise _too_large(bounds)
    return int(text)


async def read_body(request: Request, bounds: Bounds) -> Body:
    """Read the pictures of a request, within the bounds.

    Raises:
        BodyError: It is too large, too slow, of another kind, or not what it says it is.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(bounds.seconds):
            if kind == _FORM:
                body = await _form(request, bounds)
            elif kind == _JSON:
                data = await _whole(request, bounds)
                body = await asyncio.to_thread(_from_json, data, bounds)
            elif kind.startswith(_PLAIN):
                body = Body([Sent("picture", await _whole(request, bounds))], as_json=False)
            else:
                raise BodyError(
                    415,
                    f"Content-Type: must be image/..., application/octet-stream, {_FORM} or {_JSON}; "
                    f"got {fit_to_print(kind)[:80] or 'none'!r}. Say what the body is.",
                )
    except TimeoutError as error:
        raise _too_slow(bounds) from error
    except ClientDisconnect as error:
        raise _broken_off() from error
    if not body.pictures:
        raise BodyError(400, "body: must hold a picture; got none. Send a file.")
    return body


async def read_small_body(request: Request, bounds: Bounds) -> bytes:
    """Return a body that holds no pictures, of at most 64 KiB.

    Raises:
        BodyError: It is too large, too slow, or not whole.
    """
    small = replace(bounds, request_bytes=_FIELD_BYTES)
    try:
        async with asyncio.timeout(bounds.seconds):
            return await _whole(request, small)
    except TimeoutError as error:
        raise _too_slow(bounds) from error
    except ClientDisconnect as error:
        raise _broken_off() from error


async def pour_away(request: Request, bounds: Bounds, *, reason: Exception) -> None:
    """Take what is left of a body that will not be used, for some seconds, so that its sender gets to read the answer:
    a connection that is closed with unread bytes loses it.
    """
    is_late = isinstance(reason, BodyError) and reason.status == HTTPStatus.REQUEST_TIMEOUT
    if is_late or request.headers.get("expect"):  # The latter waits for the answer before it sends anything.
        return
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):  # The last: nothing is left of it.
        async with asyncio.timeout(min(_POURING_S, bounds.seconds)):
            async for _ in request.stream():
                pass


async def _bounded(request: Request, bounds: Bounds) -> AsyncGenerator[bytes, None]:
    loop, stream, taken = asyncio.get_running_loop(), request.stream(), 0
    due_s = loop.time() + _GRACE_S
    while True:
        async with asyncio.timeout_at(due_s + taken / _LEAST_BYTES_A_S):
            chunk = await anext(stream, None)
        if chunk is None:
            return
        taken += len(chunk)
        if taken > bounds.request_bytes:
            raise _too_large(bounds)
        yield chunk


async def _whole(request: Request, bounds: Bounds) -> bytes:
    return b"".join([chunk async for chunk in _bounded(request, bounds)])


async def _form(request: Request, bounds: Bounds) -> Body:
    # The parser takes UploadFile for a file by its file name alone, and never opens anything of that name.
    parser = MultiPartParser(
        request.headers,
        _bounded(request, bounds),
        max_files=bounds.pictures,
        max_fields=bounds.pictures,
        max_part_size=_FIELD_BYTES,
    )
    parser.spool_max_size = bounds.request_bytes  # Bounded already: the disk would only be slower.
    try:
        form: FormData = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        said = getattr(error, "message", "") or "a form that cannot be read"
        raise BodyError(
            400, f"form: must be multipart/form-data with files; got: {fit_to_print(said)[:120]}"
        ) from error
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        pictures = [Sent(_name(file.filename), await file.read()) for file in files]
    finally:
        await form.close()
    return Body(pictures, as_json=len(pictures) > 1)


def _from_json(data: bytes, bounds: Bounds) -> Body:
    if sum(data.count(mark) for mark in (b"{", b"[", b",")) > _MOST_VALUES:
        raise BodyError(400, "body: must be JSON with pictures in base64; got too many other values. Check it.")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BodyError(400, "body: must be JSON; it cannot be read. Check it.") from error
    given = content.get("images", content.get("image")) if isinstance(content, dict) else None
    if given is None:
        raise BodyError(400, 'body: must be {"image": BASE64} or {"images": [BASE64, ...]}; got something else.')
    each = given if isinstance(given, list) else [given]
    if len(each) > bounds.pictures:
        raise BodyError(413, f"images: must be at most {bounds.pictures}; got {len(each)}. Send fewer at a time.")
    return Body([_of_json(value, number) for number, value in enumerate(each, start=1)], as_json=True)


def _of_json(value: Any, number: int) -> Sent:
    name = f"picture {number}"
    if isinstance(value, dict):
        name, value = _name(value.get("name")) if value.get("name") else name, value.get("image")
    if not isinstance(value, str):
        raise BodyError(400, f"{name}: must be text in base64; got {type(value).__name__}. Encode the file.")
    head, comma, tail = value.partition(",")
    try:
        return Sent(name, base64.b64decode(tail if comma and head.startswith("data:") else value, validate=True))
    except (binascii.Error, ValueError) as error:
        raise BodyError(
            400, f"{name}: must be a file in base64; got text that is none. Paths and addresses are not read."
        ) from error


def _name(given: Any) -> str:
    text = fit_to_print(str(given or "picture")).replace("\n", " ")
    return text[-_LONGEST_NAME:]


def _too_slow(bounds: Bounds) -> BodyError:
    rate = f"{_LEAST_BYTES_A_S:,} bytes a second"
    return BodyError(
        408, f"body: must arrive within {bounds.seconds:g} s, with {rate} or more; it did not. Send it again."
    )


def _broken_off() -> BodyError:
    return BodyError(400, "body: must be whole; the client has gone.")


def _too_large(bounds: Bounds) -> BodyError:
    return BodyError(
        413, f"body: must be at most {bounds.request_bytes:,} bytes; got more. Send fewer or smaller pictures."
    )
