from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import warnings
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
import torch

from deepcolor.color import normalise_lightness, rgb_to_lab
from deepcolor.config.schema import DataConfig
from deepcolor.config.sections import AugmentConfig
from deepcolor.data.cache.arrays import CachedData, Split
from deepcolor.data.cache.stored import ensure_cache
from deepcolor.data.identity import data_digest
from deepcolor.data.images import centre_square, read_picture
from deepcolor.data.manifest import Manifest, prepare
from deepcolor.errors import CorruptFileError, DataError
from deepcolor.workspace import Workspace
from tests.processes import WAIT_S

NOTHING = AugmentConfig(
    random_crop=None,
    random_horizontal_flip=None,
    random_vertical_flip=None,
    random_rotation=None,
    random_adjust_sharpness=None,
)


@pytest.fixture
def manifest(pictures: Path, workspace: Workspace) -> Manifest:
    return prepare(pictures, name="fruit", workspace=workspace)


def config(**augment: object) -> DataConfig:
    return DataConfig(name="fruit", size_px=64, augment=NOTHING.model_copy(update=augment))


FULL = DataConfig(name="fruit", size_px=64)


def all_rows(split: Split) -> torch.Tensor:
    return torch.arange(len(split))


def test_the_arrays_hold_the_pictures(workspace: Workspace, manifest: Manifest) -> None:
    """Each row is its picture, cut square, resized, in L*a*b*, to within half precision; means are exact."""
    data = CachedData.open(ensure_cache(workspace, manifest, config()))
    assert (data.size_px, len(data.train), len(data.val), len(data.test)) == (64, 10, 1, 1)
    for split in (data.train, data.val, data.test):
        lightness_B1HW, ab_B2HW = split.batch(all_rows(split), seed=0, epoch=1, target="pixels")
        _, mean_ab_B2 = split.batch(all_rows(split), seed=0, epoch=1, target="mean")
        assert lightness_B1HW.dtype == ab_B2HW.dtype == mean_ab_B2.dtype == torch.float32
        for row, name in enumerate(split.names):
            lightness, ab = rgb_to_lab(centre_square(read_picture(manifest.source / name).rgb_HW3, 64))
            np.testing.assert_allclose(lightness_B1HW[row, 0], normalise_lightness(lightness), atol=3e-4)
            np.testing.assert_allclose(ab_B2HW[row], ab.transpose(2, 0, 1), atol=0.04)
            np.testing.assert_allclose(mean_ab_B2[row], ab.mean((0, 1)), atol=1e-4)


def test_names_are_those_of_the_manifest(workspace: Workspace, manifest: Manifest) -> None:
    """Every split holds the manifest's pictures of that split."""
    data = CachedData.open(ensure_cache(workspace, manifest, config()))
    for name, split in (("train", data.train), ("val", data.val), ("test", data.test)):
        assert set(split.names) == {file.path for file in manifest.files if file.split == name}


def test_each_augmentation_gives_one_copy_of_every_training_picture(workspace: Workspace, manifest: Manifest) -> None:
    """Originals come first, then one block for each augmentation; val and test have originals only."""
    data = CachedData.open(ensure_cache(workspace, manifest, FULL))
    count = len(data.train.names)
    assert len(data.train) == 6 * count
    assert len(data.val) == len(data.val.names)
    lightness, ab = data.train.batch(all_rows(data.train), seed=0, epoch=0, target="pixels")
    blocks = lightness.reshape(6, count, 1, 64, 64)
    original, _, mirrored, upside_down, _, sharpened = blocks
    torch.testing.assert_close(mirrored, original.flip(-1), atol=0.001, rtol=0)
    torch.testing.assert_close(upside_down, original.flip(-2), atol=0.001, rtol=0)
    assert (sharpened.diff(dim=-1).abs().mean() > original.diff(dim=-1).abs().mean()).item()
    for block in blocks[1:]:
        assert not torch.equal(block, original)
    assert np.isfinite(ab.numpy()).all()


