"""Samplers that a sweep brings: they draw, learn and remember as in Optuna, and continue where a driver was stopped."""

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

SAMPLERS = '''
from optuna.samplers import BaseSampler, RandomSampler

class Careful(RandomSampler):
    """Draws between the best trial and the ends of the range; notes what it did, and how each trial ended."""

    def __init__(self, seed, *, pull=0.5):
        super().__init__(seed)
        self.pull = pull

    def sample_independent(self, study, trial, name, distribution):
        drawn = super().sample_independent(study, trial, name, distribution)
        done = study.get_trials(deepcopy=False)
        noted = [one.system_attrs["careful:number"] for one in done]
        assert noted == [one.number for one in done], noted
        study._storage.set_trial_system_attr(trial._trial_id, "careful:number", trial.number)
        study._storage.set_trial_system_attr(trial._trial_id, "careful:pull", [self.pull])
        return drawn

    def after_trial(self, study, trial, state, values):
        study._storage.set_trial_system_attr(trial._trial_id, "careful:end", [state.name, len(values or [])])

class Fails(RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        raise RuntimeError("no\\nidea")

def nothing():
    return 3
'''
LR = {"lr": {"low": 1e-3, "high": 0.3, "log": True}}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench, sweep_of: Callable[..., Sweep]) -> Any:
    """Sweeps whose sampler is in a file that is gone once the study has stored it."""
    monkeypatch.chdir(tmp_path)

    def sweep(**search: Any) -> Any:
        Path("own.py").write_text(SAMPLERS)
        made = load(sweep_of(LR, **search))
        keep(Code(made.code, bench.workspace.code))
        Path("own.py").unlink()
        return made

    return sweep


def test_a_sampler_of_ones_own_draws_and_keeps_its_notes(bench: Bench, own: Any) -> None:
    """What it writes on a trial is stored with it, before and after it was trained, and read by the next driver."""
    options = {"sampler": "own.py:Careful", "sampler_options": {"pull": 0.25}}
    bench.run(own(trials=4, **options))
    bench.run(own(trials=7, **options), extend=True)
    trials = bench.storage().load("s").optuna_study.trials
    assert len({trial.params["lr"] for trial in trials}) == 7
    assert [trial.system_attrs for trial in trials[4:]] == [
        {"careful:number": number, "careful:pull": [0.25], "careful:end": ["COMPLETE", 1]} for number in (4, 5, 6)
    ]


@pytest.mark.parametrize("sampler", ["optuna.samplers:QMCSampler", "tpe", "qmc"])
def test_a_sampler_takes_its_options(bench: Bench, own: Any, sampler: str) -> None:
    """Optuna's own by their import path, and tpe; under one seed they draw the same."""
    options = {"qmc_type": "halton", "scramble": True} if "qmc" in sampler.lower() else {"n_startup_trials": 2}
    for study in ("a", "b"):
        bench.run(own(study=study, trials=5, sampler=sampler, sampler_options=options, seed=3))
    first, second = ([t.params for t in bench.storage().load(study).trials()] for study in ("a", "b"))
    assert len({params["lr"] for params in first}) == 5
    assert first == second


@pytest.mark.parametrize(
    ("sampler", "options", "problem"),
    [
        ("own.py:Fails", {}, r"the sampler own.py:Fails must draw settings; got RuntimeError: no idea"),
        ("own.py:nothing", {}, r"the sampler own.py:nothing must be an optuna.samplers.BaseSampler; got int"),
        ("tpe", {"gama": 3}, r"the sampler tpe must take its options; got TypeError: .*gama"),
    ],
)
def test_a_sampler_that_fails_ends_the_search_in_a_line(
    bench: Bench, own: Any, sampler: str, options: dict[str, Any], problem: str
) -> None:
    """The line says which sampler, and what it did."""
    with pytest.raises(CodeError, match=problem):
        bench.run(own(trials=2, sampler=sampler, sampler_options=options))


def test_options_are_for_samplers_that_take_some(own: Any) -> None:
    """A grid takes none, and the seed has a key of its own."""
    with pytest.raises(ConfigError, match="sampler_options: a grid takes no options"):
        load({**own(trials=2, sampler="tpe").model_dump(mode="json"), "search": {"sampler_options": {"a": 1}}})
    with pytest.raises(ConfigError, match="sampler_options: the seed has a key of its own"):
        load(own(trials=2, sampler="tpe"), ["search.sampler_options.seed=3"])
