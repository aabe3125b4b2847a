"""The code in docs/extending.md, as files."""

from __future__ import annotations

from pathlib import Path

from website import blocks

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"


def write_files(folder: Path) -> list[Path]:
    """Write each block that begins with a file's name into that file below a folder."""
    return blocks.write_files(PAGE, folder)
