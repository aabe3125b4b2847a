"""Ask a server over HTTP, as clients do."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from tests.processes import WAIT_S

FORM = "multipart/form-data; boundary=between"
JSON = "application/json"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def reason(self) -> str:
        """Why it was refused."""
        return str(self.json["detail"])

    @property
    def image(self) -> Image.Image:
        assert self.status == 200, self.content
        return Image.open(io.BytesIO(self.content))

    @property
    def pixels(self) -> np.ndarray[Any, Any]:
        return np.asarray(self.image)


@dataclass(frozen=True)
class Client:
    """Asks one server."""

    url: str

    def ask(
        self, method: str, path: str, body: bytes = b"", *, kind: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = HTTPConnection(self.address[0], self.address[1], timeout=WAIT_S)
        try:
            all_headers = {**({"Content-Type": kind} if kind else {}), **(headers or {})}
            connection.request(method, path, body or None, all_headers)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("GET", path, headers=headers)

    def colorize(self, body: bytes, query: str = "", kind: str = "image/png") -> Answer:
        return self.ask("POST", f"/colorize?{query}", body, kind=kind)

    def metric(self, name: str) -> float:
        """A figure of /metrics, summed over its labels."""
        lines = self.get("/metrics").content.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.partition("{")[0].partition(" ")[0] == name)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def raw(self, data: bytes, *, breaks_off: bool = False) -> bytes:
        """Send bytes as they are; return what comes back until the server closes the connection."""
        with socket.create_connection(self.address, timeout=WAIT_S) as connection:
            connection.sendall(data)
            if breaks_off:
                connection.shutdown(socket.SHUT_WR)
            got = b""
            while part := connection.recv(65536):
                got += part
            return got


@contextmanager
def many(number: int) -> Iterator[Any]:
    """Clients that ask at the same time: yields what `ThreadPoolExecutor.submit` is."""
    with ThreadPoolExecutor(number) as pool:
        yield pool.submit


def form_of(*files: tuple[str, bytes]) -> bytes:
    """A form with files, as a browser sends it."""
    head = 'Content-Disposition: form-data; name="files"; filename="{}"\r\nContent-Type: image/png\r\n\r\n'
    parts = [b"--between\r\n" + head.format(name).encode() + data + b"\r\n" for name, data in files]
    return b"".join(parts) + b"--between--\r\n"
