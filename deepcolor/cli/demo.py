"""`deepcolor demo`: the pipeline on drawn pictures, then pictures nobody has trained on, coloured."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deepcolor.cli import console
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    DeviceOption,
    ExecutorOption,
    JsonOption,
    QuietOption,
    WorkersOption,
    WorkspaceOption,
    in_workspace,
    tracking_uri,
)
from deepcolor.words import duration
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.how import How
    from deepcolor.app.pipeline import StageResult

TEMPLATE = Path(__file__).with_name("demo.yaml")
SETS: tuple[tuple[str, Literal["faces", "fruit"]], ...] = (("drawn-faces", "faces"), ("drawn-fruit", "fruit"))
PICTURES = 240
UNSEEN = 6
_UNSEEN_SEED = 10_000
"""Far from the seeds of the training pictures."""


def demo(
    pictures: Annotated[int, typer.Option("--pictures", min=60, help="Pictures to draw of each kind.")] = PICTURES,
    executor: ExecutorOption = "local",
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run the whole way on drawn pictures: search, track, promote, fine-tune, colour. Needs no photos and no GPU.

    [bold]Examples[/bold]

      deepcolor demo --workspace demo
    """
    from deepcolor.app.how import How
    from deepcolor.app.pipeline import run_pipeline
    from deepcolor.cli.pipeline import reference, show_pipeline
    from deepcolor.cli.reporter import ConsoleReporter
    from deepcolor.config.load import load_pipeline

    started = time.monotonic()
    place = Workspace.at(workspace).create()
    file = _own_copy(place)
    command = shlex.join(["deepcolor", "demo", "--workspace", str(workspace)])
    how = How(place, tracking_uri(place, None), executor, workers, device, command=command, reporter=ConsoleReporter())
    _draw_sets(place, pictures)
    parsed = load_pipeline(file)
    results = run_pipeline(parsed, how)
    overview = _colour_unseen(how, results)
    show_pipeline(parsed, results, place)
    said = {"overview": str(overview), "wall_s": round(time.monotonic() - started, 1)}
    if not console.settings.json:
        model = reference(results[-1].promotion.version)
        console.result(_farewell(overview, file, workspace, model, wall_s=time.monotonic() - started), said)


def _own_copy(workspace: Workspace) -> Path:
    """The demo's pipeline file, in the workspace, for its user to change."""
    from deepcolor.atomic import write_atomically

    file = workspace.experiments / "demo.yaml"
    if not file.exists():
        write_atomically(file, TEMPLATE.read_bytes())
    return file


def _draw_sets(workspace: Workspace, pictures: int) -> None:
    from deepcolor.cli.progress import progress
    from deepcolor.data.drawn import draw_set
    from deepcolor.data.manifest import prepare

    for seed, (name, kind) in enumerate(SETS):
        folder = workspace.dataset(name) / "pictures"
        if not (workspace.dataset(name) / "manifest.json").exists():
            with progress(f"drawing {kind}") as on_progress:
                draw_set(kind, folder, count=pictures, seed=seed, on_progress=on_progress)
            prepare(folder, name=name, workspace=workspace)


def _colour_unseen(how: How, results: list[StageResult]) -> Path:
    """Colour pictures drawn after the training, and put lightness, result and truth side by side into one picture."""
    import numpy as np

    from deepcolor.data.drawn import draw_face, draw_fruit
    from deepcolor.data.images import write_png
    from deepcolor.inference import load

    rows: list[tuple[str, list[Any], list[Any]]] = []
    for result, draw in ((results[1], draw_face), (results[2], draw_fruit)):
        model = load(result.promotion.version.ref, tracking_uri=how.tracking_uri, device=how.device)
        truth = [draw(np.random.default_rng(_UNSEEN_SEED + index), 128) for index in range(UNSEEN)]
        rows.append((result.promotion.version.ref, truth, [model.colorize(_grey(picture)) for picture in truth]))
    from deepcolor.cli.overview import overview_png

    path = how.workspace.studies / "demo" / "overview.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(overview_png(rows, grey=_grey))
    for ref, truth, coloured in rows:
        for index, (original, colour) in enumerate(zip(truth, coloured, strict=True)):
            folder = path.parent / "coloured" / ref.replace("@", "-")
            folder.mkdir(parents=True, exist_ok=True)
            write_png(folder / f"{index}-grey.png", _grey(original))
            write_png(folder / f"{index}-coloured.png", colour)
    return path


def _grey(rgb_HW3: Any) -> Any:
    """The picture without its colour: what the network is shown."""
    import numpy as np

    from deepcolor.color import lab_to_rgb, rgb_to_lab

    lightness_HW, ab_HW2 = rgb_to_lab(rgb_HW3)
    return np.rint(lab_to_rgb(lightness_HW, np.zeros_like(ab_HW2)) * 255).astype(np.uint8)


def _farewell(overview: Path, file: Path, workspace: Path, model: str, *, wall_s: float) -> str:
    where, edited = in_workspace(workspace), shlex.quote(str(file))
    return "\n".join(
        (
            f"{console.bold('look at')}   {overview}",
            f"{console.bold('compare')}   deepcolor ui{where}",
            f"{console.bold('colour')}    deepcolor colorize PHOTO -o coloured --model {model}{where}",
            f"{console.bold('change')}    {file}, then deepcolor pipeline {edited}{where}",
            f"{console.bold('your own')}  deepcolor data prepare FOLDER --name photos{where}",
            f"The demo took {duration(wall_s)}.",
        )
    )
