"""`deepcolor colorize`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
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
    MegapixelsOption,
    QuietOption,
    TrackingOption,
    WorkspaceOption,
    tracking_uri,
)
from deepcolor.cli.progress import progress
from deepcolor.errors import EXIT_FAILURE, DataError, ModelError, UserError, WorkspaceError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.inference import ColorModel

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
            show_default="the champion, where one alone colours pictures",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")] = False,
    max_megapixels: MegapixelsOption = None,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Colour pictures of any size; each keeps its own lightness at full resolution. Writes PNG.

    Folders are searched with all below them, and keep their form under OUT; where several PATHS are given, each folder
    keeps it under its own name (scans/a.jpg becomes OUT/scans/a.jpg.png). Results are named after their pictures:
    a.jpg.png for a.jpg, a.bmp.png for a.bmp, a.png for a.png; so the same command finds them again. Pictures that
    deepcolor made are passed over. Those that cannot be coloured are reported and left out; then the exit code is 1.

    Where several champions could colour (deepcolor models), name the one whose data is most like the pictures.

    [bold]Examples[/bold]

      deepcolor colorize grandma.jpg -o coloured/

      deepcolor colorize scans/ album/ -o coloured/ --model transfer@2

      deepcolor colorize scans/ -o coloured/ --model pulled/ --overwrite
    """
    uri = tracking_uri(Workspace.at(workspace), tracking)
    if model is not None:
        check_model(model, uri=uri)  # Though there may be nothing to do: a slip shows at once.
    jobs = plan(paths, out)
    kept = [] if overwrite else [job for job in jobs if os.path.lexists(job.output)]
    known = set(kept)
    open_jobs = [job for job in jobs if job not in known]
    outcome = Outcome()
    if open_jobs:
        model = model or _default(uri)
        outcome = run(open_jobs, _load(model, uri=uri, device=device), out=out)
    _report(out, model or "", outcome, kept)
    if outcome.unreadable:
        raise typer.Exit(EXIT_FAILURE)


def plan(paths: Sequence[Path], out: Path) -> list[Job]:
    """Decide which pictures are coloured and what their files are called.

    The names hang on the paths as they are given and on the pictures' own names, never on which others are there.

    Args:
        paths: Files, and folders that are searched with all below them.
        out: Folder of the results; what lies in it is no input.
    Raises:
        DataError: A path does not exist, a folder holds no pictures, a result would replace a picture, or two pictures
            would get one result.
    """
    from deepcolor.data.names import png_name

    homes = _homes([path for path in dict.fromkeys(paths) if path.is_dir()], alone=len(set(paths)) == 1)
    found = [(each, out / png_name(below)) for path in paths for each, below in _found(path, out, homes)]
    jobs = [Job(picture, output) for picture, output in dict.fromkeys(found)]
    _refuse_overwriting(jobs)
    return jobs


def run(jobs: Sequence[Job], model: ColorModel, *, out: Path) -> Outcome:
    """Colour and write each picture; one for which that cannot be done is noted and passed over."""
    from deepcolor.data.blame import blamed_on
    from deepcolor.inference.picture import write_pixels

    outcome = Outcome()
    with progress("colouring") as tell:
        results = model.colorize_each((job.picture for job in jobs), on_remark=_say_remark)
        for done, (job, result) in enumerate(zip(jobs, results, strict=True), start=1):
            try:
                if isinstance(result, UserError):
                    raise result
                with blamed_on(job.picture, out=out):
                    write_pixels(job.output, result)
                outcome.written.append(job)
            except WorkspaceError:
                raise
            except UserError as error:
                outcome.unreadable.append((job.picture, str(error)))
                console.warn(str(error))
            tell(done, len(jobs))
    return outcome


def _say_remark(picture: str, remark: str) -> None:
    console.warn(f"{picture}: {remark}")


