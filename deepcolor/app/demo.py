"""The whole way on drawn pictures: a pipeline, and what its models make of pictures that nobody has trained on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from deepcolor.app.how import How
    from deepcolor.app.overview import Row
    from deepcolor.app.pipeline import StageResult
    from deepcolor.config.schema import Pipeline
    from deepcolor.data.images import Pixels
    from deepcolor.workspace import Workspace

PICTURES = 240
"""Drawn of each kind to train on."""
_TEMPLATE = Path(__file__).with_name("demo.yaml")
_SETS: tuple[tuple[str, Literal["faces", "fruit"]], ...] = (("drawn-faces", "faces"), ("drawn-fruit", "fruit"))
_UNSEEN = 6
_UNSEEN_SEED = 10_000
"""Far from the seeds of the training pictures."""


@dataclass(frozen=True)
class Demo:
    """What the demo came to."""

    pipeline: Pipeline
    results: list[StageResult]
    """Of its stages, in their order."""
    file: Path
    """The pipeline's file in the workspace, for its user to change."""
    overview: Path
    """A picture of what the models make of pictures they have never seen."""
    wall_s: float


def run_demo(how: How, *, pictures: int = PICTURES) -> Demo:
    """Draw pictures, search, promote and fine-tune on them, and colour others; needs no photos and no GPU.

    Args:
        how: How trainings are run; its workspace is made if need be.
        pictures: Pictures to draw of each kind, 60 or more; those of an earlier start are used again.
    Raises:
        Interrupted: The user stopped it; the same call continues.
        WorkspaceError: The workspace cannot be written to.
    """
    from deepcolor.app.pipeline import run_pipeline
    from deepcolor.config.load import load_pipeline

    started = time.monotonic()
    how.workspace.create()
    file = _own_copy(how.workspace)
    _draw_sets(how, pictures)
    parsed = load_pipeline(file, code=how.workspace.code)
    results = run_pipeline(parsed, how)
    overview = _colour_unseen(how, results)
    return Demo(parsed, results, file, overview, time.monotonic() - started)


def _own_copy(workspace: Workspace) -> Path:
    """The demo's pipeline file, in the workspace, for its user to change."""
    from deepcolor.atomic import write_atomically

    file = workspace.experiments / "demo.yaml"
    if not file.exists():
        write_atomically(file, _TEMPLATE.read_bytes())
    return file


def _draw_sets(how: How, pictures: int) -> None:
    from deepcolor.data.drawn import draw_set
    from deepcolor.data.manifest import prepare

    for seed, (name, kind) in enumerate(_SETS):
        folder = how.workspace.dataset(name) / "pictures"
        if not (how.workspace.dataset(name) / "manifest.json").exists():
            with how.reporter.progress(f"drawing {kind}") as on_progress:
                draw_set(kind, folder, count=pictures, seed=seed, on_progress=on_progress)
            prepare(folder, name=name, workspace=how.workspace)


def _colour_unseen(how: How, results: list[StageResult]) -> Path:
    """Colour pictures drawn after the training, and put lightness, result and truth side by side into one picture."""
    import numpy as np

    from deepcolor.app.overview import Row, overview_png
    from deepcolor.data.drawn import draw_face, draw_fruit
    from deepcolor.inference import load

    rows: list[Row] = []
    for result, draw in ((results[1], draw_face), (results[2], draw_fruit)):
        model = load(result.promotion.version.ref, tracking_uri=how.tracking_uri, device=how.device)
        truth = [draw(np.random.default_rng(_UNSEEN_SEED + index), 128) for index in range(_UNSEEN)]
        grey = [_grey(picture) for picture in truth]
        coloured = [model.colorize(picture) for picture in grey]
        rows.append(Row(result.promotion.version.ref, grey, truth, coloured))
    path = how.workspace.studies / "demo" / "overview.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(overview_png(rows))
    _write_each(rows, path.parent / "coloured")
    return path


def _write_each(rows: list[Row], folder: Path) -> None:
    from deepcolor.data.images import write_png

    for row in rows:
        own = folder / row.model.replace("@", "-")
        own.mkdir(parents=True, exist_ok=True)
        for index, (grey, coloured) in enumerate(zip(row.grey, row.coloured, strict=True)):
            write_png(own / f"{index}-grey.png", grey)
            write_png(own / f"{index}-coloured.png", coloured)


def _grey(rgb_HW3: Pixels) -> Pixels:
    """The picture without its colour: what the network is shown."""
    import numpy as np

    from deepcolor.color import lab_to_rgb, rgb_to_lab

    lightness_HW, ab_HW2 = rgb_to_lab(rgb_HW3)
    return np.rint(lab_to_rgb(lightness_HW, np.zeros_like(ab_HW2)) * 255).astype(np.uint8)
