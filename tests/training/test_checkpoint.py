from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from deepcolor.training.checkpoint import Record, read_history, read_tensors, records, write_checkpoint
from deepcolor.training.trajectory import EpochMetrics, TrajectoryPaths
from tests.epochs import epoch_row

numbers = st.floats(width=64)


def _row(epoch: int, mse: float = 0.5) -> EpochMetrics:
    return epoch_row(epoch, mse, epoch_s=0.1, time_ms=1_700_000_000_000 + epoch)


def _record(epochs: int, *, kept: bool = True) -> Record:
    return Record(history=tuple(_row(epoch) for epoch in range(1, epochs + 1)), best_epoch=1, kept=kept)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5))
def test_histories_come_back_to_the_last_bit(values: list[tuple[float, float]]) -> None:
    """Whatever an epoch's figures are, infinities and NaN included, they are read back as they were written."""
    history = tuple(
        epoch_row(epoch, val, train=train, epoch_s=0.25, time_ms=epoch)
        for epoch, (train, val) in enumerate(values, start=1)
    )
    with TemporaryDirectory() as folder:
        paths = TrajectoryPaths(Path(folder), "d" * 32)
        write_checkpoint(paths, Record(history=history, best_epoch=0, kept=True), b"tensors")
        back = read_history(paths)
        json.loads(paths.record(len(history)).read_text(), parse_constant=lambda name: 1 / 0)

    assert repr(back) == repr(history)
    signs = [
        [math.copysign(1, value) for row in rows for value in row.metrics.values() if value == 0]
        for rows in (back, history)
    ]
    assert signs[0] == signs[1]


def test_the_furthest_whole_record_counts(tmp_path: Path) -> None:
    """A record that is cut, altered, of another trajectory or without its tensors is passed over."""
    paths = TrajectoryPaths(tmp_path, "a" * 32)
    for epochs in range(1, 7):
        write_checkpoint(paths, _record(epochs), bytes(epochs))
    paths.record(6).write_bytes(paths.record(6).read_bytes()[:-20])
    paths.record(5).write_text(paths.record(5).read_text().replace("0.5", "0.4", 1))
    paths.record(4).write_text(paths.record(4).read_text().replace("a" * 32, "b" * 32))
    paths.checkpoint(3).unlink()

    assert [record.epoch for record in records(paths)] == [2, 1]
    assert read_history(paths) == (_row(1), _row(2))


def test_tensors_are_read_only_if_they_match(tmp_path: Path) -> None:
    """Tensors come back as written; with one bit changed they do not come back at all."""
    paths = TrajectoryPaths(tmp_path, "a" * 32)
    write_checkpoint(paths, _record(1), b"tensors")
    record = next(records(paths))
    assert read_tensors(paths, record) == b"tensors"

    paths.checkpoint(1).write_bytes(b"tensort")
    assert read_tensors(paths, record) is None


def test_what_is_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    """A pipe or a device in place of a record or of tensors costs the checkpoint, and never a wait."""
    paths = TrajectoryPaths(tmp_path, "d" * 32)
    for epochs in (1, 2, 3):
        write_checkpoint(paths, _record(epochs), b"tensors")
    for path in (paths.record(3), paths.checkpoint(2)):
        path.unlink()
    os.mkfifo(paths.record(3))
    paths.checkpoint(2).symlink_to("/dev/zero")
    assert [record.epoch for record in records(paths)] == [1]


def test_passing_checkpoints_go_once_a_later_one_is_there(tmp_path: Path) -> None:
    """A later checkpoint removes those before it that were not the end of a segment, and leaves the others."""
    paths = TrajectoryPaths(tmp_path, "a" * 32)
    for epochs, kept in ((1, True), (2, False), (3, False), (4, True), (5, False)):
        write_checkpoint(paths, _record(epochs, kept=kept), b"tensors")
    assert [record.epoch for record in records(paths)] == [5, 4, 1]


def test_tensors_without_a_record_go(tmp_path: Path) -> None:
    """What a process left that was killed between the two files is removed with the next checkpoint."""
    paths = TrajectoryPaths(tmp_path, "a" * 32)
    write_checkpoint(paths, _record(1), b"tensors")
    paths.checkpoint(2).write_bytes(b"orphan")
    write_checkpoint(paths, _record(3), b"tensors")
    assert not paths.checkpoint(2).exists()
    assert [record.epoch for record in records(paths)] == [3, 1]


def test_nothing_trained_yet_is_an_empty_history(tmp_path: Path) -> None:
    """A trajectory without a folder has no epochs."""
    assert read_history(TrajectoryPaths(tmp_path, "a" * 32)) == ()


def test_histories_are_read_without_torch(tmp_path: Path) -> None:
    """The driver reads histories, views and descriptions without importing torch, safetensors or matplotlib."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "import deepcolor.models.description, deepcolor.training.early_stopping, deepcolor.training.result_files\n"
        "from deepcolor.training.checkpoint import read_history\n"
        "from deepcolor.training.trajectory import TrajectoryPaths\n"
        "print(len(read_history(TrajectoryPaths(Path(sys.argv[1]), 'a' * 32))))\n"
        "print(sorted({'torch', 'safetensors', 'matplotlib', 'cv2', 'numpy'} & set(sys.modules)))\n"
    )
    write_checkpoint(TrajectoryPaths(tmp_path, "a" * 32), _record(2), b"tensors")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["2", "[]"]
