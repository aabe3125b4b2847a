from __future__ import annotations

from pathlib import Path

from PIL import Image

from deepcolor.coloring.sheet import PREDICTION, cut_sheet
from deepcolor.training.advance import advance
from deepcolor.training.trajectory import TrajectoryPaths
from tests.training.conftest import Prepared


def test_a_rung_leaves_a_checkpoint_and_no_result(prepared: Prepared, tmp_path: Path) -> None:
    """A segment that asks for no result leaves what is needed to go on; the next one gives what a single one gives."""
    rung = advance(prepared.segment(tmp_path / "halved", to_epoch=1, result=False))
    paths = TrajectoryPaths(tmp_path / "halved", rung.digest)
    assert rung.view is not None
    assert (rung.view.end_epoch, rung.result, rung.trained_epochs) == (1, None, 1)
    assert paths.record(1).exists()
    assert not paths.result(rung.view).exists()
    end = advance(prepared.segment(tmp_path / "halved", to_epoch=3))
    alone = advance(prepared.segment(tmp_path / "alone", to_epoch=3))
    assert end.trained_epochs == 2
    assert end.result is not None
    assert alone.result is not None
    weights = "model.safetensors"
    assert (end.result / weights).read_bytes() == (alone.result / weights).read_bytes()
    assert end.metrics == alone.metrics


def test_a_result_can_be_asked_for_later(prepared: Prepared, tmp_path: Path) -> None:
    """A training that ended early on its way to a rung gives its result without training an epoch."""
    options = {"stage": "colorizer", "patience": 1, "lr": 1e-6, "weight_decay": 0.0}
    stopped = advance(prepared.segment(tmp_path, to_epoch=6, result=False, **options))  # type: ignore[arg-type]
    assert stopped.result is None
    again = advance(prepared.segment(tmp_path, to_epoch=6, **options))  # type: ignore[arg-type]
    assert again.trained_epochs == 0
    assert again.view == stopped.view
    assert again.result is not None


def test_a_rung_leaves_what_its_pictures_look_like_there(prepared: Prepared, tmp_path: Path) -> None:
    """Where it is asked for, a segment without a result leaves a contact sheet of the weights that its view takes,
    small and the same wherever the training was cut; one that is not asked, or has a result, leaves none.
    """
    options = {"stage": "colorizer", "result": False, "samples": True}
    rung = advance(prepared.segment(tmp_path / "whole", to_epoch=2, **options))  # type: ignore[arg-type]
    assert rung.view is not None
    file = TrajectoryPaths(tmp_path / "whole", rung.digest).sheet(rung.view)
    with Image.open(file) as sheet:
        tiles = cut_sheet(sheet)
        assert sheet.format == "WEBP"
    assert tiles is not None
    assert len(tiles[PREDICTION]) == len(tiles["truth"]) > 1
    assert file.stat().st_size < 80_000

    advance(prepared.segment(tmp_path / "cut", to_epoch=1, **options))  # type: ignore[arg-type]
    advance(prepared.segment(tmp_path / "cut", to_epoch=2, **options))  # type: ignore[arg-type]
    advance(prepared.segment(tmp_path / "cut", to_epoch=3, stage="colorizer", samples=True))
    sheets = TrajectoryPaths(tmp_path / "cut", rung.digest).samples
    assert sorted(each.name for each in sheets.iterdir()) == ["e000001-w000001.webp", "e000002-w000002.webp"]
    assert (sheets / file.name).read_bytes() == file.read_bytes()

    advance(prepared.segment(tmp_path / "plain", to_epoch=1, result=False))
    assert not list((tmp_path / "plain").rglob("samples"))
