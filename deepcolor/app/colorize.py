"""Colour the pictures of files and folders, each into a PNG file of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.coloring.manner import Manner
from deepcolor.errors import DataError, ModelError, UserError, WorkspaceError
from deepcolor.stages.finding import SHIPPED, stage_of

if TYPE_CHECKING:
    from deepcolor.inference import ColorModel


@dataclass(frozen=True)
class Job:
    """One picture and where its coloured version goes."""

    picture: Path
    output: Path


@dataclass(frozen=True)
class Uncoloured:
    """A picture that could not be coloured."""

    picture: Path
    reason: str


@dataclass(frozen=True)
class Coloured:
    """What became of the pictures."""

    model: str
    """What coloured them; empty where none was named and nothing was left to colour."""
    written: tuple[Job, ...] = ()
    uncoloured: tuple[Uncoloured, ...] = ()
    kept: tuple[Job, ...] = ()
    """Those whose results were there already, and have been left alone."""


def colorize_files(
    paths: Sequence[Path],
    *,
    out: Path,
    tracking_uri: str,
    model: str | None = None,
    overwrite: bool = False,
    device: str = "auto",
    saturation: float = 1.0,
    flip: bool = False,
    bfloat16: bool = False,
    reporter: Reporter = SILENT,
) -> Coloured:
    """Colour pictures of any size and write them as PNG; one for which that cannot be done does not end the work.

    Args:
        paths: Files, and folders that are searched with all below them; pictures that deepcolor made are passed over.
        out: Folder of the results, named after their pictures, so that the same call finds them again.
        tracking_uri: The MLflow store that knows the model.
        model: `colorizer@champion`, `transfer@2`, or a model folder; None: the one champion that colours pictures.
        overwrite: Replace results that are there already.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        saturation: What the colours are multiplied by, 0 to 3: 0 is grey, 1 what the model says.
        flip: Colour each picture as it is and mirrored, and take the mean.
        bfloat16: Let the network compute in bfloat16, as `ColorModel.colorize` says.
        reporter: Is told how far it has come, what is passed over, and what cannot be coloured.
    Raises:
        DataError: A path does not exist, a folder holds no pictures, a result would replace a picture, or two pictures
            would get one result.
        ModelError: There is no such model, or it is a regressor; or none is named and there is no one champion.
        WorkspaceError: The results cannot be written.
        ConfigError: The saturation is out of range.
    """
    manner = Manner(saturation, flip, bfloat16)
    if model is not None:
        check_model(model, tracking_uri=tracking_uri)  # Though there may be nothing to do: a slip shows at once.
    jobs = find_jobs(paths, out, reporter=reporter)
    kept = () if overwrite else tuple(job for job in jobs if os.path.lexists(job.output))
    known = set(kept)
    open_jobs = [job for job in jobs if job not in known]
    if not open_jobs:
        return Coloured(model or "", kept=kept)
    named = model if model is not None else one_champion(tracking_uri, reporter)
    from deepcolor.inference import load

    loaded = load(named, tracking_uri=tracking_uri, device=device)
    written, uncoloured = _colour(open_jobs, loaded, out=out, manner=manner, reporter=reporter)
    return Coloured(named, tuple(written), tuple(uncoloured), kept)


def find_jobs(paths: Sequence[Path], out: Path, *, reporter: Reporter = SILENT) -> list[Job]:
    """Decide which pictures are coloured and what their files are called.

    The names hang on the paths as they are given and on the pictures' own names, never on which others are there.

    Args:
        paths: Files, and folders that are searched with all below them.
        out: Folder of the results; what is in it is no input.
        reporter: Is told what is passed over, and which folders cannot be read.
    Raises:
        DataError: A path does not exist, a folder holds no pictures, a result would replace a picture, or two pictures
            would get one result.
    """
    from deepcolor.data.png_name import png_name

    homes = _homes([path for path in dict.fromkeys(paths) if path.is_dir()], alone=len(set(paths)) == 1)
    found = [(each, out / png_name(below)) for path in paths for each, below in _found(path, out, homes, reporter)]
    jobs = [Job(picture, output) for picture, output in dict.fromkeys(found)]
    _refuse_overwriting(jobs)
    return jobs


def _colour(
    jobs: Sequence[Job], model: ColorModel, *, out: Path, manner: Manner, reporter: Reporter
) -> tuple[list[Job], list[Uncoloured]]:
    """Colour and write each picture; one for which that cannot be done is told of and passed over."""
    from deepcolor.coloring.picture import write_pixels
    from deepcolor.data.blame import blamed_on

    def on_remark(picture: str, remark: str) -> None:
        reporter.warn(f"{picture}: {remark}")

    written: list[Job] = []
    uncoloured: list[Uncoloured] = []
    with reporter.progress("colouring") as tell:
        results = model.colorize_each((job.picture for job in jobs), on_remark=on_remark, **manner.options())
        for done, (job, result) in enumerate(zip(jobs, results, strict=True), start=1):
            try:
                if isinstance(result, UserError):
                    raise result
                with blamed_on(job.picture, out=out):
                    write_pixels(job.output, result)
                written.append(job)
            except WorkspaceError:
                raise
            except UserError as error:
                uncoloured.append(Uncoloured(job.picture, str(error)))
                reporter.warn(str(error))
            tell(done, len(jobs))
    return written, uncoloured


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


def _found(path: Path, out: Path, homes: Mapping[Path, Path], reporter: Reporter) -> Iterator[tuple[Path, Path]]:
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
        reporter.note(f"passed over in {path}: {passed_over(found)}")
    for folder in found.unreadable:
        reporter.warn(f"{path / folder.path}: {folder.reason}")
        yield path / folder.path, homes[path] / folder.path  # Left out with the pictures that cannot be read.
    if not found.pictures and not found.unreadable:
        suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
        raise DataError(f"colorize: a folder must hold pictures ({suffixes}); got none in {path}. Name another one.")
    yield from ((path / below, homes[path] / below) for below in found.pictures)


def check_model(name: str, *, tracking_uri: str) -> None:
    """Make sure that a model exists and colours pictures, without loading its weights.

    Raises:
        ModelError: There is none, or it is a regressor, or of another stage that does not colour.
        TrackingError: The store cannot be read.
    """
    from deepcolor.models.description import DESCRIPTION_FILE, read_description
    from deepcolor.registry.names import is_ref
    from deepcolor.registry.versions import resolve

    if (Path(name) / DESCRIPTION_FILE).exists() or not is_ref(name):
        stage = read_description(Path(name)).stage
        colours = stage not in SHIPPED or stage_of(stage).colours_pixels  # Of others it shows when they are loaded.
    else:
        version = resolve(name, tracking_uri=tracking_uri)
        stage, colours = version.stage, version.colours
    if not colours and stage not in SHIPPED:
        raise ModelError(f"--model: must be a model that colours pictures; got {name}, a {stage}.")
    if not colours:
        raise ModelError(
            f"--model: must be a colorizer or a transfer; got {name}, a regressor, which predicts one mean colour for "
            "a whole picture. For that colour: deepcolor.load(...).mean_ab(...) in Python."
        )


def one_champion(tracking_uri: str, reporter: Reporter) -> str:
    """Return the reference of the one champion that colours pictures, and say which it is.

    Raises:
        ModelError: There is none, or there are several; the message lists them.
        TrackingError: The store cannot be read.
    """
    from deepcolor.registry.champion import the_champion

    name = the_champion(tracking_uri)
    reporter.note(f"colouring with {name}, the one champion that colours")
    return name
