"""How busy the driver keeps many workers, in virtual time (`benchmarks/parallel.py`), so nothing has to wait."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def parallel(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("parallel")


def test_no_worker_waits_while_there_is_a_training_to_start(parallel: Any, tmp_path: Path) -> None:
    """Many trials that share a training do not keep others from being started: all of 8 workers are busy."""
    use = parallel.simulate(tmp_path, parallel.grid_of(12, epochs=range(2, 27, 2)), workers=8)
    assert (use.trajectories, use.trials) == (12, 156)
    assert use.while_work_is_left > 0.99


def test_halving_leaves_no_worker_without_work(parallel: Any, tmp_path: Path) -> None:
    """While trials wait at their rungs, a free worker gets a new one at once."""
    use = parallel.simulate(tmp_path, parallel.asha_of(80), workers=16)
    assert use.while_work_is_left > 0.99


def test_the_last_training_to_begin_is_no_long_one(parallel: Any, tmp_path: Path) -> None:
    """Neither of two workers is idle at the end for over a thirtieth of the time, though trainings differ tenfold."""
    use = parallel.simulate(tmp_path, parallel.grid_of(16), workers=2)
    assert use.whole > 0.97
