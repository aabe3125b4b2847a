"""`deepcolor data`: prepare folders of photos, look at them, draw pictures where there are none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.options import HERE, DebugOption, JsonOption, MegapixelsOption, QuietOption, WorkspaceOption
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.counting import counted
from deepcolor.errors import EXIT_FAILURE, DataError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.data import Prepared
    from deepcolor.data.folder import RejectedFile
    from deepcolor.data.manifest import Manifest

app = typer.Typer(no_args_is_help=True, help="Prepare photos for training, look at them, or draw some.")


class Drawn(StrEnum):
    """What can be drawn."""

    FACES = "faces"
    FRUIT = "fruit"


@app.command()
def prepare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of pictures; nested folders are fine.")],
    name: Annotated[str, typer.Option("--name", "-n", help="What sweeps will call the data set.")],
    split: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "80/10/10",
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the split and of the augmented copies.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when a picture cannot be used.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a data set of this name.")] = False,
    max_megapixels: MegapixelsOption = None,
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Look through a folder of photos, group copies of one photo, share the groups out among train, val and test.

    Files that cannot be used (truncated, damaged, too small, without colour) are listed and left out; the exit code is
    1 if some could not be read. Links to photos are followed, links to folders are not. Left out without a word are
    hidden files, and the folders of file servers. Nothing is written to the folder itself. Interrupted, it writes no
    data set; the same command continues.

    Prepared again, an unchanged folder changes nothing. With other pictures the name is refused, unless --replace puts
    the new data set in its place: studies that were trained on the former one continue with that.

    [bold]Examples[/bold]

      deepcolor data prepare ~/photos/faces --name faces

      deepcolor data prepare fruits --name fruits --split 70/15/15 --seed 7 --strict
    """
    from deepcolor.app.data import prepare as prepare_pictures

    prepared = prepare_pictures(
        folder,
        name=name,
        workspace=Workspace.at(workspace),
        split=_fractions(split),
        seed=seed,
        strict=strict,
        replace=replace,
        reporter=ConsoleReporter(),
    )
    _report(prepared)
    if any(file.is_fault for file in prepared.manifest.rejected):
        raise typer.Exit(EXIT_FAILURE)


