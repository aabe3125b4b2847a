"""`deepcolor colorize`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    TrackingOption,
    WorkspaceOption,
    tracking_uri,
)
from deepcolor.cli.progress import progress
from deepcolor.errors import EXIT_FAILURE, DataError, ModelError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.data.images import Picture
    from deepcolor.inference import ColorModel

DEFAULT_MODELS = ("transfer@champion", "colorizer@champion")
"""The first one that exists is used when no model is named."""
_SHOWN = 3


@dataclass(frozen=True)
class Job:
    """One picture and where its coloured version goes."""

    picture: Path
    output: Path


@dataclass
class Outcome:
    """What became of the pictures."""

    written: list[Job] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)


def colorize(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, and folders of pictures.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="STAGE@ALIAS, STAGE@VERSION, or a model folder.",
            show_default="transfer@champion, else colorizer@champion",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")] = False,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Colour pictures of any size; each keeps its own lightness at full resolution. Writes PNG.

    Folders are searched with all below them, and keep their form under OUT. Pictures that cannot be read are reported
    and left out; then the exit code is 1.

    [bold]Examples[/bold]

      deepcolor colorize grandma.jpg -o coloured/

      deepcolor colorize scans/ album/ -o coloured/ --model transfer@2

      deepcolor colorize scans/ -o coloured/ --model pulled/ --overwrite
    """
    jobs = plan(paths, out)
    kept = [] if overwrite else [job for job in jobs if job.output.exists()]
    open_jobs = [job for job in jobs if job not in kept]
    uri = tracking_uri(Workspace.at(workspace), tracking)
    name, outcome = "", Outcome()
    if open_jobs:
        name, loaded = _load(model, uri=uri, device=device)
        outcome = run(open_jobs, loaded)
    _report(out, name, outcome, kept)
    if outcome.unreadable:
        raise typer.Exit(EXIT_FAILURE)


def plan(paths: Sequence[Path], out: Path) -> list[Job]:
    """Decide which pictures are coloured and what their files are called.

    Args:
        paths: Files, and folders that are searched with all below them.
        out: Folder of the results; what lies in it is no input.
    Raises:
        DataError: A path does not exist, a folder holds no pictures, or a result would replace its own picture.
    """
    found = [pair for path in paths for pair in _found(path, out)]
    # Two pictures that differ in their suffix alone keep it: a.jpg.png beside a.bmp.png.
    names = Counter(below.with_suffix(".png") for _, below in found)
    jobs = []
    for picture, below in dict.fromkeys(found):
        named = (
            below.with_suffix(".png") if names[below.with_suffix(".png")] == 1 else below.with_name(f"{below.name}.png")
        )
        job = Job(picture, out / named)
        if job.output.resolve() == picture.resolve():
            raise DataError(
                f"colorize: a result must not replace its picture; got {picture}. Choose another folder with -o."
            )
        jobs.append(job)
    return jobs


def run(jobs: Sequence[Job], model: ColorModel) -> Outcome:
    """Colour and write each picture; one that cannot be read is noted and passed over."""
    from deepcolor.inference.picture import write_pixels

    outcome = Outcome()
    readable: list[Job] = []
    with progress("colouring") as tell:
        for index, pixels in enumerate(model.colorize_many(_pictures(jobs, readable, outcome))):
            job = readable[index]
            write_pixels(job.output, pixels)
            outcome.written.append(job)
            tell(index + 1 + len(outcome.unreadable), len(jobs))
    return outcome


def _found(path: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (picture, its path below the output folder)."""
    from deepcolor.data.images import PICTURE_SUFFIXES

    if path.is_file():
        yield path, Path(path.name)
        return
    if not path.is_dir():
        raise DataError(f"colorize: must be a picture or a folder; got {path}, which does not exist. Check the path.")
    target = out.resolve()
    pictures = [
        each
        for each in sorted(path.rglob("*"))
        if each.suffix.lower() in PICTURE_SUFFIXES and each.is_file() and target not in each.resolve().parents
    ]
    if not pictures:
        suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
        raise DataError(f"colorize: a folder must hold pictures ({suffixes}); got none in {path}. Name another one.")
    yield from ((each, each.relative_to(path)) for each in pictures)


def _load(name: str | None, *, uri: str, device: str) -> tuple[str, ColorModel]:
    from deepcolor.inference import load

    if name is not None:
        return name, load(name, tracking_uri=uri, device=device)
    first, second = DEFAULT_MODELS
    try:
        return first, load(first, tracking_uri=uri, device=device)
    except ModelError as error:
        try:
            loaded = load(second, tracking_uri=uri, device=device)
        except ModelError:
            raise error from None
        console.note(f"there is no {first} yet; using {second}")
        return second, loaded


def _pictures(jobs: Sequence[Job], readable: list[Job], outcome: Outcome) -> Iterator[Picture]:
    """Read the pictures as the model takes them; `readable` says which ones came through."""
    from deepcolor.data.images import read_picture

    for job in jobs:
        try:
            picture = read_picture(job.picture)
        except DataError as error:
            outcome.unreadable.append((job.picture, str(error)))
            console.warn(str(error))
            continue
        readable.append(job)
        yield picture


def _report(out: Path, name: str, outcome: Outcome, kept: Sequence[Job]) -> None:
    if kept:
        shown = ", ".join(str(job.output) for job in kept[:_SHOWN])
        more = f" and {len(kept) - _SHOWN} more" if len(kept) > _SHOWN else ""
        console.warn(f"left alone, for they exist already: {shown}{more}. --overwrite replaces them.")
    unreadable = f", {len(outcome.unreadable)} could not be read" if outcome.unreadable else ""
    using = f" with {name}" if name else ""
    console.result(
        f"{len(outcome.written)} coloured{using} into {out}{unreadable}",
        {
            "model": name,
            "written": [{"picture": str(job.picture), "output": str(job.output)} for job in outcome.written],
            "unreadable": [{"picture": str(path), "reason": reason} for path, reason in outcome.unreadable],
            "kept": [str(job.output) for job in kept],
        },
    )
