"""The pictures of a trial in MLflow's image grid, which shows one key across runs and epochs: its contact sheets, and
each picture on them under a key of its own, so that one face can be followed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.coloring.sheet import PREDICTION, cut_sheet, webp
from deepcolor.tracking import layout
from deepcolor.tracking.artifacts import link
from deepcolor.tracking.records import TrialRecord

if TYPE_CHECKING:
    from PIL.Image import Image

SAMPLES = "samples.png"
_THUMBNAIL_PX = 256


@dataclass(frozen=True)
class Sheet:
    """A contact sheet, and where the image grid shows it."""

    file: Path
    epoch: int
    time_ms: int

    def stage(self, folder: Path, *, run_id: str, pictures: int) -> None:
        """Lay it out as MLflow's `log_image` would, but under names that are the same every time.

        Args:
            folder: Laid out as the artifacts of the run.
            run_id: The run.
            pictures: How many of the pictures on it are also shown under keys of their own.
        """
        sheet = _opened(self.file)
        if sheet is None:
            return  # Damaged, as by a power cut: that holds up nothing else.
        full, thumbnail = self._files(folder, layout.IMAGE_KEY, run_id=run_id, suffix=self.file.suffix)
        link(self.file, full)
        for number, tile in enumerate(_predictions(sheet)[:pictures] if pictures else (), start=1):
            key = f"{layout.PICTURE_PREFIX}{number}"
            picture, same = self._files(folder, key, run_id=run_id, suffix=".webp")
            picture.write_bytes(webp(tile))
            link(picture, same)  # It is small enough to be its own thumbnail.
        sheet.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
        sheet.save(thumbnail, method=0)

    def _files(self, folder: Path, key: str, *, run_id: str, suffix: str) -> tuple[Path, Path]:
        of = f"{run_id}/{self.epoch}" if key == layout.IMAGE_KEY else f"{run_id}/{self.epoch}/{key}"
        unique = str(uuid.uuid5(uuid.NAMESPACE_OID, of))
        names = layout.image_files(key, step=self.epoch, time_ms=self.time_ms, unique=unique, suffix=suffix)
        full, thumbnail = (folder / name for name in names)
        return full, thumbnail


def sheets_of(record: TrialRecord) -> list[Sheet]:
    """Return the contact sheets that there are of a trial: of its rungs, and of its end."""
    rungs = [Sheet(file, epoch, record.history[epoch - 1].time_ms) for epoch, file in record.rungs]
    step = record.history[-1].epoch if record.history else 0
    ends = [Sheet(record.result / SAMPLES, step, record.ended_ms or 0)] if record.result else []
    between = [rung for rung in rungs if not ends or rung.epoch != step]
    return [sheet for sheet in (*between, *ends) if sheet.file.is_file()]


def unseen(record: TrialRecord, tags: Mapping[str, str]) -> list[Sheet]:
    """Return the contact sheets whose pictures a run lacks, by its tags; none where they are not wanted."""
    if not record.pictures:
        return []
    seen = layout.picture_epochs(tags)
    return [sheet for sheet in sheets_of(record) if sheet.epoch not in seen]


def picture_tags(record: TrialRecord, stored: Sequence[Sheet], *, before: Mapping[str, str]) -> dict[str, str]:
    """Return what a run's tags say of its pictures once these are stored.

    Args:
        record: The trial.
        stored: Its contact sheets that are stored now.
        before: Tags that tell of others, which are stored already.
    """
    if not stored:
        return {}
    tags = {layout.LOGGED_IMAGES: "True"}
    if record.pictures:
        epochs = {sheet.epoch for sheet in stored} | layout.picture_epochs(before)
        tags[layout.PICTURES] = ", ".join(map(str, sorted(epochs)))
    return tags


def _opened(file: Path) -> Image | None:
    from PIL import Image

    with suppress(OSError, SyntaxError, ValueError), Image.open(file) as opened:
        return opened.convert("RGB")
    return None


def _predictions(sheet: Image) -> Sequence[Image]:
    """What a contact sheet of the shipped stages shows of the predictions; nothing of those of others."""
    tiles = cut_sheet(sheet)
    return () if tiles is None else tiles[PREDICTION]