@app.command()
def show(
    picture: Annotated[Path | None, typer.Argument(metavar="[PICTURE]", help="A picture, for its figure.")] = None,
    channels: Annotated[
        Path | None, typer.Option("--channels", metavar="DIR", help="Write L*, a*, b* of every picture of a folder.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File of the figure (PNG, PDF, SVG), or folder of the channels."),
    ] = None,
    max_megapixels: MegapixelsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Draw a picture beside its L*a*b* channels, or write the channels of a whole folder as grey pictures.

    The figure of lemon.jpg is lemon.jpg-lab.png unless --output names another. Channels keep the form of the folder
    and are named after their pictures: a.jpg.png for a.jpg, a.png for a.png. Pictures that cannot be read are listed
    and left out; then the exit code is 1.

    [bold]Examples[/bold]

      deepcolor data show lemon.jpg -o lemon-lab.png

      deepcolor data show --channels fruits -o fruits-lab
    """
    if (picture is None) == (channels is None):
        raise DataError("show: takes a PICTURE or --channels DIR; got both or neither. Give one of them.")
    from deepcolor.app.data import draw_figure

    if picture is not None:
        file = draw_figure(picture, file=output)
        console.result(str(file), {"figure": file.resolve()})
    elif channels is not None:
        _show_channels(channels, output)


@app.command()
def draw(
    kind: Annotated[Drawn, typer.Argument(help="What to draw.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; a new or empty folder.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many pictures.")] = 300,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The same seed gives the same pictures.")] = 0,
    size_px: Annotated[int, typer.Option("--size", min=32, max=1024, help="Side of the pictures in pixels.")] = 128,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Draw portraits, or fruit and vegetables, for a first try without photos.

    [bold]Examples[/bold]

      deepcolor data draw faces drawn/faces --count 400

      deepcolor data draw fruit drawn/fruit --count 200 --size 256 --seed 3
    """
    from deepcolor.app.data import draw as draw_pictures

    paths = draw_pictures(kind.value, folder, count=count, size_px=size_px, seed=seed, reporter=ConsoleReporter())
    console.result(
        f"{counted(len(paths), 'picture')} in {folder}\n"
        f"next: deepcolor data prepare {quote(str(folder))} --name {folder.resolve().name}",
        {"folder": folder.resolve(), "pictures": len(paths)},
    )


@app.command("list")
def list_(
    workspace: WorkspaceOption = HERE, json: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False
) -> None:
    """List the prepared data sets.

    [bold]Examples[/bold]

      deepcolor data list

      deepcolor data list --json
    """
    from deepcolor.app.data import list_data

    manifests = list_data(Workspace.at(workspace))
    if console.settings.json:
        console.result("", [_facts(manifest) for manifest in manifests])
        return
    if not manifests:
        console.note("no data set has been prepared here; start with `deepcolor data prepare DIR --name NAME`")
        return
    rows = [
        [
            m.name,
            str(len(m.files)),
            *(str(size) for size in m.split_sizes.values()),
            str(len(m.rejected)),
            str(m.source),
        ]
        for m in manifests
    ]
    numeric = ("pictures", "train", "val", "test", "rejected")
    console.table("", ("name", *numeric, "folder"), rows, numeric=numeric)


def _fractions(split: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(share) / 100 for share in split.split("/"))
    except ValueError as error:
        raise DataError(f"split: must be three numbers such as 80/10/10; got {split!r}. Correct --split.") from error
    return train, val, test


def _report(prepared: Prepared) -> None:
    manifest = prepared.manifest
    facts = _facts(manifest) | {"digest": prepared.digest, "manifest": prepared.file}
    if console.settings.json:
        console.result("", facts)
        return
    _report_rejected(manifest.rejected)
    sizes = manifest.split_sizes
    copies = manifest.duplicate_groups
    name = manifest.name
    counts = f"{counted(len(manifest.files), 'picture')} usable, {len(manifest.rejected)} rejected"
    groups = f"{counted(len(copies), 'group')} of copies of one photo, {counted(sum(map(len, copies)), 'picture')}"
    lines = (
        f"{console.bold(name)}: {counts}, {counted(manifest.ignored, 'other file')} ignored",
        f"duplicates: {groups}; each group is kept in one split",
        f"split:      {sizes['train']} train, {sizes['val']} val, {sizes['test']} test (seed {manifest.seed})",
        f"digest:     {prepared.digest} (at the default size and augmentation)",
        f"manifest:   {prepared.file}",
        f"next:       name it in a sweep file (data.name: {name}), then `deepcolor sweep FILE`",
    )
    console.result("\n".join(lines), facts)


def _facts(manifest: Manifest) -> dict[str, object]:
    return {
        "name": manifest.name,
        "source": manifest.source,
        "pictures": len(manifest.files),
        "split_sizes": manifest.split_sizes,
        "seed": manifest.seed,
        "rejected": [{"path": file.path, "reason": file.reason} for file in manifest.rejected],
        "ignored": manifest.ignored,
        "duplicate_groups": [[file.path for file in group] for group in manifest.duplicate_groups],
    }


def _report_rejected(rejected: Sequence[RejectedFile]) -> None:
    if not rejected:
        return
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for file in rejected:
        by_reason[file.reason].append(file.path)
    rows = [
        [reason, str(len(paths)), ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")]
        for reason, paths in sorted(by_reason.items(), key=lambda item: -len(item[1]))
    ]
    console.table("rejected", ("reason", "files", "such as"), rows, numeric=("files",))


def _show_channels(folder: Path, out: Path | None) -> None:
    from deepcolor.app.data import write_channels

    done = write_channels(folder, out=out, reporter=ConsoleReporter())
    _report_rejected(done.skipped)
    console.result(
        f"{counted(done.written, 'picture')} in {', '.join(map(str, done.folders))}",
        {
            "folder": done.folder.resolve(),
            "written": done.written,
            "skipped": [{"path": file.path, "reason": file.reason} for file in done.skipped],
        },
    )
    if done.skipped:
        raise typer.Exit(EXIT_FAILURE)