def test_rotation_leaves_no_black_corners(workspace: Workspace, manifest: Manifest) -> None:
    """However far a picture is turned, no pixel is darker than the darkest it had."""
    train = CachedData.open(ensure_cache(workspace, manifest, config(random_rotation=180.0))).train
    lightness, _ = train.batch(all_rows(train), seed=0, epoch=0, target="mean")
    original, turned = lightness.reshape(2, len(train.names), -1).amin(dim=2)
    assert (turned > original - 0.02).all()


def test_a_cache_is_built_once(workspace: Workspace, manifest: Manifest) -> None:
    """The second call reads nothing and says nothing, even when the photos have moved away."""
    heard: list[int] = []
    folder = ensure_cache(workspace, manifest, config(), on_progress=lambda done, _: heard.append(done))
    assert heard == [8, 10, 11, 12]
    shutil.rmtree(manifest.source)
    assert ensure_cache(workspace, manifest, config(), on_progress=lambda done, _: heard.append(done)) == folder
    assert len(heard) == 4
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def test_building_again_gives_the_same_bytes(workspace: Workspace, manifest: Manifest) -> None:
    """Processes and their order leave no trace in the arrays; torch's own generator is left as it was."""
    torch.manual_seed(5)
    state = torch.get_rng_state()
    folder = ensure_cache(workspace, manifest, FULL)
    assert torch.equal(torch.get_rng_state(), state)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    ensure_cache(workspace, manifest, FULL)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_digest_names_contents_and_form_only(
    workspace: Workspace, manifest: Manifest, pictures: Path, tmp_path: Path
) -> None:
    """Another place, name or order of files: the same digest. Another picture, split, size or augmentation: another."""
    shutil.copytree(pictures, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "one" / "01.png").rename(tmp_path / "elsewhere" / "zzz.png")
    moved = prepare(tmp_path / "elsewhere", name="moved", workspace=workspace)
    digest = data_digest(manifest, FULL)
    assert len(digest) == 32
    assert data_digest(moved, FULL.model_copy(update={"name": "moved"})) == digest
    others = [
        data_digest(manifest, FULL.model_copy(update={"size_px": 128})),
        data_digest(manifest, config()),
        data_digest(manifest, config(random_crop=8)),
        data_digest(manifest, config(random_crop=9)),
        data_digest(manifest, config(random_crop=9, mode="fresh")),
        data_digest(prepare(pictures, name="other", workspace=workspace, seed=1), FULL),
    ]
    assert len({digest, *others}) == 1 + len(others)


def test_fresh_copies_are_a_function_of_seed_epoch_and_picture(workspace: Workspace, manifest: Manifest) -> None:
    """The same call gives the same copies in any batch; another epoch or seed gives others; originals never change."""
    fresh = DataConfig(name="fruit", size_px=64, augment=AugmentConfig(mode="fresh"))
    train = CachedData.open(ensure_cache(workspace, manifest, fresh)).train
    count = len(train.names)
    assert len(train) == 6 * count
    assert len(train.lightness_N1HW) == count
    rows = torch.tensor([count + 3, 0, 4 * count + 2, 5])
    lightness, ab = train.batch(rows, seed=1, epoch=2, target="pixels")
    again, _ = train.batch(rows.flip(0), seed=1, epoch=2, target="pixels")
    torch.testing.assert_close(again.flip(0), lightness, atol=0, rtol=0)
    _, means = train.batch(rows, seed=1, epoch=2, target="mean")
    torch.testing.assert_close(means, ab.mean((2, 3)))
    for seed, epoch in ((1, 3), (2, 2)):
        other, _ = train.batch(rows, seed=seed, epoch=epoch, target="pixels")
        assert torch.equal(other[1], lightness[1])
        assert torch.equal(other[3], lightness[3])
        assert not torch.equal(other[0], lightness[0])
        assert not torch.equal(other[2], lightness[2])


def test_a_fixed_batch_reads_only_the_rows_it_needs(workspace: Workspace, manifest: Manifest) -> None:
    """Rows come in the order asked for, repeated if asked twice, and are free to be written to."""
    train = CachedData.open(ensure_cache(workspace, manifest, config())).train
    rows = torch.tensor([7, 2, 2])
    lightness, ab = train.batch(rows, seed=0, epoch=0, target="pixels")
    assert torch.equal(lightness[1], lightness[2])
    assert torch.equal(ab[0], train.ab_N2HW[7].float())
    lightness.zero_()
    assert train.lightness_N1HW[7].float().mean() > 0


