"""Docstrings as mkdocstrings reads them: sections stand close together in the code, and it wants lines between."""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(r"(?<=\S)\n(?=(?:Args|Returns|Raises|Yields|Source):\n)")


class Sections(griffe.Extension):
    """Sets the sections of each docstring apart."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of whatever has been read."""
        if obj.docstring:
            obj.docstring.value = _SECTION.sub("\n\n", obj.docstring.value)
