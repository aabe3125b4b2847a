"""What takes long to make and is never changed: made once for all processes that run the tests, by whichever needs it
first.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
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


def copied(root: Path, to: Path) -> Path:
    """Copy a shared workspace. Others may have its databases open meanwhile: SQLite copies these itself, with what
    still lies in the files beside them, which come and go.
    """
    beside = shutil.ignore_patterns("*-wal", "*-shm")
    return shutil.copytree(root, to, symlinks=True, ignore=beside, copy_function=_copied_file)


def _copied_file(source: str, target: str) -> None:
    if not source.endswith(".db"):
        shutil.copy2(source, target)
        return
    with closing(sqlite3.connect(source)) as database, closing(sqlite3.connect(target)) as copy:
        database.backup(copy)
