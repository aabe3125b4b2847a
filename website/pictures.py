"""Make the pictures of docs/tutorial.md anew, by running its commands: `python -m website.pictures` (minutes; needs
Chromium). Everything in them is drawn by deepcolor itself.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from website.blocks import calls, lines, write_files

_ROOT = Path(__file__).parent.parent
_PAGE = _ROOT / "docs" / "tutorial.md"
_IMAGES = _ROOT / "docs" / "images"
_SHOWN = 8
_SIDE_PX = 96
_GAP_PX = 4


def main() -> None:
    """Run the tutorial in a folder of its own, and keep what it shows."""
    with tempfile.TemporaryDirectory(prefix="tutorial-") as name:
        folder = Path(name)
        write_files(_PAGE, folder)
        for line in lines(_PAGE.read_text(encoding="utf-8")):
            for words in calls(line.text):
                print("deepcolor", *words, flush=True)  # noqa: T201  # A command.
                subprocess.run([sys.executable, "-m", "deepcolor", *words], cwd=folder, check=True)
        _keep(folder)


def _keep(folder: Path) -> None:
    report = folder / "studies" / "rates" / "report"
    _smaller(report / "optimization_history.png", _IMAGES / "tutorial-history.png")
    _smaller(report / "slices.png", _IMAGES / "tutorial-slices.png")
    drawn = sorted((folder / "pictures").iterdir())[:_SHOWN]
    _side_by_side([[Image.open(path).convert("RGB") for path in drawn]], _IMAGES / "tutorial-drawn.jpg")
    unseen = sorted((folder / "unseen").iterdir())[:_SHOWN]
    truth = [Image.open(path).convert("RGB") for path in unseen]
    grey = [picture.convert("L").convert("RGB") for picture in truth]
    coloured = [Image.open(folder / "coloured" / path.name).convert("RGB") for path in unseen]
    _side_by_side([grey, coloured, truth], _IMAGES / "tutorial-coloured.jpg")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        page.goto((folder / "report.html").as_uri())
        page.screenshot(path=_IMAGES / "tutorial-report.png")
        browser.close()
    _smaller(_IMAGES / "tutorial-report.png", _IMAGES / "tutorial-report.png")


def _side_by_side(rows: list[list[Image.Image]], path: Path) -> None:
    step = _SIDE_PX + _GAP_PX
    sheet = Image.new("RGB", (step * _SHOWN - _GAP_PX, step * len(rows) - _GAP_PX), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            shown = picture.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC)
            sheet.paste(shown, (x * step, y * step))
    sheet.save(path, quality=90)


def _smaller(source: Path, path: Path) -> None:
    """With 256 colours, which charts and pages have no more of, and no wider than a page shows it."""
    with Image.open(source) as picture:
        whole = picture.convert("RGB")
    whole.thumbnail((1000, 1000), Image.Resampling.LANCZOS)
    whole.quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main()
