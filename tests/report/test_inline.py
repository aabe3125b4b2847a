from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from deepcolor.report.inline import escape_codes, protocol_of


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of 90 x 33 pixels in few colours, in which rows and columns differ."""
    file = tmp_path / "picture.png"
    drawn = Image.new("RGB", (90, 33))
    drawn.putdata([((x // 30) * 100, (y // 11) * 100, 40) for y in range(33) for x in range(90)])
    drawn.save(file)
    return file


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "mlterm-256color"}, "sixel"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "dumb"}, None),
        ({}, None),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "iTerm.app"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"}, None),
    ],
)
def test_terminals_that_show_pictures_are_known_by_their_environment(
    environment: dict[str, str], protocol: str | None
) -> None:
    """Each of them names itself in its own way; inside tmux none is taken to."""
    assert protocol_of(environment) == protocol


def test_kitty_and_iterm2_are_given_a_png(picture: Path) -> None:
    """What they are sent is the picture, smaller where it is too large; kitty gets it in chunks."""
    large = picture.with_name("large.png")
    Image.effect_noise((300, 200), 90).save(large)
    codes = escape_codes(large, protocol="kitty", most_px=150)
    chunks = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", codes)
    assert len(chunks) > 1
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in chunks) == codes
    assert [keys.split(",")[-1] for keys, _ in chunks] == ["m=1"] * (len(chunks) - 1) + ["m=0"]
    shown = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in chunks))))
    assert shown.size == (150, 100)

    codes = escape_codes(picture, protocol="iterm2", most_px=150)
    told = re.fullmatch("\x1b]1337;File=inline=1;size=(\\d+):(.*)\a", codes)
    assert told is not None
    content = base64.b64decode(told[2])
    assert len(content) == int(told[1])
    with Image.open(picture) as drawn:
        assert Image.open(io.BytesIO(content)).tobytes() == drawn.tobytes()


def test_sixels_draw_the_picture(picture: Path) -> None:
    """Read as a terminal reads them, they give the picture back, to a hundredth of each colour."""
    with Image.open(picture) as drawn:
        wanted = drawn.tobytes()
        shown = _read_sixels(escape_codes(picture, protocol="sixel", most_px=150), size=drawn.size)
    assert max(abs(a - b) for a, b in zip(shown, wanted, strict=True)) <= 3


def _read_sixels(codes: str, *, size: tuple[int, int]) -> bytes:
    """A small terminal: it knows colours, repetition, and the starts of rows and of bands."""
    head = f'\x1bPq"1;1;{size[0]};{size[1]}'
    assert codes.startswith(head)
    assert codes.endswith("\x1b\\")
    shown, palette = Image.new("RGB", size), {}
    x = top = colour = 0
    for token in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|!\d+.|[$-]|[?-~]", codes[len(head) : -2]):
        if token.startswith("#"):
            colour, *given = (int(each) for each in token[1:].split(";"))
            if given:
                palette[colour] = tuple(round(255 * each / 100) for each in given[1:])
        elif token == "$":
            x = 0
        elif token == "-":
            x, top = 0, top + 6
        else:
            count, bits = int(token[1:-1] or 1), ord(token[-1]) - 63
            for row in (row for row in range(6) if bits >> row & 1):
                shown.paste(palette[colour], (x, top + row, x + count, top + row + 1))
            x += count
    return shown.tobytes()
