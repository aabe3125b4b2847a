"""deepcolor as its users run it, and the pictures it and its peers are given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SUFFIXES = {".jpg", ".jpeg", ".png"}


def choose_pictures(folder: Path, source: Path | None, *, limit: int) -> Path:
    """Fill `folder` with at most `limit` pictures, evenly spread over those of `source`; drawn faces without one."""
    if source is None:
        from deepcolor.data.drawn import draw_set

        draw_set("faces", folder, count=limit, seed=0)
        return folder
    folder.mkdir(parents=True)
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in _SUFFIXES)
    count = min(limit, len(paths))
    for index in range(count):
        path = paths[index * len(paths) // count]
        (folder / f"{index:05d}{path.suffix}").write_bytes(path.read_bytes())
    return folder


def deepcolor(workspace: Path, *words: str) -> str:
    """Run a deepcolor command in a workspace, and return what it prints."""
    return run([sys.executable, "-m", "deepcolor", *words, "--workspace", str(workspace), "--quiet"])


def run(command: list[str]) -> str:
    """Run a command to its end; one that fails ends the benchmark with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout
