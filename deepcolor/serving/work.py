"""What the server asks of a process that colours, and what that answers. No torch in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["png", "jpeg", "webp"]

MEDIA_TYPES: dict[Format, str] = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
LEAST_SIZE_PX, MOST_SIZE_PX = 16, 16_384


@dataclass(frozen=True)
class Bounds:
    """What clients may cost a server."""

    request_bytes: int = 32 * 2**20
    """Of one request's body, all its pictures together."""
    megapixels: float = 32
    """Width x height / 10^6 of a picture as it is sent."""
    seconds: float = 30
    """For the body of a request to arrive, and for a picture to be coloured once it is its turn."""
    pictures: int = 32
    """In one request."""
    waiting: int = 64
    """Pictures that wait or are being coloured; with more, requests are turned away."""
    waiting_bytes: int = 256 * 2**20
    """Of the requests that are being received, wait, or are being coloured."""
    batch: int = 16
    """Most pictures that one process takes at a time."""


@dataclass(frozen=True)
class Wanted:
    """How a picture is coloured, and how it is sent back."""

    format: Format = "png"
    quality: int = 90
    """Of JPEG and WebP, 1 to 100."""
    size_px: int | None = None
    """Longest side of the result; None: as the picture is. Nothing is enlarged."""
    saturation: float = 1.0
    flip: bool = False


@dataclass(frozen=True)
class Order:
    """One picture to be coloured."""

    data: bytes
    """The file."""
    name: str
    """What to call it in an error."""
    wanted: Wanted


@dataclass(frozen=True)
class Batch:
    """Pictures that one process colours together, with one model, in one manner."""

    folder: str
    """Of the model."""
    version: str
    """What to know it by: another content has another one."""
    orders: tuple[Order, ...]
    megapixels: float
    decoding_s: float
    bfloat16: bool = False


@dataclass(frozen=True)
class Coloured:
    """A finished picture."""

    content: bytes
    width_px: int
    height_px: int
    is_grey: bool
    """Whether the picture that came had no colour of its own."""
    remark: str | None


@dataclass(frozen=True)
class Refused:
    """Why a picture was not coloured, in a line for the client."""

    reason: str


Answer = Coloured | Refused
