"""Checkpoints on disk: a safetensors file, and beside it a record with the history and both checksums, written last.

A checkpoint counts only if its record is whole and matches the file; otherwise the one before it is used, and what lies
between is trained again to the same bytes. A record without tensors (`collect`) is a history and nothing more. No torch
in here: the driver reads histories too.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from deepcolor.atomic import write_atomically
from deepcolor.columns import from_columns
from deepcolor.config.schema import digest_of
from deepcolor.plainfile import read_plain
from deepcolor.training.trajectory import EpochMetrics, Trajectory, TrajectoryPaths

_FORMAT = 1
_RECORD_PATTERN = "e*.json"
_MOST_RECORD_BYTES = 2**28
"""A record of a hundred thousand epochs has a tenth of it."""
_WORTH_WAITING_S = 1.0
_FILES = 2
"""Of a checkpoint."""


@dataclass(frozen=True)
class Record:
    """What is known of one checkpoint without reading its tensors."""

    history: tuple[EpochMetrics, ...]
    """All epochs up to the checkpoint's own."""
    best_epoch: int
    """The epoch with the best objective so far, whose weights are kept too; 0 before there is one."""
    kept: bool
    """Written at the end of a segment, and so kept; others go once a later one is there."""
    tensors_sha256: str = ""
    tensors_bytes: int = 0
    threads: tuple[int, ...] = ()
    """The numbers of CPU threads that its epochs were trained with; empty where that was not recorded."""

    @property
    def epoch(self) -> int:
        return len(self.history)

    @property
    def collected(self) -> bool:
        """The tensors were given up on purpose; what is left is the history."""
        return not self.tensors_sha256


def write_identity(paths: TrajectoryPaths, trajectory: Trajectory) -> None:
    """Write what the trajectory's digest stands for, once, for people who look into the folder.

    Raises:
        OSError: The folder cannot be written to.
    """
    if not paths.identity.exists():
        content = {
            "digest": paths.digest,
            "identity": trajectory.identity(),
            "init_from": trajectory.init.ref if trajectory.init else None,
        }
        write_atomically(paths.identity, json.dumps(content, indent=2).encode() + b"\n", durable=False)


def write_checkpoint(paths: TrajectoryPaths, record: Record, tensors: bytes, *, last: bool = True) -> None:
    """Write a checkpoint after `record.epoch` epochs, then remove earlier ones that need not be kept.

    A training of less than a second that is not at its end does not wait for the disk: if a power cut takes its
    checkpoints, which their checksums show, it is trained again in less time.

    Args:
        paths: Of the trajectory.
        record: Checksum and size of the tensors are filled in.
        tensors: Content of the safetensors file.
        last: Whether a trial ends with it.
    Raises:
        OSError: The disk is full or the folder is read-only; earlier checkpoints are untouched.
    """
    durable = last or sum(row.epoch_s for row in record.history) >= _WORTH_WAITING_S
    write_atomically(paths.checkpoint(record.epoch), tensors, durable=durable)
    checksum = hashlib.sha256(tensors).hexdigest()
    _write_record(paths, replace(record, tensors_sha256=checksum, tensors_bytes=len(tensors)), durable=durable)
    if len(list(paths.checkpoints.iterdir())) > _FILES:
        _remove_passing(paths, before_epoch=record.epoch)
        _remove_orphans(paths, before_epoch=record.epoch)


def keep(paths: TrajectoryPaths, record: Record) -> None:
    """Mark a checkpoint that is there already as the end of a segment.

    Raises:
        OSError: The folder cannot be written to.
    """
    if not record.kept:
        _write_record(paths, replace(record, kept=True))


def records(paths: TrajectoryPaths, *, furthest: Record | None = None) -> Iterator[Record]:
    """Yield the records that are whole and have a file of the right size beside them, the furthest one first.

    Args:
        paths: Of the trajectory.
        furthest: The furthest whole one, if it has just been read.
    """
    before = furthest.epoch if furthest else None
    found = chain([furthest] if furthest else [], _whole_records(paths, before_epoch=before))
    return (record for record in found if not record.collected)


def last_record(paths: TrajectoryPaths) -> Record | None:
    """Return the furthest whole record; None where nothing was trained yet. It may be a history and nothing more."""
    return next(_whole_records(paths), None)


def read_tensors(paths: TrajectoryPaths, record: Record) -> bytes | None:
    """Return the content of a checkpoint's safetensors file, or None if it is gone or does not match its checksum."""
    try:
        content = read_plain(paths.checkpoint(record.epoch), most_bytes=record.tensors_bytes)
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == record.tensors_sha256 else None


def read_history(paths: TrajectoryPaths) -> tuple[EpochMetrics, ...]:
    """Return the epochs of the furthest whole record; empty where nothing was trained yet. Quick: no torch."""
    record = last_record(paths)
    return record.history if record else ()


