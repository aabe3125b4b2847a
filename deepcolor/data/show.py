"""Look at pictures as the networks do: the figure of one picture's channels, and the channels of a whole folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from deepcolor.color import FloatArray, lab_to_rgb, normalise_ab, normalise_lightness, rgb_to_lab, to_uint8
from deepcolor.data.blame import blamed_on
from deepcolor.data.files import save
from deepcolor.data.folder import Progress, RejectedFile, find_pictures, nothing_usable, passed_over, thread_pool
from deepcolor.data.images import Picture, UnusablePictureError, read_picture
from deepcolor.data.png_name import png_name
from deepcolor.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

CHANNELS: tuple[str, str, str] = ("L", "a", "b")

_LONGEST_SHOWN_PX = 1024
_AB_SHOWN = 90.0
"""a* and b* are shown from minus this to plus this, CIELAB units."""


@dataclass(frozen=True)
class Channels:
    """What `write_channels` did."""

    folder: Path
    """Where to, as it was named."""
    written: int
    """Pictures whose three channels were written."""
    skipped: tuple[RejectedFile, ...]
    """Pictures that could not be read, or whose channels could not be written."""
    passed_over: str
    """Which folders and pictures were passed over, in words; empty if none were."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """One for each channel."""
        return tuple(self.folder / channel for channel in CHANNELS)


def lab_figure(picture: Path | str) -> Figure:
    """Draw the reports' first figure: the picture, its L*a*b* as false colour, and L*, a*, b* beside each other.

    L* is shown from 0 (black) to 100 (white), a* and b* in the colours they stand for, with their scales.

    Args:
        picture: A picture file.
    Raises:
        DataError: It cannot be read.
    """
    from matplotlib.figure import Figure

    rgb = _shown(read_picture(picture).rgb_HW3)
    lightness, ab = rgb_to_lab(rgb)
    figure = Figure(figsize=(15, 3.7), dpi=110, layout="constrained")
    figure.suptitle(Path(picture).name)
    panels = figure.subplots(1, 5)
    panels[0].imshow(rgb)
    panels[1].imshow(np.dstack([normalise_lightness(lightness), np.clip(normalise_ab(ab), 0, 1)]))
    shown = panels[2].imshow(lightness, cmap="gray", vmin=0, vmax=100)
    _add_scale(figure, panels[2], shown)
    for index, panel in enumerate(panels[3:]):
        scale = {"cmap": _colours_of(index), "vmin": -_AB_SHOWN, "vmax": _AB_SHOWN}
        _add_scale(figure, panel, panel.imshow(ab[..., index], **scale))
    for panel, title in zip(panels, ("original", "L*a*b* as RGB", "L*", "a*", "b*"), strict=True):
        panel.set_title(title)
        panel.set_axis_off()
    return figure


def write_channels(folder: Path | str, out: Path | str, *, on_progress: Progress | None = None) -> Channels:
    """Write L*, a* and b* of every picture below a folder as grey 8-bit PNG files, in out/L, out/a and out/b.

    The subfolders are kept, names are those of `png_name`. L* is written as L* / 100 * 255, a* and b* as value + 128.

    Args:
        folder: Pictures, in nested folders if need be.
        out: Where to; must not be inside of `folder`.
        on_progress: Called with (pictures done, all pictures).
    Raises:
        DataError: The folder is missing or holds no readable picture, or `out` is in it.
        WorkspaceError: `out` cannot be written to.
    """
    source, target = Path(folder).expanduser().resolve(), Path(out).expanduser().resolve()
    if target.is_relative_to(source):
        raise DataError(
            f"channels: must not be written among the pictures; got {target}. Choose another folder with -o."
        )
    found = find_pictures(source)
    skipped: list[RejectedFile] = [*found.unreadable]
    with thread_pool() as pool:
        for done, rejected in enumerate(pool.map(partial(_write_three, source, target), found.pictures), start=1):
            skipped += [rejected] if rejected else []
            if on_progress is not None:
                on_progress(done, len(found.pictures))
    written = len(found.pictures) - (len(skipped) - len(found.unreadable))
    if written == 0:
        raise DataError(nothing_usable(source, found, skipped))
    return Channels(Path(out), written=written, skipped=tuple(skipped), passed_over=passed_over(found))


def _shown(rgb: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """As many pixels as a figure can show."""
    factor = min(1.0, _LONGEST_SHOWN_PX / max(rgb.shape[:2]))
    size = (max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor)))
    return np.asarray(cv2.resize(to_uint8(rgb), size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _colours_of(channel: int) -> ListedColormap:
    """The colours along one of a*, b* at a middle lightness, the other at 0."""
    from matplotlib.colors import ListedColormap

    values = np.linspace(-_AB_SHOWN, _AB_SHOWN, 256, dtype=np.float32)
    ab = np.zeros((256, 2), np.float32)
    ab[:, channel] = values
    return ListedColormap(lab_to_rgb(np.full(256, 65, np.float32), ab))


def _add_scale(figure: Figure, panel: Axes, shown: Any) -> None:
    figure.colorbar(shown, ax=panel, shrink=0.75, pad=0.02)


def _write_three(source: Path, target: Path, path: str) -> RejectedFile | None:
    try:
        with blamed_on(path, out=target):
            _write_channels_of(read_picture(source / path), target, PurePath(path))
    except UnusablePictureError as error:
        return RejectedFile(path=path.encode(errors="replace").decode(), reason=error.reason)
    return None


def _write_channels_of(picture: Picture, target: Path, path: PurePath) -> None:
    lightness, ab = rgb_to_lab(picture.rgb_HW3)
    planes: tuple[FloatArray, ...] = (
        normalise_lightness(lightness),
        normalise_ab(ab[..., 0]),
        normalise_ab(ab[..., 1]),
    )
    for channel, plane in zip(CHANNELS, planes, strict=True):
        _, encoded = cv2.imencode(".png", to_uint8(plane))
        # Without the mark of what deepcolor makes: an L* picture may well be coloured.
        save(target / channel / png_name(path), encoded.tobytes())
