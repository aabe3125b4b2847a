"""Drawings as SVG, with text that can be read out, selected and printed: axes, dots, lines and bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from deepcolor.report.axis import Axis

INK, PALE, GRID = "#222222", "#595959", "#e2e2e2"
COMPLETE, PRUNED, BEST, SECOND = "#1f6fb2", "#767676", "#c8102e", "#a85400"
"""Each at least 3:1 on white, as WCAG asks of what is drawn."""
LINES = (BEST, "#1f6fb2", "#2e7d32", SECOND, "#6a3d9a", "#00737d", "#8c4a5e", "#555555")

_MARGIN, _NAMES_MARGIN = 0.03, 0.14
"""Of an axis at either end, as a share of it: names are wide, and stand in the middle below their place."""

_KEY_PX = 20
"""What a line of a key takes."""

Point = tuple[float, float]
Entry = tuple[str, str, str]
"""Of a key: what it is called; its colour; `dot`, `square`, `line`, or `dashed`."""


@dataclass(frozen=True)
class Plot:
    """An area with two axes; places are in pixels of the drawing."""

    x: Axis
    y: Axis
    width: int = 720
    height: int = 340
    x_name: str = ""
    y_name: str = ""
    left: int = 74
    bottom: int = 46
    slanted: bool = False
    """Whether the labels below it are long, and so slanted."""

    _TOP = 12
    _RIGHT = 16

    def across(self, share: float) -> float:
        """The place of a share of the horizontal axis, between its margins."""
        margin = _NAMES_MARGIN if self.x.names else _MARGIN
        return self.left + (margin + (1 - 2 * margin) * share) * (self.width - self.left - self._RIGHT)

    def up(self, share: float) -> float:
        """The same of the vertical axis."""
        return self.height - self.bottom - (0.04 + 0.92 * share) * (self.height - self.bottom - self._TOP)

    def frame(self) -> Markup:
        """The axes with their labels and a light grid."""
        parts = []
        foot, end = self.height - self.bottom, self.width - self._RIGHT
        for place, label in self.y.ticks(narrow=False):
            at = self.up(self.y.share_of(place))
            parts.append(line([(self.left, at), (end, at)], colour=GRID, width=1))
            parts.append(text(self.left - 7, at + 4, label, anchor="end"))
        for place, label in self.x.ticks(narrow=True):
            at = self.across(self.x.share_of(place))
            parts.append(line([(at, foot), (at, foot + 4)], colour=PALE, width=1))
            parts.append(
                text(at, foot + 15, label, anchor="end", turn=-35) if self.slanted else text(at, foot + 18, label)
            )
        parts.append(line([(self.left, self._TOP), (self.left, foot), (end, foot)], colour=PALE, width=1))
        parts.append(text((self.left + end) / 2, self.height - 6, self.x_name, colour=INK))
        middle = (self._TOP + foot) / 2
        parts.append(text(13, middle, self.y_name, colour=INK, turn=-90))
        return Markup().join(parts)

    def drawing(self, parts: Iterable[Markup], *, title: str, about: str, key: Sequence[Entry] = ()) -> Markup:
        """The whole drawing.

        Args:
            parts: What is drawn in it.
            title: What it is, for those who hear it.
            about: What is to be seen in it, for the same.
            key: What is what. It stands above the area, where nothing is drawn.
        """
        rows = _rows(key, width=self.width - self.left)
        told = [
            legend(row, x=self.left, y=_KEY_PX * (0.5 - place)) for place, row in enumerate(reversed(rows), start=1)
        ]
        return drawing(
            [*told, self.frame(), *parts],
            width=self.width,
            height=self.height,
            title=title,
            about=about,
            above=_KEY_PX * len(rows),
        )


def drawing(
    parts: Iterable[Markup], *, width: float, height: float, title: str, about: str = "", above: float = 0
) -> Markup:
    """An SVG element.

    Args:
        parts: What is drawn in it.
        width: In pixels, as wide as it is meant to be seen; it shrinks with the page.
        height: In pixels.
        title: What it is, for those who hear it.
        about: What is to be seen in it, for the same.
        above: Room in pixels above what is at 0.
    """
    said = f"{title}. {about}" if about else title
    inside = Markup().join(parts)
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {top} {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="{said}">{inside}</svg>'
    ).format(top=_n(-above), w=_n(width), h=_n(height + above), said=said, inside=inside)


def dots(places: Sequence[Point], *, colour: str, size: float = 7, square: bool = False) -> Markup:
    """Dots, as one path: thousands of them stay small."""
    if not places:
        return Markup()
    # A square without any length has no direction: some viewers of PDF leave it out.
    length = ".1" if square else "0"
    path = "".join(f"M{_n(x)} {_n(y)}h{length}" for x, y in places)
    cap = "square" if square else "round"
    return Markup(
        '<path d="{}" fill="none" stroke="{}" stroke-width="{}" stroke-linecap="{}" stroke-opacity=".8"/>'
    ).format(path, colour, _n(size), cap)


def line(
    places: Sequence[Point],
    *,
    colour: str,
    width: float = 1.6,
    dashed: bool = False,
    title: str = "",
    steps: bool = False,
) -> Markup:
    """A line through places; a place that is no number interrupts it.

    Args:
        places: At least one.
        colour: Of the line.
        width: In pixels.
        dashed: Whether it is dashed.
        title: What a pointer that rests on it tells.
        steps: Whether it goes across first, then up.
    """
    path, pen = [], "M"
    before: Point | None = None
    for x, y in places:
        if not (math.isfinite(x) and math.isfinite(y)):
            pen, before = "M", None
            continue
        across = f"H{_n(x)}" if steps and before is not None else ""
        path.append(f"{across}{pen}{_n(x)} {_n(y)}")
        pen, before = "L", (x, y)
    dash = Markup(' stroke-dasharray="5 3"') if dashed else ""
    told = Markup("<title>{}</title>").format(title) if title else ""
    return Markup('<path d="{}" fill="none" stroke="{}" stroke-width="{}"{}>{}</path>').format(
        "".join(path), colour, _n(width), dash, told
    )


def bar(x: float, y: float, width: float, height: float, *, colour: str) -> Markup:
    """A filled rectangle."""
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>').format(
        _n(x), _n(y), _n(max(width, 0.0)), _n(height), colour
    )


def text(
    x: float, y: float, said: str, *, anchor: str = "middle", colour: str = PALE, turn: int = 0, bold: bool = False
) -> Markup:
    """A line of text."""
    turned = Markup(' transform="rotate({} {} {})"').format(turn, _n(x), _n(y)) if turn else ""
    weight = Markup(' font-weight="600"') if bold else ""
    return Markup('<text x="{}" y="{}" text-anchor="{}" fill="{}"{}{}>{}</text>').format(
        _n(x), _n(y), anchor, colour, turned, weight, escape(said)
    )


def legend(entries: Sequence[Entry], *, x: float, y: float) -> Markup:
    """Say what is what, side by side.

    Args:
        entries: What is there.
        x: Of its left end.
        y: Of its middle.
    """
    parts = []
    for name, colour, kind in entries:
        if kind in ("dot", "square"):
            parts.append(dots([(x + 8, y)], colour=colour, square=kind == "square"))
        else:
            parts.append(line([(x, y), (x + 16, y)], colour=colour, width=2, dashed=kind == "dashed"))
        parts.append(text(x + 21, y + 4, name, anchor="start", colour=INK))
        x += _width(name)
    return Markup().join(parts)


def _rows(entries: Sequence[Entry], *, width: float) -> list[list[Entry]]:
    """As many side by side as fit."""
    rows: list[list[Entry]] = []
    left = 0.0
    for entry in entries:
        needed = _width(entry[0])
        if not rows or needed > left:
            rows.append([])
            left = width
        rows[-1].append(entry)
        left -= needed
    return rows


def _width(name: str) -> float:
    return 36 + 6.6 * len(name)


def _n(value: float) -> str:
    """A number with one decimal at most: a tenth of a pixel is not seen."""
    return f"{value:.1f}".removesuffix(".0")
