"""A workspace works wherever it lies, whatever the folders are called, and as far as its files allow."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deepcolor.data.drawn import draw_set
from tests.running import Said, run_commands

AWFUL = "w x%41%20?#&;'\"[bold] é☃😀"
DASHED = "-rf " + "x" * 150
PLANTED = ("mlflow.py", "numpy.py", "optuna.py", "signal.py", "threading.py", "typing.py", "PIL.py")
"""Files that a process would run which imports from the folder it is started in."""
SWEEP = """
study: tiny
stage: colorizer
data: {name: faces, size_px: 64, augment: {random_crop: null, random_vertical_flip: null, random_rotation: null,
       random_adjust_sharpness: null}}
model: {feature_maps: 1}
training: {epochs: 1}
search: {space: {lr: [1e-2, 1e-3]}}
"""


@dataclass(frozen=True)
class Spot:
    """A workspace with all that belongs to it in folders beside it, all called alike."""

    base: Path
    name: str

    def folder(self, kind: str) -> Path:
        return self.base / f"{self.name} {kind}"

    def run(self, *commands: list[str], workspace: Path | None = None, plain_user: bool = False) -> list[Said]:
        """Run commands in one process, each as if it were alone; as one who has no rights but a file's own if asked."""
        self.folder("tmp").mkdir(exist_ok=True)
        return run_commands(
            commands,
            folder=workspace or self.folder("workspace"),
            environment={"TMPDIR": str(self.folder("tmp"))},
            plain_user=plain_user,
        )


def make_spot(base: Path, name: str) -> Spot:
    spot = Spot(base, name)
    spot.folder("workspace").mkdir(parents=True)
    draw_set("faces", spot.folder("photos"), count=30, size_px=64, seed=0)
    (spot.folder("workspace") / "s.yaml").write_text(SWEEP)
    for module in PLANTED:
        (spot.folder("workspace") / module).write_text(f"open({str(base / 'run')!r}, 'a').write({module!r} + ' ')")
    return spot


def use(spot: Spot) -> list[list[str]]:
    """What can be done with a workspace without writing into it."""
    photo = str(min(spot.folder("photos").iterdir()))
    return [
        ["models"],
        ["studies", "tiny"],
        ["pull", "colorizer@champion", "-o", str(spot.folder("pulled"))],
        ["colorize", "-o", str(spot.folder("coloured")), "--model", "colorizer@champion", "--overwrite", "--", photo],
        ["gc"],
        ["plan", "s.yaml", "--executor", "serial"],
    ]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its content."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spot]:
    """The whole product, driven once through folders with an awful name."""
    made = make_spot(tmp_path_factory.mktemp("places"), AWFUL)
    prepare = ["data", "prepare", "--name", "faces", "--", str(made.folder("photos"))]
    sweep, promote = ["sweep", "s.yaml", "--executor", "serial"], ["promote", "tiny", "--force"]
    for said in made.run(prepare, sweep, promote, *use(made), ["sync"]):
        assert said.code == 0, said
    yield made
    shutil.rmtree(made.base)


def test_folders_may_be_called_anything(spot: Spot, tmp_path: Path) -> None:
    """Quotes, percent signs, question marks, brackets and emoji in every folder's name, or a dash before a long one:
    every command works, and nothing appears beside the folders that were named.
    """
    kinds = ("coloured", "photos", "pulled", "tmp", "workspace")
    assert {path.name for path in spot.base.iterdir()} == {f"{AWFUL} {kind}" for kind in kinds}
    assert {path.name for path in spot.folder("coloured").iterdir()} == {min(spot.folder("photos").iterdir()).name}
    assert {"studies", "mlruns", "s.yaml", *PLANTED} == {path.name for path in spot.folder("workspace").iterdir()}
    assert not [path for path in spot.folder("tmp").iterdir() if path.name.startswith("deepcolor")]
    dashed = Spot(tmp_path, DASHED)
    shutil.copytree(spot.folder("workspace"), dashed.folder("workspace"))
    shutil.copytree(spot.folder("photos"), dashed.folder("photos"))
    prepare = ["data", "prepare", "--name", "others", "--", str(dashed.folder("photos"))]
    done = dashed.run(prepare, *use(dashed), ["sync"])
    assert [said.code for said in done] == [0] * len(done), done
    assert {path.name for path in tmp_path.iterdir()} == {f"{DASHED} {kind}" for kind in kinds}


