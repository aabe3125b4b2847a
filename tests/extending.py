"""The code in docs/extending.md, as files."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
_BLOCK = re.compile(r"^```\w+\n# (?P<file>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def write_files(folder: Path) -> list[Path]:
    """Write each block that begins with a file's name into that file below a folder."""
    paths = []
    for block in _BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        path = folder / block["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["text"], encoding="utf-8")
        paths.append(path)
    return paths
