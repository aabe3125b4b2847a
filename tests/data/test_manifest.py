from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from deepcolor.data.manifest import (
    Manifest,
    former_manifests,
    load_manifest,
    manifest_path,
    prepare,
    prepared_names,
    verify,
)
from deepcolor.errors import CorruptFileError, DataError, WorkspaceError
from deepcolor.workspace import Workspace
from tests.data.photos import fruit, save


def prepared(folder: Path, workspace: Workspace, **options: object) -> Manifest:
    return prepare(folder, name="fruit", workspace=workspace, **options)  # type: ignore[arg-type]  # passed through


def test_a_folder_becomes_a_manifest(pictures: Path, workspace: Workspace) -> None:
    """Every picture is listed by relative path with its size and split; the manifest on disk says the same."""
    manifest = prepared(pictures, workspace)
    assert [file.path for file in manifest.files] == sorted(
        f"{'one' if n % 2 else 'two'}/{n:02d}.png" for n in range(12)
    )
    assert manifest.split_sizes == {"train": 10, "val": 1, "test": 1}
    assert {(file.width_px, file.height_px) for file in manifest.files} == {(96, 96)}
    assert manifest.source == pictures
    assert load_manifest(workspace, "fruit") == manifest
    assert prepared_names(workspace) == ("fruit",)


