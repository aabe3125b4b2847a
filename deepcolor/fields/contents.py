"""Fields that may name a file: from when a sweep is read it is known by its content, wherever it lies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from deepcolor.fields.refusal import Refusal, nearest, written

_CONTENT = re.compile(r"sha256:(?P<digest>[0-9a-f]{64})")
_PART_BYTES = 2**20
_places: dict[str, Path] = {}
"""Where files lay when their sweep was read, by SHA-256."""


@dataclass(frozen=True)
class Contents:
    """What a text field may hold; it stands in the field's annotation. `sha256:...` stands for a file's content."""

    shipped: tuple[str, ...]
    """Names of what needs no file."""
    suffixes: tuple[str, ...]
    """Of the files."""

    def is_file(self, value: object) -> bool:
        """Whether a value is the path of a file whose content is not known yet."""
        return isinstance(value, str) and value.lower().endswith(self.suffixes)

    def _checked(self, value: str) -> str:
        if value in self.shipped or _CONTENT.fullmatch(value) or self.is_file(value):
            return value
        rule = f"must be one of {', '.join(self.shipped)}, or a file that ends in {' or '.join(self.suffixes)}"
        near = nearest(value, self.shipped)
        raise Refusal(rule, got=written(value), advice=f"Did you mean {near}?" if near else "Choose one of them.")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))


def content_fields(section: type[BaseModel]) -> Iterator[tuple[str, Contents]]:
    """The fields of a section that may name a file, and what they may hold."""
    for name, field in section.model_fields.items():
        yield from ((name, entry) for entry in field.metadata if isinstance(entry, Contents))


def content_of(path: Path) -> str:
    """Return `sha256:...` of a file, and remember where it lies.

    Raises:
        OSError: It cannot be read.
    """
    summed = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_PART_BYTES):
            summed.update(part)
    _places[summed.hexdigest()] = path.absolute()
    return f"sha256:{summed.hexdigest()}"


def digest_in(value: str) -> str | None:
    """Return the SHA-256 that a value of such a field holds; None for a name."""
    match = _CONTENT.fullmatch(value)
    return match["digest"] if match else None


def place_of(digest: str) -> Path | None:
    """Return where a file lay when its sweep was read in this process; None where it was not."""
    return _places.get(digest)


WEIGHTS = Contents(("imagenet", "none"), (".pth", ".pt", ".bin", ".safetensors"))