def test_a_copied_and_a_moved_workspace_work_where_they_lie(spot: Spot, tmp_path: Path) -> None:
    """A copy never writes into its original, and a moved one finds its models; neither needs the photos."""
    here = Spot(tmp_path, "moved")
    shutil.copytree(spot.folder("workspace"), here.folder("workspace"))
    shutil.copytree(spot.folder("photos"), here.folder("photos"))
    original = tree(spot.folder("workspace"))
    done = here.run(["promote", "tiny", "--trial", "1", "--force"], ["sync"], *use(here))
    assert [said.code for said in done] == [0] * len(done), done
    assert "colorizer@2" in done[2].out
    assert tree(spot.folder("workspace")) == original
    copied = here.folder("workspace").rename(tmp_path / "moved again")
    photos = spot.folder("photos").rename(spot.base / "taken away")
    try:
        done = here.run(*use(here), ["sweep", "s.yaml", "--executor", "serial", "--json"], workspace=copied)
    finally:
        photos.rename(spot.folder("photos"))
    assert [said.code for said in done] == [0] * len(done), done
    assert json.loads(done[-1].out.splitlines()[-1])["trained_now"] == 0
    with sqlite3.connect(copied / "mlruns" / "mlflow.db") as database:
        places = (("experiments", "artifact_location"), ("runs", "artifact_uri"), ("model_versions", "source"))
        for table, column in places:
            for (location,) in database.execute(f"select {column} from {table}"):
                assert location.startswith((copied / "mlruns" / "artifacts").as_uri()), (table, location)


def test_a_read_only_workspace_can_be_read(spot: Spot, tmp_path: Path) -> None:
    """Moved and without any right to write, all that reads still works; what would write says so in one line."""
    here = Spot(tmp_path, "read-only")
    shutil.copytree(spot.folder("workspace"), here.folder("workspace"))
    shutil.copytree(spot.folder("photos"), here.folder("photos"))
    before = tree(here.folder("workspace"))
    everything = [here.folder("workspace"), *here.folder("workspace").rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    writing = [["sweep", "s.yaml", "--executor", "serial"], ["promote", "tiny"], ["sync"], ["gc", "--yes"]]
    writing += [["rename", "tiny", "small"]]
    try:
        *reading, sweep, promote, sync, collect, rename = here.run(*use(here), *writing, plain_user=True)
    finally:
        for path in everything:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert [said.code for said in reading] == [0] * len(reading), reading
    for said in (sweep, promote, sync, collect, rename):
        assert (said.code, said.err.count("error: ")) == (2, 1), said
        assert "writable" in said.err, said
    assert tree(here.folder("workspace")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_user_goes_on_with_a_workspace(spot: Spot, tmp_path: Path) -> None:
    """Who may write the files, without owning one of them, can do all with them."""
    here = Spot(tmp_path, "theirs")
    shutil.copytree(spot.folder("workspace"), here.folder("workspace"))
    shutil.copytree(spot.folder("photos"), here.folder("photos"))
    for path in (here.folder("workspace"), *here.folder("workspace").rglob("*")):
        os.chown(path, 65534, 65534)
        path.chmod(0o777 if path.is_dir() else 0o666)
    promote = ["promote", "tiny", "--trial", "1", "--force"]
    done = here.run(["sweep", "s.yaml", "--executor", "serial"], promote, *use(here), plain_user=True)
    assert [said.code for said in done] == [0] * len(done), done