def test_opening_raises_no_warning(workspace: Workspace, manifest: Manifest) -> None:
    """Torch's word about arrays that cannot be written to does not reach the user."""
    folder = ensure_cache(workspace, manifest, FULL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CachedData.open(folder)


@pytest.mark.parametrize("damage", ["truncated", "missing", "index"])
def test_a_damaged_cache_is_noticed_and_built_again(workspace: Workspace, manifest: Manifest, damage: str) -> None:
    """A cut or missing array, or a spoilt index, is an error where it is opened and mended where it is made."""
    folder = ensure_cache(workspace, manifest, config())
    array = folder / "train_ab.npy"
    if damage == "truncated":
        array.write_bytes(array.read_bytes()[:-100])
    elif damage == "missing":
        array.unlink()
    else:
        (folder / "cache.json").write_text("{")
    with pytest.raises(CorruptFileError, match=r"built again"):
        CachedData.open(folder)
    assert ensure_cache(workspace, manifest, config()) == folder
    assert len(CachedData.open(folder).train) == 10


def test_changed_pictures_are_not_cached(workspace: Workspace, manifest: Manifest) -> None:
    """What is no longer what was prepared is refused before anything is built, and nothing is left behind."""
    (manifest.source / "one" / "01.png").write_bytes(b"another")
    with pytest.raises(DataError, match="changed or removed"):
        ensure_cache(workspace, manifest, config())
    cache = workspace.dataset("fruit") / "cache"
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_what_a_crash_left_is_cleared_away(workspace: Workspace, manifest: Manifest) -> None:
    """Half a cache under a temporary name is never taken for a whole one, and goes with the next build."""
    folder = ensure_cache(workspace, manifest, config())
    stale = folder.parent / ".tmp-half-built"
    shutil.copytree(folder, stale)
    shutil.rmtree(folder)
    ensure_cache(workspace, manifest, config())
    assert not stale.exists()
    assert folder.is_dir()


def test_there_must_be_a_cache(tmp_path: Path) -> None:
    """Opening a folder without arrays says what to do."""
    with pytest.raises(DataError, match="Start the sweep again"):
        CachedData.open(tmp_path)


def _build(root: str, name: str, results: multiprocessing.Queue[str]) -> None:
    from deepcolor.data.manifest import load_manifest

    workspace = Workspace.at(root)
    results.put(str(ensure_cache(workspace, load_manifest(workspace, name), FULL)))


def test_two_processes_build_one_cache(workspace: Workspace, manifest: Manifest) -> None:
    """Of two that come at once one builds and the other waits; both get the same whole cache."""
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = context.Queue()
    worker = context.Process(target=_build, args=(str(workspace.root), "fruit", results))
    worker.start()
    folder = ensure_cache(workspace, manifest, FULL)
    assert results.get(timeout=WAIT_S) == str(folder)
    worker.join()
    shared = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    ensure_cache(workspace, manifest, FULL)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == shared


def test_ctrl_c_while_decoders_start(workspace: Workspace, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at the moment a decoder has started is heard, nothing waits for ever, and the arrays can then be built."""
    # A shell starts what runs in its background with Ctrl-C ignored, and then it is rightly not heard.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    start = ForkServerProcess.start
    before = multiprocessing.active_children()

    def start_and_interrupt(process: ForkServerProcess) -> None:
        start(process)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(ForkServerProcess, "start", start_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            ensure_cache(workspace, manifest, FULL)
    assert set(multiprocessing.active_children()) <= set(before)
    assert ensure_cache(workspace, manifest, FULL).is_dir()


def test_the_index_is_plain_json(workspace: Workspace, manifest: Manifest) -> None:
    """Everything a reader needs to know of the arrays stands in one small file."""
    index = json.loads((ensure_cache(workspace, manifest, FULL) / "cache.json").read_text())
    assert index["digest"] == data_digest(manifest, FULL)
    assert index["augmentations"][0] == ["random_crop", 8.0]
    assert set(index["files"]) == {
        f"{s}_{p}.npy" for s in ("train", "val", "test") for p in ("lightness", "ab", "mean_ab")
    }
