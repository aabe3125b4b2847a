from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from deepcolor.app.overview import Row, overview_png
from deepcolor.coloring.samples import contact_sheet, draw_sheet, extreme_rows, sample_rows
from deepcolor.coloring.sheet import INPUT, PREDICTION, TRUE_MEAN, TRUTH, cut_sheet
from deepcolor.config.schema import ModelConfig
from deepcolor.fields.objective import DEFAULT_OBJECTIVE
from deepcolor.models import build
from deepcolor.models.networks import Target
from deepcolor.training.curve import loss_curve
from deepcolor.training.trajectory import View
from tests.epochs import epoch_row
from tests.training.conftest import Prepared


def _pixels(png: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@given(count=st.integers(min_value=1, max_value=2000))
def test_sample_rows_are_distinct_and_spread(count: int) -> None:
    """The fixed images are at most 8 different rows of the split, the first and the last among them."""
    rows = sample_rows(count).tolist()
    assert len(set(rows)) == len(rows) == min(count, 8)
    assert rows == sorted(rows)
    assert rows[0] == 0
    assert rows[-1] == count - 1 or count == 1


def test_sheets_of_all_trials_show_the_same_images(prepared: Prepared) -> None:
    """Two networks' sheets have the same inputs and truths and differ in the predictions."""
    val = prepared.open().val
    one, two = (
        _pixels(contact_sheet(build("pixels", ModelConfig(feature_maps=maps), 64), val, title="a trial"))
        for maps in (1, 2)
    )
    assert one.shape == two.shape
    upper = slice(0, 30 + 2 * 132)
    assert (one[upper] == two[upper]).all()
    assert (one != two).any()


@pytest.mark.parametrize("target", ["mean", "pixels"])
def test_sheets_have_a_column_for_each_image(target: Target, prepared: Prepared) -> None:
    """A sheet is as wide as its images, and its predictions are no blank strip."""
    val = prepared.open().val
    network = build(target, ModelConfig(feature_maps=1), 64)
    picture = _pixels(contact_sheet(network, val, title="a trial"))
    columns = min(len(val), 8)
    assert picture.shape[1] == pytest.approx(76 + columns * 132 - 4 + 10, abs=1)
    assert picture[-40:-20, 76:-10].mean() < 250


@pytest.mark.parametrize("parts", [1, 3, 40])
def test_a_long_title_stays_on_the_sheet(parts: int) -> None:
    """It is written smaller, and cut short where that does not do; nothing is written over the sheet's edge."""
    rows = {"truth": np.ones((2, 128, 128, 3), np.float32)}
    sheet = np.asarray(draw_sheet(rows, title="  ".join(["part=0.001"] * parts)).convert("L"))
    assert (sheet < 128).any()
    assert (sheet[:, -2:] == 255).all()


def test_the_loss_curve_of_one_epoch_and_of_many() -> None:
    """A curve is drawn for one epoch as for many, and the epoch that was taken shows."""
    history = [epoch_row(e, 0.1 / e, time_ms=e) for e in range(1, 31)]
    single = _pixels(loss_curve(history[:1], view=View(1, 1, 0.1), objective=DEFAULT_OBJECTIVE, title="one"))
    views = [View(30, chosen, 0.01) for chosen in (10, 20)]
    taken = [_pixels(loss_curve(history, view=view, objective=DEFAULT_OBJECTIVE, title="many")) for view in views]
    assert single.shape == taken[0].shape
    assert (taken[0] != taken[1]).any()


def test_the_extremes_are_the_worst_the_middle_and_the_best() -> None:
    """Three worst, two middle and three best pictures by PSNR, each once, the worst first; few are all shown."""
    psnr_db = [float(value) for value in (5, 1, 9, 3, 7, 0, 8, 2, 6, 4, 10)]
    assert [psnr_db[row] for row in extreme_rows(psnr_db)] == [0, 1, 2, 4, 5, 8, 9, 10]
    assert extreme_rows([3.0, 1.0, 2.0]) == [1, 2, 0]
    assert extreme_rows([1.0]) == [0]


def test_what_is_written_on_a_sheet_is_named_alike_everywhere(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sheets of every stage, and the demo's overview, have the rows input, truth, prediction, in this order; the
    overview has each prediction's PSNR.
    """
    written: list[str] = []
    draw = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, xy: Any, said: str, **how: Any) -> None:
        written.append(said)
        draw(self, xy, said, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    val = prepared.open().val
    contact_sheet(build("pixels", ModelConfig(feature_maps=1), 64), val, title="a trial")
    assert written == ["input", "truth", "prediction", "a trial"]
    written.clear()
    contact_sheet(build("mean", ModelConfig(feature_maps=1), 64), val, title="a trial")
    assert written == ["input", "truth", "its mean", "prediction", "a trial"]
    written.clear()
    photo = np.full((128, 128, 3), 100, np.uint8)
    off = photo + np.uint8(10)
    overview_png([Row("colorizer@1", grey=[photo] * 4, truth=[photo] * 4, coloured=[photo, off] * 2)])
    psnr_db = 20 * np.log10(255 / 10)
    assert written[:2] == ["input", "truth"]
    assert written[2:7] == ["prediction", *["100.0 dB", f"{psnr_db:.1f} dB"] * 2]
    assert f"mean PSNR {(100 + psnr_db) / 2:.1f} dB" in written[7]


@pytest.mark.parametrize("target", ["mean", "pixels"])
def test_a_sheet_is_taken_apart_as_it_was_put_together(target: Target, prepared: Prepared) -> None:
    """Its rows come back by name, a true mean colour beside a predicted one; what is no sheet is left whole."""
    val = prepared.open().val
    sheet = Image.open(io.BytesIO(contact_sheet(build(target, ModelConfig(feature_maps=1), 64), val, title="t")))
    rows = cut_sheet(sheet)
    assert rows is not None
    assert list(rows) == [INPUT, TRUTH, *([TRUE_MEAN] if target == "mean" else []), PREDICTION]
    assert {len(tiles) for tiles in rows.values()} == {min(len(val), 8)}
    assert {rows[PREDICTION][0].height} == {64 if target == "mean" else 128}
    grey, truth = (np.asarray(rows[name][0].convert("RGB")).astype(int) for name in (INPUT, TRUTH))
    assert (grey.max(axis=2) - grey.min(axis=2)).max() <= 1 < (truth.max(axis=2) - truth.min(axis=2)).max()
    assert cut_sheet(sheet.crop((0, 0, sheet.width - 1, sheet.height))) is None
