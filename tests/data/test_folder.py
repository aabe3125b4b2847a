from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from deepcolor.app.colorize import find_jobs
from deepcolor.data.folder import find_pictures
from deepcolor.data.images import read_picture, write_png
from deepcolor.data.manifest import prepare
from deepcolor.data.marks import FIGURE_METADATA, is_marked, marked
from deepcolor.data.png_name import png_name
from deepcolor.data.show import write_channels
from deepcolor.errors import DataError
from deepcolor.workspace import Workspace
from tests.data.photos import fruit, save

Taken = Callable[[Path], set[str]]


def by_prepare(folder: Path) -> set[str]:
    workspace = Workspace.at(folder.parent / "elsewhere").create()
    return {file.path for file in prepare(folder, name="f", workspace=workspace, replace=True).files}


def by_colorize(folder: Path) -> set[str]:
    jobs = find_jobs([folder], folder.parent / "out")
    return {job.picture.relative_to(folder).as_posix() for job in jobs if _is_readable(job.picture)}


def by_show(folder: Path) -> set[str]:
    out = folder.parent / "channels"
    write_channels(folder, out)
    names = {path.relative_to(out / "L").as_posix() for path in (out / "L").rglob("*.png")}
    return {path for path in find_pictures(folder).pictures if png_name(Path(path)).as_posix() in names}


def _is_readable(path: Path) -> bool:
    try:
        read_picture(path)
    except DataError:
        return False
    return True


all_commands = pytest.mark.parametrize("taken", [by_prepare, by_colorize, by_show])


@all_commands
def test_a_data_set_of_links_is_the_data_set(taken: Taken, pictures: Path, tmp_path: Path) -> None:
    """Links out of the folder, to files without a suffix, as DVC and Hugging Face make them, are their pictures."""
    links = tmp_path / "links"
    for number, path in enumerate(sorted(pictures.rglob("*.png"))):
        blob = tmp_path / "blobs" / f"{number:064x}"
        blob.parent.mkdir(exist_ok=True)
        blob.write_bytes(path.read_bytes())
        (links / "train").mkdir(parents=True, exist_ok=True)
        (links / "train" / f"{number}.png").symlink_to(os.path.relpath(blob, links / "train"))
    assert taken(links) == {f"train/{number}.png" for number in range(12)}


@all_commands
def test_what_is_no_photo_of_the_user_is_passed_over(taken: Taken, pictures: Path) -> None:
    """Hidden files, what file servers and systems keep, and links that lead nowhere or in a circle are not taken."""
    picture = (pictures / "one" / "01.png").read_bytes()
    for name in ("._01.png", ".hidden.jpg", ".Trash/a.png", ".Trash-1000/files/a.png", "@eaDir/01.png/SYNO.jpg"):
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        (pictures / name).write_bytes(picture)
    for name in ("$RECYCLE.BIN/a.png", "__MACOSX/a.png", "Thumbs.db", "one/desktop.ini"):
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        (pictures / name).write_bytes(picture)
    (pictures / "circle.jpg").symlink_to("circle.jpg")
    (pictures / "gone.jpg").symlink_to("never-there.jpg")
    (pictures / "folder.jpg").symlink_to(pictures / "one")
    (pictures / "round").symlink_to(pictures)
    os.mkfifo(pictures / "pipe.jpg")
    assert taken(pictures) == {f"{'one' if n % 2 else 'two'}/{n:02d}.png" for n in range(12)}


def test_broken_links_are_rejected_with_their_reason(pictures: Path, workspace: Workspace) -> None:
    """A link to nothing, in a circle, or to a folder, and a pipe, are each a reject with a reason of its own."""
    (pictures / "circle.jpg").symlink_to("circle.jpg")
    (pictures / "gone.jpg").symlink_to("never-there.jpg")
    (pictures / "folder.jpg").symlink_to(pictures / "one")
    os.mkfifo(pictures / "pipe.jpg")
    rejected = {file.path: file.reason for file in prepare(pictures, name="f", workspace=workspace).rejected}
    assert rejected == {
        "circle.jpg": "cannot be read: links that lead in a circle",
        "gone.jpg": "cannot be read: No such file or directory",
        "folder.jpg": "cannot be read: a folder",
        "pipe.jpg": "cannot be read: a named pipe",
    }


@all_commands
def test_the_products_own_pictures_are_no_photos(taken: Taken, pictures: Path) -> None:
    """Coloured pictures and figures, by their mark; whatever lies in a workspace or a model folder, by its place."""
    before = taken(pictures)
    write_png(pictures / "coloured" / "lemon.png", fruit(70))
    Figure().savefig(pictures / "one" / "figure.png", metadata=FIGURE_METADATA)
    for name in ("studies/s/report/history.png", "mlruns/artifacts/1/sheet.png", "deep/studies/trajectories/a/s.png"):
        save(pictures / name, fruit(71))
    for name in ("pulled/model.json", "pulled/model.safetensors"):
        save(pictures / "pulled" / "samples.png", fruit(72))
        (pictures / name).touch()
    (pictures / "studies" / "optuna.db").touch()
    assert taken(pictures) == before


def test_only_a_workspaces_folders_are_taken_for_one(pictures: Path, workspace: Workspace) -> None:
    """Photos in a folder that happens to be called studies are photos, and so are those drawn into a workspace."""
    save(pictures / "studies" / "hand.png", fruit(73))
    inside = workspace.dataset("drawn") / "pictures"
    pictures.rename(pictures.parent / "moved")
    inside.parent.mkdir(parents=True)
    (pictures.parent / "moved").rename(inside)
    assert len(prepare(inside, name="drawn", workspace=workspace).files) == 13


def test_the_mark_changes_no_pixel(tmp_path: Path) -> None:
    """A marked PNG is read as before; other PNG files, and other bytes, bear no mark."""
    path = save(tmp_path / "a.png", fruit(1))
    plain = path.read_bytes()
    path.write_bytes(marked(plain))
    assert (read_picture(path).rgb_HW3 == fruit(1)).all()
    assert is_marked(marked(plain)[:200])
    assert not any(map(is_marked, (plain, b"", plain[:20], b"tEXtSoftware\0deepcolor")))


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPG", ".dib", ".tif"])
def test_less_common_suffixes_are_pictures_too(suffix: str, pictures: Path, workspace: Workspace) -> None:
    """JPEG, BMP and TIFF files go by several names."""
    kind = {".dib": ".bmp", ".tif": ".tif"}.get(suffix, ".jpg")
    save(pictures / f"new{kind}", fruit(80)).rename(pictures / f"new{suffix}")
    assert f"new{suffix}" in {file.path for file in prepare(pictures, name="f", workspace=workspace).files}


def test_no_two_pictures_of_a_folder_get_one_result() -> None:
    """Names of results are told from the pictures' own names alone, and differ where those differ."""
    names = [
        f"{stem}{suffix}"
        for stem in ("a", "a.jpg", "a.png", "a.png.png", "a.tar", ".a", "a.JPG")
        for suffix in (".jpg", ".bmp", ".png", ".PNG", ".webp", ".tif")
    ]
    results = [png_name(Path(name)).name for name in names]
    assert len(set(results)) == len(names)
    assert all(name.endswith(".png") for name in results)
    assert png_name(Path("x/a.jpg")) == Path("x/a.jpg.png")
    assert png_name(Path("x/a.png")) == Path("x/a.png")
