from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from deepcolor.config.schema import DataConfig
from deepcolor.data.cache import copied
from deepcolor.data.cache.arrays import CachedData
from deepcolor.data.cache.copied import DIGESTS_NAME, ensure_copy
from deepcolor.data.cache.index import INDEX_NAME, CacheIndex
from deepcolor.data.cache.stored import ensure_cache
from deepcolor.data.manifest import prepare
from deepcolor.errors import CorruptFileError
from deepcolor.workspace import Workspace


@pytest.fixture
def decoded(pictures: Path, workspace: Workspace) -> Path:
    manifest = prepare(pictures, name="fruit", workspace=workspace)
    return ensure_cache(workspace, manifest, DataConfig(name="fruit", size_px=64))


def as_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget which copies have been compared."""
    monkeypatch.setattr(copied, "_checked", set())


def change(file: Path) -> None:
    """Change the last byte, which is part of a picture; the length stays."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "of an earlier version"])
def test_a_copy_is_made_once_and_checked(
    decoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: bool
) -> None:
    """The copy holds the same arrays, and stays. One that was damaged afterwards is made again, whether the digests
    were noted when the pictures were decoded, or when they were copied, as for what an earlier version decoded.
    """
    if not noted:
        index = CacheIndex.model_validate_json((decoded / INDEX_NAME).read_bytes())
        files = {name: file.model_copy(update={"sha256": ""}) for name, file in index.files.items()}
        (decoded / INDEX_NAME).write_text(index.model_copy(update={"files": files}).model_dump_json())
    copy = ensure_copy(decoded, tmp_path / "scratch", say=print)
    assert copy != decoded
    ours, theirs = CachedData.open(copy), CachedData.open(decoded)
    assert torch.equal(ours.train.ab_N2HW, theirs.train.ab_N2HW)
    made = (copy / DIGESTS_NAME).stat().st_ino
    as_another_process(monkeypatch)
    assert ensure_copy(decoded, tmp_path / "scratch", say=print) == copy
    assert (copy / DIGESTS_NAME).stat().st_ino == made

    array = copy / "train_ab.npy"
    change(array)
    as_another_process(monkeypatch)
    assert ensure_copy(decoded, tmp_path / "scratch", say=print) == copy
    assert array.read_bytes() == (decoded / "train_ab.npy").read_bytes()


def test_damaged_pictures_are_not_copied(decoded: Path, tmp_path: Path) -> None:
    """Arrays that are not as they were written are refused, with the folder to remove; nothing of them stays."""
    change(decoded / "train_ab.npy")
    with pytest.raises(CorruptFileError, match="got other content"):
        ensure_copy(decoded, tmp_path / "scratch", say=print)
    assert not list((tmp_path / "scratch").rglob("*.npy"))


def test_where_nothing_can_be_copied_it_is_read_from_where_it_is(decoded: Path, tmp_path: Path) -> None:
    """A stage without pictures has nothing to copy; a folder for copies that another user could write to is not used,
    and one line says so.
    """
    said: list[str] = []
    assert ensure_copy(tmp_path, tmp_path / "scratch", say=print) == tmp_path
    (tmp_path / "open" / f"deepcolor-{os.geteuid()}").mkdir(parents=True)
    (tmp_path / "open" / f"deepcolor-{os.geteuid()}").chmod(0o777)
    assert ensure_copy(decoded, tmp_path / "open", say=said.append) == decoded
    (line,) = said
    assert "is not a folder of one's own" in line
