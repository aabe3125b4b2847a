"""A page as a reader without scripts has it: its elements, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "input", "link"}


@dataclass
class Element:
    """An element with all that is in it."""

    tag: str
    attributes: dict[str, str]
    content: list[Element | str] = field(default_factory=list)
    """Elements and text in it, in order."""

    @property
    def children(self) -> list[Element]:
        return [part for part in self.content if isinstance(part, Element)]

    @property
    def own(self) -> list[str]:
        """Its own text."""
        return [part for part in self.content if isinstance(part, str)]

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """The elements of a kind in it, in order."""
        found = [self] if self.tag == tag and attributes.items() <= self.attributes.items() else []
        return found + [one for child in self.children for one in child.all(tag, **attributes)]

    @property
    def text(self) -> str:
        """All text in it that is read."""
        return " ".join("".join(self._read()).split())

    def _read(self) -> Iterator[str]:
        for part in self.content:
            if isinstance(part, str):
                yield part
            elif part.tag == "span":
                yield from part._read()
            elif part.tag not in ("script", "style"):
                yield from (" ", *part._read(), " ")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].content.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].content.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"{tag} closes {self.open[-1].tag}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].content.append(data)


def read_page(content: bytes) -> Element:
    """Read a page; every element must be closed, and in order."""
    reader = _Reader()
    reader.feed(content.decode("utf-8"))
    reader.close()
    assert reader.open == [reader.root]
    return reader.root