def _homes(folders: Sequence[Path], *, alone: bool) -> dict[Path, Path]:
    """Where the results of each folder go, below the output folder: as much of its path as tells it from the others."""
    if alone:
        return {folder: Path() for folder in folders}
    parts = {folder: folder.resolve().parts[1:] for folder in folders}
    for count in range(1, max(map(len, parts.values()), default=0) + 1):
        homes = {folder: Path(*own[-count:]) for folder, own in parts.items()}
        if len(set(homes.values())) == len(set(parts.values())):
            return homes
    return {folder: Path(*own) for folder, own in parts.items()}


def _refuse_overwriting(jobs: Sequence[Job]) -> None:
    pictures = {os.path.realpath(job.picture): job.picture for job in jobs}
    of: dict[Path, Path] = {}
    for job in jobs:
        if (picture := pictures.get(os.path.realpath(job.output))) is not None:
            raise DataError(
                f"colorize: a result must not replace a picture; got {picture}. Choose another folder with -o."
            )
        if (other := of.setdefault(job.output, job.picture)) != job.picture:
            raise DataError(
                f"colorize: each picture must get a result of its own; got {job.output} for both {other} and "
                f"{job.picture}. Name their folders instead, or colour them one after the other, each with its own -o."
            )


def _found(path: Path, out: Path, homes: Mapping[Path, Path]) -> Iterator[tuple[Path, Path]]:
    """Yield (picture, its path below the output folder)."""
    from deepcolor.data.folder import find_pictures, passed_over
    from deepcolor.data.images import PICTURE_SUFFIXES

    if not path.is_dir():
        if not os.path.lexists(path):
            raise DataError(
                f"colorize: must be a picture or a folder; got {path}, which does not exist. Check the path."
            )
        yield path, Path(path.name)
        return
    found = find_pictures(path, leave_out=[out.resolve()])
    if passed_over(found):
        console.note(f"passed over in {path}: {passed_over(found)}")
    for folder in found.unreadable:
        console.warn(f"{path / folder.path}: {folder.reason}")
        yield path / folder.path, homes[path] / folder.path  # Left out with the pictures that cannot be read.
    if not found.pictures and not found.unreadable:
        suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
        raise DataError(f"colorize: a folder must hold pictures ({suffixes}); got none in {path}. Name another one.")
    yield from ((path / below, homes[path] / below) for below in found.pictures)


def check_model(name: str, *, uri: str) -> None:
    """Make sure that a model exists and colours pictures, without loading its weights.

    Raises:
        ModelError: There is no such model, or it is a regressor.
    """
    from deepcolor.models.description import DESCRIPTION_FILE, read_description
    from deepcolor.registry.names import is_ref
    from deepcolor.registry.versions import resolve

    if (Path(name) / DESCRIPTION_FILE).exists() or not is_ref(name):
        stage = read_description(Path(name)).stage
    else:
        stage = resolve(name, tracking_uri=uri).stage
    if stage == "regressor":
        raise ModelError(
            f"--model: must be a colorizer or a transfer; got {name}, a regressor, which predicts one mean colour for "
            "a whole picture. For that colour: deepcolor.load(...).mean_ab(...) in Python."
        )


def _default(uri: str) -> str:
    from deepcolor.inference.loading import the_champion

    name = the_champion(uri)
    console.note(f"colouring with {name}, the one champion that colours")
    return name


def _load(name: str, *, uri: str, device: str) -> ColorModel:
    from deepcolor.inference import load

    return load(name, tracking_uri=uri, device=device)


def _report(out: Path, name: str, outcome: Outcome, kept: Sequence[Job]) -> None:
    if kept:
        shown = ", ".join(str(job.output) for job in kept[:_SHOWN])
        more = f" and {len(kept) - _SHOWN} more" if len(kept) > _SHOWN else ""
        console.warn(f"left alone, for they exist already: {shown}{more}. --overwrite replaces them.")
    unreadable = f", {len(outcome.unreadable)} could not be coloured" if outcome.unreadable else ""
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
