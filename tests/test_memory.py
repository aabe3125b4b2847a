from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import os
from pathlib import Path
from deepcolor.memory import give_back_freed_memory, keep_freed_memory

def held_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])  # of what is resident
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

keep_freed_memory()
before = held_mb()
pieces = [bytearray(1_000_000) for _ in range(200)]
pieces.clear()
kept = held_mb()
give_back_freed_memory()
print(before, kept, held_mb())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc alone")
def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    """What a process frees stays with it, so that it need not be asked for again, until it says that it is idle."""
    run = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    before, kept, left = map(float, run.stdout.split())
    assert kept > before + 180
    assert left < before + 100  # The heap may grow by 64 MB more than is asked for.
