from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deepcolor.app.studies import STATES, held_sweep, list_studies, standing_of, write_sweep
from deepcolor.config.load import load_sweep
from deepcolor.config.schema import Sweep
from deepcolor.errors import ConfigError, StudyError
from tests.search.conftest import Bench, bench, no_pictures, sweep_of  # noqa: F401  # fixtures


def test_how_studies_stand_comes_as_values(
    bench: Bench,  # noqa: F811
    sweep_of: Callable[..., Sweep],  # noqa: F811
    no_pictures: None,  # noqa: F811
) -> None:
    """Every study is listed with the trials in each state and its best one; one has them all, the best first."""
    assert list_studies(bench.workspace) == []
    for study in ("second", "first"):
        bench.run(sweep_of(study=study))
    second, first = list_studies(bench.workspace)
    assert (second.name, first.name) == ("second", "first")
    assert dict(first.trials) == dict.fromkeys(STATES, 0) | {"complete": 3}
    standing = standing_of(bench.workspace, "first")
    assert [standing.state(trial) for trial in standing.trials] == ["complete"] * 3
    values = [trial.value for trial in standing.ranked()]
    assert values == sorted(value for value in values if value is not None)
    assert standing.ranked()[0] == first.best
    assert standing.confirmation is None
    with pytest.raises(StudyError, match="did you mean first"):
        standing_of(bench.workspace, "frist")


def test_the_sweep_of_a_study_is_written_once(
    bench: Bench,  # noqa: F811
    sweep_of: Callable[..., Sweep],  # noqa: F811
    no_pictures: None,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Its text is a sweep file that means the same, and never takes the place of another file."""
    sweep, file = sweep_of(), tmp_path / "held.yaml"
    bench.run(sweep)
    write_sweep(bench.workspace, "s", file=file)
    assert load_sweep(file) == sweep
    assert file.read_text() == held_sweep(bench.workspace, "s")
    for taken, said in ((file, "which exists"), (tmp_path / "no" / "folder.yaml", "No such file")):
        with pytest.raises(ConfigError, match=said):
            write_sweep(bench.workspace, "s", file=taken)
