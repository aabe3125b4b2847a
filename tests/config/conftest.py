from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SWEEP = """\
study: colorizer-tpe
stage: colorizer
data: {name: faces}
model: {feature_maps: 8}
training:
  epochs: 20
  lr: 1e-3
search:
  space:
    weight_decay: [0, 1e-5, 1e-6]
"""

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files below a fresh current folder; paths are relative to it, as a user types them."""
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, text: str) -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def sweep_file(write: Write) -> Path:
    """A valid sweep, in a fresh current folder."""
    return write("experiments/colorizer-tpe.yaml", SWEEP)
