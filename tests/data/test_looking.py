from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from deepcolor.cli import console
from deepcolor.cli.progress import Lines
from deepcolor.data import looking
from deepcolor.data.duplicates import group_duplicates, thumbnails
from deepcolor.data.journal import Journal, Seen
from deepcolor.data.looking import Look
from deepcolor.data.manifest import JOURNAL_FOLDER, manifest_path, prepare
from deepcolor.errors import DataError
from deepcolor.workspace import Workspace
from tests.data.photos import fruit


class Stopped(KeyboardInterrupt):
    """As Ctrl-C raises it in the middle of the work."""


def test_a_stop_loses_nothing_that_was_seen(
    pictures: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped, it leaves no manifest; the same call looks at the rest alone, and comes to what it would have been."""
    (pictures / "cut.jpg").write_bytes(b"\xff\xd8")
    whole = prepare(pictures, name="whole", workspace=workspace)

    def stopping(done: int, _total: int) -> None:
        if done == 8:
            raise Stopped

    with pytest.raises(Stopped):
        prepare(pictures, name="f", workspace=workspace, on_progress=stopping)
    assert not manifest_path(workspace, "f").exists()
    looked: list[str] = []
    at = Look.at

    def noted(self: Look, path: str) -> Seen:
        looked.append(path)
        return at(self, path)

    monkeypatch.setattr(Look, "at", noted)
    manifest = prepare(pictures, name="f", workspace=workspace)
    assert len(looked) == 5
    assert (manifest.files, manifest.rejected) == (whole.files, whole.rejected)
    assert list(manifest_path(workspace, "f").parent.iterdir()) == [manifest_path(workspace, "f")]


def test_what_was_seen_counts_while_the_file_is_the_same(pictures: Path, workspace: Workspace) -> None:
    """A picture that changed since, and lines or thumbnails cut off in the middle, are looked at again."""
    (pictures / "z.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(DataError, match="--strict"):
        prepare(pictures, name="f", workspace=workspace, strict=True)
    folder = workspace.dataset("f") / JOURNAL_FOLDER
    lines, small = folder / "seen.jsonl", folder / "thumbnails"
    lines.write_bytes(lines.read_bytes()[:-9])
    small.write_bytes(small.read_bytes()[:-100])
    (pictures / "one" / "01.png").write_bytes((pictures / "one" / "03.png").read_bytes())
    (pictures / "z.jpg").unlink()
    manifest = prepare(pictures, name="f", workspace=workspace)
    assert [[file.path for file in group] for group in manifest.duplicate_groups] == [["one/01.png", "one/03.png"]]


def test_one_data_set_is_prepared_by_one_process_at_a_time(pictures: Path, workspace: Workspace) -> None:
    """A second one is refused in a line, and harms nothing."""
    with (
        Journal.at(workspace.dataset("f") / JOURNAL_FOLDER, about={}),
        pytest.raises(DataError, match="is being prepared already"),
    ):
        prepare(pictures, name="f", workspace=workspace)


def test_many_pictures_are_looked_at_by_processes_to_the_same_end(
    pictures: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes and threads give one manifest."""
    (pictures / "cut.jpg").write_bytes(b"\xff\xd8")
    threads = prepare(pictures, name="threads", workspace=workspace)
    monkeypatch.setattr(looking, "_WORTH_PROCESSES", 1)
    processes = prepare(pictures, name="processes", workspace=workspace)
    assert (processes.files, processes.rejected) == (threads.files, threads.rejected)


def test_progress_tells_the_time_left_where_nothing_can_be_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line at first, and one every half a minute."""
    monkeypatch.setattr(console, "settings", console.Settings())
    now = iter([0.0, 10.0, 31.0, 40.0, 62.0])
    lines = Lines("looking", of="picture", clock=lambda: next(now))
    for done in (1, 10, 31, 40, 62):
        lines.update(done, 100)
    assert capsys.readouterr().err.splitlines() == [
        "looking: 100 pictures",
        "looking: 31 of 100, about 1 min 11 s left",
        "looking: 62 of 100, about 39 s left",
    ]


def test_copies_are_searched_for_with_progress_and_in_parts() -> None:
    """Thumbnails are asked for in parts, never all at once as one array, and progress runs from 0 to all."""
    small = np.stack([thumbnails(fruit(number)) for number in (1, 2, 1, 3)])
    asked: list[int] = []

    class InParts:
        def __len__(self) -> int:
            return len(small)

        def __getitem__(self, which: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
            asked.append(len(which))
            taken: npt.NDArray[np.uint8] = small[which]
            return taken

    told: list[int] = []
    groups = group_duplicates(InParts(), sha256s=list("abcd"), on_progress=lambda done, _total: told.append(done))
    assert groups == [0, 1, 0, 2]
    assert asked
    assert told == sorted(told)
    assert told[-1] == 1000
