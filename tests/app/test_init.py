from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deepcolor.app.init import Sizes, init_sweep
from deepcolor.config.load import load_sweep
from deepcolor.errors import ConfigError
from deepcolor.stages.finding import SHIPPED
from deepcolor.workspace import Workspace
from tests.cli.conftest import command, decoded  # noqa: F401  # a fixture


@pytest.fixture
def place(decoded: Path, tmp_path: Path) -> Workspace:  # noqa: F811
    """A workspace with one data set, `faces`."""
    shutil.copytree(decoded, tmp_path / "place")
    return Workspace.at(tmp_path / "place")


def test_a_first_sweep_is_written_for_each_stage(place: Workspace) -> None:
    """It is a sweep of that stage on the only data set, with a comment to every choice, and is planned as it is."""
    for stage in SHIPPED:
        file = init_sweep(place, stage=stage)
        sweep = load_sweep(file)
        assert file == place.root / "experiments" / f"faces-{stage}.yaml"
        assert (sweep.study, sweep.stage, sweep.data.name) == (f"faces-{stage}", stage, "faces")
        assert "deepcolor plan experiments/" in file.read_text()
    planned = command(place.root, "plan", "experiments/faces-regressor.yaml", "--executor", "serial")
    assert "faces-regressor" in str(planned)


def test_nothing_is_overwritten_and_what_is_missing_is_named(place: Workspace) -> None:
    """A file that exists stays as it is; a stage or a data set that there is not is one line, with those there are."""
    file = place.root / "mine.yaml"
    file.write_text("mine")
    for words, said in (
        ({"stage": "colorizer", "file": file}, "must write a new file; got .*mine.yaml"),
        ({"stage": "colourizer"}, "Did you mean colorizer"),
        ({"stage": "colorizer", "data": "fruits"}, "got 'fruits'. Choose of: faces"),
        ({"stage": "colorizer", "study": "../out"}, "study name: must be"),
    ):
        with pytest.raises(ConfigError, match=said):
            init_sweep(place, **words)  # one set of words each
    assert file.read_text() == "mine"
    with pytest.raises(ConfigError, match="deepcolor data prepare"):
        init_sweep(Workspace.at(place.root / "empty"), stage="colorizer")
    assert not list(place.root.glob("**/.*mine*"))


def test_sizes_fit_machine_and_pictures() -> None:
    """More slots mean more trials, more pictures larger batches, a GPU wider networks; each within its bounds."""
    assert [Sizes(1, gpu=False, pictures=count).batch_size for count in (5, 100, 400, 10**6)] == [4, 8, 32, 64]
    assert [Sizes(slots, gpu=False, pictures=100).trials for slots in (1, 4, 64)] == [12, 24, 60]
    assert Sizes(1, gpu=True, pictures=9).feature_maps > Sizes(1, gpu=False, pictures=9).feature_maps