def collect(paths: TrajectoryPaths) -> None:
    """Remove the tensors of every checkpoint and keep the history; further training starts from the beginning.

    Cut off at any moment it leaves a history as long as before, and can be done again.

    Raises:
        OSError: The folder cannot be written to.
    """
    furthest = last_record(paths)
    if furthest is not None and not furthest.collected:
        _write_record(paths, replace(furthest, kept=True, tensors_sha256="", tensors_bytes=0))
    last = paths.record(furthest.epoch) if furthest else None
    for record in paths.checkpoints.glob(_RECORD_PATTERN):
        if record != last:
            record.unlink(missing_ok=True)
    for tensors in paths.checkpoints.glob("e*.safetensors"):
        tensors.unlink(missing_ok=True)


def _write_record(paths: TrajectoryPaths, record: Record, *, durable: bool = True) -> None:
    content = {
        "format": _FORMAT,
        "trajectory": paths.digest,
        "best_epoch": record.best_epoch,
        "kept": record.kept,
        "tensors_sha256": record.tensors_sha256,
        "tensors_bytes": record.tensors_bytes,
        "threads": record.threads,
        "history": [_written(row) for row in record.history],
    }
    signed = {"sha256": digest_of(content), "record": content}
    write_atomically(paths.record(record.epoch), json.dumps(signed).encode() + b"\n", durable=durable)


def _whole_records(paths: TrajectoryPaths, *, before_epoch: int | None = None) -> Iterator[Record]:
    """The furthest one first; before an epoch, if one is given."""
    for path in sorted(paths.checkpoints.glob(_RECORD_PATTERN), reverse=True):
        if before_epoch is not None and path >= paths.record(before_epoch):
            continue
        record = _read_record(paths, path)
        if record is not None:
            yield record


def _read_record(paths: TrajectoryPaths, path: Path) -> Record | None:
    """Return the record, or None when it is damaged, of another format, or lacks tensors that it should have."""
    try:
        signed = json.loads(read_plain(path, most_bytes=_MOST_RECORD_BYTES))
        content = signed["record"]
        if signed["sha256"] != digest_of(content) or (content["format"], content["trajectory"]) != (
            _FORMAT,
            paths.digest,
        ):
            return None
        history, threads = tuple(_row(row) for row in content["history"]), tuple(content.get("threads", ()))
        record = from_columns(Record, {**content, "history": history, "threads": threads})
        whole = path == paths.record(record.epoch) and (
            record.collected or paths.checkpoint(record.epoch).stat().st_size == record.tensors_bytes
        )
    except (OSError, ValueError, KeyError, TypeError):
        # Whatever is wrong with the file, the remedy is the same: the checkpoint before it.
        return None
    return record if whole else None


def _remove_passing(paths: TrajectoryPaths, *, before_epoch: int) -> None:
    for record in _whole_records(paths, before_epoch=before_epoch):
        if record.collected:
            continue
        if record.kept:
            break  # Whatever lay before that one went when it was written.
        # The record goes first: tensors without a record are no checkpoint, the other way round is a damaged one.
        paths.record(record.epoch).unlink(missing_ok=True)
        paths.checkpoint(record.epoch).unlink(missing_ok=True)


def _remove_orphans(paths: TrajectoryPaths, *, before_epoch: int) -> None:
    """Remove tensors whose process was killed before it could write their record."""
    for tensors in paths.checkpoints.glob("e*.safetensors"):
        if tensors < paths.checkpoint(before_epoch) and not tensors.with_suffix(".json").exists():
            tensors.unlink(missing_ok=True)


def _written(row: EpochMetrics) -> dict[str, Any]:
    # JSON knows no NaN and no infinity; as text they come back through float().
    metrics = {name: value if math.isfinite(value) else str(value) for name, value in row.metrics.items()}
    written = {**vars(row), "metrics": metrics, "system": dict(row.system)}
    return written if row.system else {name: value for name, value in written.items() if name != "system"}


_FIXED_NAMES = {"train_mse": "train/mse", "val_mse": "val/mse", "val_mse_a": "val/mse_a", "val_mse_b": "val/mse_b"}
"""The metrics of a row from before metrics had names of their own, each of which was a column."""


def _row(content: Mapping[str, Any]) -> EpochMetrics:
    metrics = content.get("metrics") or {_FIXED_NAMES[name]: content[name] for name in _FIXED_NAMES if name in content}
    return EpochMetrics(
        epoch=int(content["epoch"]),
        metrics={str(name): float(value) for name, value in metrics.items()},
        epoch_s=float(content["epoch_s"]),
        time_ms=int(content["time_ms"]),
        system={str(name): float(value) for name, value in content.get("system", {}).items()},
    )
