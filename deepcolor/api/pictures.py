"""Pictures to learn from: drawn ones, and a data set of any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.reporter import Reporter
from deepcolor.notebook import told
from deepcolor.study import Where
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.data.drawn import DrawnKind
    from deepcolor.data.manifest import Manifest


def draw(
    kind: DrawnKind,
    folder: Where,
    *,
    count: int = 300,
    seed: int = 0,
    size_px: int = 128,
    reporter: Reporter | None = None,
) -> tuple[Path, ...]:
    """Draw pictures for a first try without photos, as `deepcolor data draw` does.

    Args:
        kind: `faces` or `fruit`.
        folder: New, empty, or one that an earlier call drew into.
        count: How many pictures.
        seed: Another seed, other pictures.
        size_px: Side of the pictures, 32 to 1024.
        reporter: As for `sweep`.
    Returns:
        Their files, in order.
    Raises:
        DataError: A number is out of range, there is no such kind, or the folder holds other files.
        WorkspaceError: The folder cannot be written to.
    """
    from deepcolor.app.data import draw as draw_pictures

    return draw_pictures(kind, Path(folder), count=count, size_px=size_px, seed=seed, reporter=told(reporter))


def prepare(
    folder: Where,
    *,
    name: str,
    workspace: Where = ".",
    split: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    strict: bool = False,
    replace: bool = False,
    reporter: Reporter | None = None,
) -> Manifest:
    """Make a data set of a folder of pictures, as `deepcolor data prepare` does.

    Args:
        folder: Of the pictures; it is only read.
        name: Of the data set.
        workspace: As for `sweep`.
        split: Shares of train, val and test.
        seed: Of the split.
        strict: Refuse a folder that holds a picture that cannot be used.
        replace: Put it in the place of other pictures of this name.
        reporter: As for `sweep`.
    Raises:
        DataError: The folder cannot be used, or other pictures have been prepared under this name.
    """
    from deepcolor.app.data import prepare as prepare_pictures

    prepared = prepare_pictures(
        Path(folder),
        name=name,
        workspace=Workspace.at(Path(workspace)),
        split=split,
        seed=seed,
        strict=strict,
        replace=replace,
        reporter=told(reporter),
    )
    return prepared.manifest
