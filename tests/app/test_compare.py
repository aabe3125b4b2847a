from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from deepcolor.app.compare import MOST, compare
from deepcolor.cli import console
from deepcolor.cli.app import app
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError
from tests.cli.conftest import command
from tests.search.conftest import Bench, bench, no_pictures, sweep_of  # noqa: F401  # fixtures

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def two(bench: Bench, sweep_of: Callable[..., Sweep]) -> Bench:  # noqa: F811
    """Two studies, `narrow` and `wide`, the first confirmed; and an empty one."""
    bench.run(sweep_of({"lr": [0.1, 0.01]}, study="narrow", confirm={"top": 1, "seeds": 2}))
    bench.run(sweep_of({"lr": [0.1, 0.001], "batch_size": [8, 16]}, study="wide"))
    empty = sweep_of(study="empty")
    bench.storage().open(empty, lambda: empty)
    return bench


def test_studies_are_compared_by_sweep_setting_figures_and_cost(two: Bench) -> None:
    """Two studies: what differs between their sweeps and between their best trials, and what each has cost; what is the
    same is left out. It is said where one has no trial to compare.
    """
    found = compare(two.workspace, ["narrow", "wide"])
    narrow, wide = found.sides
    assert found.asked["search.space.lr"] == ([0.1, 0.01], [0.1, 0.001])
    assert found.asked["search.confirm.seeds"] == (2, None)
    assert not {"study", "stage", "data.name", "training.lr"} & set(found.asked)
    assert narrow.trial is not None
    assert wide.trial is not None
    best = {
        side: two.storage().load(side).trials()[trial.number].value
        for side, trial in (("narrow", narrow.trial), ("wide", wide.trial))
    }
    assert (narrow.figures["val/mse"], wide.figures["val/mse"]) == (best["narrow"], best["wide"])
    assert set(found.settings) <= {"training.lr", "training.batch_size"}
    assert (narrow.cost["trials"], narrow.cost["trainings under other seeds"], wide.cost["trials"]) == (2, 2, 4)
    assert narrow.seeds is not None
    assert narrow.seeds[2] == 2
    assert found.warnings == ()
    assert compare(two.workspace, ["wide", "empty"]).warnings == ("empty has no best trial yet",)


def test_trials_are_compared_by_their_settings(two: Bench) -> None:
    """Trials of one study or of two: the fields in which their settings differ, as a table and as JSON."""
    root = two.workspace.root
    told = command(root, "compare", "wide#0", "wide#3", "narrow#0")
    first, last, other = (
        two.storage().load(name).trials()[number] for name, number in (("wide", 0), ("wide", 3), ("narrow", 0))
    )
    assert told["differs"]["setting"]["training.lr"] == [first.params["lr"], last.params["lr"], other.params["lr"]]
    assert told["differs"]["sweep"] == {}
    assert [side["figures"]["val/mse"] for side in told["compared"]] == [first.value, last.value, other.value]
    console.settings.json = False
    printed = CliRunner().invoke(app, ["compare", "wide#0", "wide#3", "--workspace", str(root)]).stdout
    rows = [line.split() for line in printed.splitlines()]
    assert ["wide#0", "wide#3"] in rows
    assert ["training.batch_size", "8", "16"] in rows


def test_what_cannot_be_compared_is_refused(two: Bench) -> None:
    """One alone, too many, a trial that does not exist, and what is no number are each one line."""
    for names, said in (
        (["wide"], "2 to 8 different studies or trials; got 1"),
        (["wide", "wide"], "got 1"),
        ([f"wide#{number}" for number in range(MOST + 1)], "got 9"),
        (["wide#0", "wide#4"], "must be one of wide; got 4, and it has 0 to 3"),
        (["wide", "empty#0"], "it has none yet"),
        (["wide", "narrow#first"], "must be named STUDY#NUMBER"),
        (["wide", "narow"], "did you mean narrow"),
    ):
        with pytest.raises(StudyError, match=said):
            compare(two.workspace, names)
