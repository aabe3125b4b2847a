"""Pruners that a sweep brings: they say where trials are compared and how many continue; the rest is as with any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepcolor.config.load import sweep_of as load
from deepcolor.config.schema import Sweep
from deepcolor.errors import CodeError, ConfigError
from deepcolor.plugins import Code, keep
from tests.search.conftest import Bench

PRUNERS = """
class Best:
    def __init__(self, *, most=1, at=(2,)):
        self.most, self.at = most, at

    def rungs(self, number, epochs, most_epochs):
        return [*self.at, epochs, 0, 99]

    def quota(self, losses):
        assert losses == sorted(losses)
        return self.most if len(losses) > 3 else 0

class Fails(Best):
    def quota(self, losses):
        raise RuntimeError("no\\nidea")

class Half:
    def rungs(self, number, epochs, most_epochs): ...
"""
RATES = {"lr": [0.3, 0.1, 0.01, 0.001, 0.0001], "epochs": [6]}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench, sweep_of: Callable[..., Sweep]) -> Any:
    """Sweeps whose pruner is in a file that is gone once the study has stored it."""
    monkeypatch.chdir(tmp_path)

    def sweep(pruner: str, **options: Any) -> Sweep:
        Path("own.py").write_text(PRUNERS)
        made = load(sweep_of(RATES, pruner={"name": f"own.py:{pruner}", **options}))
        keep(Code(made.code, bench.workspace.code))
        Path("own.py").unlink()
        return made

    return sweep


@pytest.mark.parametrize("resume", [True, False])
def test_the_best_go_on_from_the_rungs_that_it_says(bench: Bench, own: Any, resume: bool) -> None:
    """If trials can wait, the best of all; if none can, the best of those that come after three others. Another driver
    finds nothing to do.
    """
    sweep = own("Best", resume=resume, options={"most": 1, "at": [2, 4]})
    summary = bench.run(sweep)
    states = {trial.params["lr"]: trial.state for trial in bench.storage().load("s").trials()}
    assert sum(state == "complete" for state in states.values()) == (1 if resume else 0)
    assert states[0.01] == ("complete" if resume else "pruned")
    assert summary.trained_now == (5 * 2 + 4 if resume else 5 * 2)
    assert bench.run(sweep).trained_now == 0


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("Fails", {}, "the pruner own.py:Fails must decide which trials continue; got RuntimeError: no idea"),
        ("Half", {}, "the pruner own.py:Half must have quota"),
        ("Best", {"least": 1}, "the pruner own.py:Best must take its options; got TypeError"),
    ],
)
def test_a_pruner_that_fails_ends_the_search_in_a_line(
    bench: Bench, own: Any, name: str, options: dict[str, Any], problem: str
) -> None:
    """The line says which pruner, and what it did."""
    with pytest.raises(CodeError, match=problem):
        bench.run(own(name, options=options))


def test_options_are_for_pruners_of_ones_own(own: Any) -> None:
    """A shipped pruner has its own keys; they mean nothing to a pruner that decides for itself."""
    with pytest.raises(ConfigError, match="options: means nothing to the pruner asha"):
        load(own("Best"), ["search.pruner={name: asha, options: {a: 1}}"])
    with pytest.raises(ConfigError, match="reduction_factor: means nothing to the pruner own"):
        load(own("Best"), ["search.pruner.reduction_factor=4"])