def test_unusable_pictures_are_left_out_with_their_reason(pictures: Path, workspace: Workspace) -> None:
    """Truncated, tiny, grey, mislabelled and empty files are rejected, each for its own reason; others are counted."""
    whole = save(pictures / "whole.jpg", fruit(50)).read_bytes()
    (pictures / "cut.JPG").write_bytes(whole[: len(whole) // 2])
    save(pictures / "tiny.png", fruit(51, size_px=24))
    save(pictures / "grey.png", np.full((50, 50, 3), 90, np.uint8))
    (pictures / "text.png").write_text("no picture")
    (pictures / "empty.webp").write_bytes(b"")
    (pictures / "notes.txt").write_text("hello")
    (pictures / "._hidden.jpg").write_bytes(b"resource fork")
    manifest = prepared(pictures, workspace)
    assert {file.path: file.reason for file in manifest.rejected} == {
        "cut.JPG": "a truncated file",
        "tiny.png": "too small: a side under 32 px",
        "grey.png": "without colour",
        "text.png": "a file of another kind",
        "empty.webp": "an empty file",
    }
    assert manifest.ignored == 2
    assert len(manifest.files) == 13
    with pytest.raises(DataError, match=r"--strict; got 5 of 18 unusable.*cut\.JPG \(a truncated file\)"):
        prepared(pictures, workspace, strict=True)


def test_copies_of_one_photo_share_a_split(pictures: Path, workspace: Workspace) -> None:
    """However the split falls, a photo and its copies are on one side."""
    for number in range(4):
        save(pictures / "copies" / f"{number}.jpg", np.ascontiguousarray(fruit(number)[:, ::-1]))
        shutil.copy(pictures / ("one" if number % 2 else "two") / f"{number:02d}.png", pictures / f"again{number}.png")
    for seed in range(3):
        manifest = prepared(pictures, workspace, seed=seed, replace=True)
        assert [len(group) for group in manifest.duplicate_groups] == [3, 3, 3, 3]
        for group in manifest.duplicate_groups:
            assert len({file.split for file in group}) == 1


def test_names_and_places_do_not_change_the_split(pictures: Path, workspace: Workspace, tmp_path: Path) -> None:
    """The same pictures under other names, in another folder, fall into the same splits."""
    moved = tmp_path / "moved"
    moved.mkdir()
    for number, path in enumerate(sorted(pictures.rglob("*.png"), reverse=True)):
        shutil.copy(path, moved / f"renamed-{number}.PNG")
    before = {file.sha256: file.split for file in prepared(pictures, workspace).files}
    after = {file.sha256: file.split for file in prepare(moved, name="moved", workspace=workspace).files}
    assert before == after


def test_preparing_again_changes_nothing_unless_asked(pictures: Path, workspace: Workspace) -> None:
    """The same folder again is fine; a changed one is refused with the difference, and taken with replace."""
    first = prepared(pictures, workspace)
    assert prepared(pictures, workspace) == first
    save(pictures / "new.png", fruit(70))
    (pictures / "two" / "00.png").unlink()
    with pytest.raises(DataError, match=r"1 picture added, 1 picture removed.*--replace"):
        prepared(pictures, workspace)
    with pytest.raises(DataError, match=r"seed 0 -> 5"):
        prepared(pictures, workspace, seed=5)
    assert load_manifest(workspace, "fruit") == first
    second = prepared(pictures, workspace, replace=True)
    assert "new.png" in {file.path for file in second.files}
    assert former_manifests(workspace, "fruit") == (first,)
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8")
    assert [file.path for file in prepared(pictures, workspace).rejected] == ["broken.jpg"]
    assert load_manifest(workspace, "fruit").files == second.files


def test_folders_without_pictures_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    """Missing, empty, full of text, full of damaged pictures: the message says what was found."""
    with pytest.raises(DataError, match=r"nothing there \(.*missing\)"):
        prepared(tmp_path / "missing", workspace)
    folder = tmp_path / "texts"
    folder.mkdir()
    with pytest.raises(DataError, match="an empty folder"):
        prepared(folder, workspace)
    for number in range(12):
        (folder / f"{number}.txt").write_text("text")
    with pytest.raises(DataError, match="got 12 text files"):
        prepared(folder, workspace)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 and no more")
    with pytest.raises(DataError, match=r"1 picture file of no use \(a truncated file\), 12 text files"):
        prepared(folder, workspace)


def test_an_unprepared_name_is_answered_with_the_nearest(pictures: Path, workspace: Workspace) -> None:
    """The message names what is prepared, the nearest of it, and the command that prepares."""
    with pytest.raises(DataError, match=r"none has been prepared.*deepcolor data prepare DIR --name faces"):
        load_manifest(workspace, "faces")
    prepared(pictures, workspace)
    with pytest.raises(DataError, match=r"prepared are fruit.*Did you mean fruit\?"):
        load_manifest(workspace, "fruits")
    with pytest.raises(WorkspaceError, match="data set name"):
        load_manifest(workspace, "../fruit")


def test_a_spoilt_manifest_is_noticed(pictures: Path, workspace: Workspace) -> None:
    """A manifest that was cut short or edited into something else is not guessed at."""
    prepared(pictures, workspace)
    path = manifest_path(workspace, "fruit")
    text = path.read_text()
    path.write_text(text[:-40])
    with pytest.raises(CorruptFileError, match=r"manifest\.json"):
        load_manifest(workspace, "fruit")
    path.write_text(json.dumps(json.loads(text) | {"files": "blue"}))
    with pytest.raises(CorruptFileError):
        load_manifest(workspace, "fruit")


def test_changed_and_removed_pictures_are_noticed(pictures: Path, workspace: Workspace) -> None:
    """Another size, another content of the same size, and a missing file all fail, with names and the way out."""
    manifest = prepared(pictures, workspace)
    verify(manifest)
    path = pictures / "one" / "01.png"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DataError, match=r"1 of 12 changed or removed since \(one/01\.png.*--replace"):
        verify(manifest)
    path.write_bytes(data + b"more")
    (pictures / "two" / "00.png").unlink()
    with pytest.raises(DataError, match="2 of 12 changed or removed"):
        verify(manifest)


def test_progress_counts_every_picture(pictures: Path, workspace: Workspace) -> None:
    """The caller hears of each picture once, in order, from its own thread."""
    heard: list[tuple[int, int]] = []
    prepared(pictures, workspace, on_progress=lambda done, total: heard.append((done, total)))
    assert heard == [(done, 12) for done in range(1, 13)]


def test_a_picture_that_cannot_be_read_is_rejected(pictures: Path, workspace: Workspace) -> None:
    """What is listed but cannot be opened is named as such, and does not stop the others."""
    (pictures / "gone.png").symlink_to(pictures / "never-there.png")
    manifest = prepared(pictures, workspace)
    assert [(file.path, file.reason) for file in manifest.rejected] == [
        ("gone.png", "cannot be read: No such file or directory")
    ]
