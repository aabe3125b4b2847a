from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deepcolor.config.schema import Sweep
from deepcolor.execution.serial import SerialExecutor
from deepcolor.registry.references import References
from deepcolor.search.rules.completion import is_finished
from deepcolor.search.rules.summary import Snapshot, Summary
from deepcolor.search.study.starts import Start, write_start
from deepcolor.search.study.storage import StoredTrial, owned
from deepcolor.search.upkeep.collection import find_garbage
from deepcolor.tracking.records import Provenance, StudyRecord
from tests.search.conftest import Bench
from tests.search.trivial import trivial

SweepOf = Callable[..., Sweep]
pytestmark = pytest.mark.usefixtures("no_pictures")


def run_until(bench: Bench, sweep: Sweep, *, finished: int) -> Summary:
    """Drive a sweep, and stop it when this many of its trials have finished."""
    executor = SerialExecutor(trivial)
    with owned(bench.workspace, sweep.study):
        driver = bench.driver(sweep, executor)
        seen: list[int] = []

        def stop(trial: StoredTrial, snapshot: Snapshot) -> None:
            seen.append(trial.number)
            if len(seen) == finished and not snapshot.stopping:
                driver.request_stop()

        bench.memory.finished = stop  # type: ignore[method-assign]
        summary = driver.run()
        del bench.memory.finished
    executor.close()
    return summary


def said_by_all(bench: Bench, sweep: Sweep) -> tuple[str, str, bool, bool]:
    """The state of a study as its driver last put it, as it is replayed, whether it is finished, and whether gc would
    remove anything of it.
    """
    provenance = Provenance(data_digest="d" * 32, data_folder="photos", config_digest=sweep.digest())
    write_start(bench.workspace.study(sweep.study), Start(provenance, "deepcolor sweep x.yaml"))
    study = bench.storage().load(sweep.study)
    parent = bench.replay(sweep.study)[0]
    assert isinstance(parent, StudyRecord)
    assert bench.memory.study is not None
    garbage = find_garbage(bench.workspace, bench.storage(), keep=1, references=References())
    return bench.memory.study.state, parent.state, is_finished(study, study.trials()), bool(garbage.items)


@pytest.mark.parametrize(
    "search",
    [
        {"space": {"lr": [0.01, 0.5, 0.1, 0.03, 0.02]}, "budget": {"patience_trials": 3}},
        {"space": {"lr": [0.5, 0.01, 0.1, 0.03]}},
        {"space": {"lr": [0.01, 0.5, 0.1]}, "sampler": "random", "trials": 8, "seed": 5},
    ],
    ids=["patience", "grid", "random"],
)
def test_driver_replay_and_gc_agree_on_whether_a_study_has_ended(
    bench: Bench, sweep_of: SweepOf, search: dict[str, Any]
) -> None:
    """With a failed trial, the three say the same: after a stop in the first start, after one in the next start, which
    retries what failed, and at the end.
    """
    sweep = sweep_of(search["space"], **{key: value for key, value in search.items() if key != "space"})
    bench.workspace.studies.joinpath("broken").touch()
    assert run_until(bench, sweep, finished=4 if "budget" in search else 3).state == "interrupted"
    assert said_by_all(bench, sweep) == ("interrupted", "interrupted", False, False)
    run_until(bench, sweep, finished=1)
    ended = said_by_all(bench, sweep)
    assert ended[0] == ended[1]
    assert ended[3] == ended[2]
    bench.run(sweep)
    # A search that patience ends leaves trials open, which a larger budget continues: gc keeps what they need.
    closed = "budget" not in search
    assert said_by_all(bench, sweep) == ("complete", "complete", closed, closed)
