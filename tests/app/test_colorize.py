from __future__ import annotations

from pathlib import Path

import pytest

from deepcolor.app.colorize import Coloured, Job, colorize_files
from deepcolor.errors import ModelError
from tests.inference.conftest import colorizer_folder  # noqa: F401  # a fixture
from tests.registry.world import draw_photos, make_model
from tests.reporting import Heard


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos."""
    draw_photos(tmp_path / "in", count=2)
    return tmp_path / "in"


def test_what_became_of_each_picture_is_returned(
    photos: Path,
    tmp_path: Path,
    colorizer_folder: Path,  # noqa: F811
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Written, kept and not coloured come as values, what went wrong goes to the reporter, and nothing is printed."""
    out, uri, heard = tmp_path / "out", "sqlite:///none.db", Heard()
    (photos / "bad.jpg").write_bytes(b"\xff\xd8")
    first, second = (Job(photos / f"00{n}.jpg", out / f"00{n}.jpg.png") for n in (0, 1))
    out.mkdir()
    second.output.write_text("mine")
    model = str(colorizer_folder)
    done = colorize_files([photos], out=out, tracking_uri=uri, model=model, device="cpu", reporter=heard)
    assert (done.model, done.written, done.kept) == (model, (first,), (second,))
    assert [one.picture for one in done.uncoloured] == [photos / "bad.jpg"]
    assert heard.warnings == [one.reason for one in done.uncoloured]
    assert second.output.read_text() == "mine"
    (photos / "bad.jpg").unlink()
    again = colorize_files([photos], out=out, tracking_uri=uri, reporter=heard)
    assert again == Coloured("", kept=(first, second))
    assert capfd.readouterr() == ("", "")


def test_a_model_that_predicts_one_colour_is_refused(photos: Path, tmp_path: Path) -> None:
    """A regressor has no colours for the parts of a picture: nothing is written with it."""
    regressor = make_model(tmp_path / "regressor", stage="regressor")
    with pytest.raises(ModelError, match="must be a colorizer or a transfer"):
        colorize_files([photos], out=tmp_path / "out", tracking_uri="sqlite:///none.db", model=str(regressor))
    assert not (tmp_path / "out").exists()
