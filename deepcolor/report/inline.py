"""Pictures in a terminal that can show them, by the protocol of kitty, that of iTerm2, or as sixels."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

Protocol = Literal["kitty", "iterm2", "sixel"]
_CHUNK = 4096
"""Bytes of base64 that kitty takes at once."""
_COLOURS = 216
_BAND_PX = 6


def protocol_of(environment: Mapping[str, str]) -> Protocol | None:
    """Return how a terminal shows pictures, as far as its environment says; None where it may not.

    Inside tmux or screen none is named: these do not pass pictures on unless they are told to.

    Args:
        environment: Variables such as TERM and TERM_PROGRAM.
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or term.startswith(("screen", "tmux")):
        return None
    if environment.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if term.startswith(("foot", "mlterm", "yaft", "contour")) or "sixel" in term:
        return "sixel"
    return None


def escape_codes(file: Path, *, protocol: Protocol, most_px: int) -> str:
    """Return what to print for a terminal to show a picture.

    Args:
        file: The picture.
        protocol: How the terminal shows one.
        most_px: Its longest side; a larger picture is made smaller.
    Raises:
        OSError: The file cannot be read as a picture.
    """
    from PIL import Image

    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((most_px, most_px))
    if protocol == "sixel":
        return _sixel(picture)
    written = io.BytesIO()
    picture.save(written, "PNG")
    content = base64.standard_b64encode(written.getvalue()).decode("ascii")
    if protocol == "iterm2":
        return f"\x1b]1337;File=inline=1;size={len(written.getvalue())}:{content}\a"
    return "".join(_kitty(content))


def _kitty(content: str) -> Iterator[str]:
    """A PNG in chunks; only the first says what it is, and each but the last that there are more."""
    for start in range(0, len(content), _CHUNK):
        more = int(start + _CHUNK < len(content))
        keys = f"a=T,f=100,q=2,m={more}" if start == 0 else f"m={more}"
        yield f"\x1b_G{keys};{content[start : start + _CHUNK]}\x1b\\"


def _sixel(picture: Image) -> str:
    """A picture as bands of six rows, one pass for each colour of a band."""
    reduced = picture.quantize(_COLOURS)
    width, height = reduced.size
    palette, cells = reduced.getpalette() or [], reduced.tobytes()
    used = sorted(set(cells))
    percent = {colour: [round(value * 100 / 255) for value in palette[3 * colour : 3 * colour + 3]] for colour in used}
    parts = [f'\x1bPq"1;1;{width};{height}', *(f"#{c};2;{r};{g};{b}" for c, (r, g, b) in percent.items())]
    for top in range(0, height, _BAND_PX):
        rows = [cells[y * width : (y + 1) * width] for y in range(top, min(top + _BAND_PX, height))]
        for colour in sorted(set().union(*rows)):
            bits = (sum(1 << y for y, row in enumerate(rows) if row[x] == colour) for x in range(width))
            parts.append(f"#{colour}{''.join(_shortened(chr(63 + each) for each in bits))}$")
        parts.append("-")
    return "".join([*parts, "\x1b\\"])


def _shortened(characters: Iterator[str]) -> Iterator[str]:
    """The same with `!12~` for twelve that are alike."""
    last, count = "", 0
    for character in [*characters, ""]:
        if character != last and count:
            yield f"!{count}{last}" if count > 3 else last * count
        last, count = character, count + 1 if character == last else 1
