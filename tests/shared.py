"""What takes long to make and is never changed: made once for all processes that run the tests, by whichever needs it
first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

_WHOLE = "whole"


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that all tests share. Copy it, or read in it.

    Args:
        factory: Of temporary folders.
        name: Of the folder.
        make: Fills it.
    """
    own = factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = root / f"shared-{name}"
    with FileLock(root / f"shared-{name}.lock"):
        if not (folder / _WHOLE).exists():
            folder.mkdir()
            make(folder)
            (folder / _WHOLE).touch()
    return folder
