"""A workspace with a data set, tiny networks of different worth, and their runs in MLflow."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow.tracking._tracking_service import utils
from PIL import Image
from torch.nn.functional import mse_loss

from deepcolor.config.schema import AugmentConfig, DataConfig, ModelConfig, Sweep
from deepcolor.data.cache.arrays import CachedData
from deepcolor.data.cache.index import INDEX_NAME
from deepcolor.data.cache.stored import ensure_cache
from deepcolor.data.manifest import prepare
from deepcolor.inference.model_code import MODEL_CODE
from deepcolor.models.description import ModelDescription
from deepcolor.models.modelfile import save_model
from deepcolor.models.networks import Network, Target, build
from deepcolor.registry.promote import Candidate, Promotion, promote
from deepcolor.tracking.projection import MlflowTracker
from deepcolor.workspace import Workspace
from tests.shared import shared
from tests.tracking.building import (
    make_provenance,
    make_sweep,
    new_store,
    study_record,
    template_database,
    trial_record,
)

SIZE_PX = 64
_PHOTOS = 30
_SPLIT = (0.6, 0.1, 0.3)
"""Enough test pictures that a difference can be told."""
_FORM = ModelConfig(feature_maps=3, skip_connections=True)
_STEPS = (20, 30, 40)
"""Steps of training after which a model is kept."""
_BATCH = 6
_AUGMENT_NOTHING = AugmentConfig(
    random_crop=None,
    random_horizontal_flip=None,
    random_vertical_flip=None,
    random_rotation=None,
    random_adjust_sharpness=None,
)


@dataclass(frozen=True)
class World:
    """What the tests of the registry stand on."""

    root: Path
    uri: str
    cache: Path
    models: tuple[Path, ...]
    """Colorizers, the best one first; the last of them has learned nothing."""
    sweep: Sweep

    def candidate(self, number: int) -> Candidate:
        """The trial whose weights are the `number`-th best."""
        return Candidate(
            stage="colorizer",
            model_folder=self.models[number],
            data_folder=self.cache,
            section=self.sweep.data,
            study=self.sweep.study,
            trial=number,
            params={"lr": 1e-3, "feature_maps": 3},
            data="faces",
            data_digest=self.cache.name,
            parent="regressor@1",
        )

    def promote(self, number: int, *, force: bool = False, name: str | None = None, **changed: Any) -> Promotion:
        """Promote it, with other words about it where some are given."""
        candidate = dataclasses.replace(self.candidate(number), **changed)
        return promote(candidate, tracking_uri=self.uri, model_code=MODEL_CODE, force=force, name=name, device="cpu")

    def copy(self, root: Path) -> World:
        """A second one like this, with a registry of its own and the same runs."""
        shutil.copytree(self.root / "mlruns", root / "mlruns")
        utils._artifact_repos_cache.clear()  # MLflow remembers by run id where artifacts go.
        return dataclasses.replace(self, root=root, uri=f"sqlite:///{root / 'mlruns' / 'mlflow.db'}")


def shared_world(factory: pytest.TempPathFactory) -> World:
    """The one that all tests copy."""
    database = template_database(factory)

    def make(folder: Path) -> None:
        (folder / "world.pickle").write_bytes(pickle.dumps(_build(folder, database)))

    world: World = pickle.loads((shared(factory, "world", make) / "world.pickle").read_bytes())
    return world


def _build(root: Path, template: Path) -> World:
    """Make the data set, the models and their runs."""
    workspace = Workspace.at(root)
    new_store(template, root)
    draw_photos(root / "photos", count=_PHOTOS)
    config = DataConfig(name="faces", size_px=SIZE_PX, augment=_AUGMENT_NOTHING)
    manifest = prepare(root / "photos", name="faces", workspace=workspace, min_side_px=32, split=_SPLIT)
    cache = ensure_cache(workspace, manifest, config)
    untrained = make_model(root / "results" / "untrained", seed=3)
    models = (*train_models(root, cache), untrained)
    world = World(root, workspace.mlflow_uri, cache, models, make_sweep(data=config))
    project(world)
    return world


def train_models(root: Path, cache: Path) -> list[Path]:
    """Three stages of one training, the last one first: each is better than the one before it on every picture."""
    train = CachedData.open(cache).train
    torch.manual_seed(0)
    network = build("pixels", _FORM, SIZE_PX)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    folders = []
    for step in range(1, _STEPS[-1] + 1):
        rows = (torch.arange(_BATCH) + step * _BATCH) % len(train)
        lightness_B1HW, ab_B2HW = train.batch(rows, seed=0, epoch=0, target="pixels")
        optimizer.zero_grad()
        mse_loss(network.train()(lightness_B1HW), network.native_target(ab_B2HW)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step in _STEPS:
            folders.append(save(root / "results" / str(step), network.eval()))
    return folders[::-1]


def make_model(
    folder: Path, *, seed: int = 0, stage: str = "colorizer", size_px: int = SIZE_PX, form: ModelConfig = _FORM
) -> Path:
    """An untrained network in a model folder."""
    torch.manual_seed(seed)
    target: Target = "mean" if stage == "regressor" else "pixels"
    return save(folder, build(target, form, size_px), stage=stage, size_px=size_px)


def save(folder: Path, network: Network, *, stage: str = "colorizer", size_px: int = SIZE_PX) -> Path:
    """Write a network into a model folder."""
    description = ModelDescription(
        stage=stage,
        model=network.model,
        size_px=size_px,
        deepcolor_version="0.1.0",
        trajectory="0" * 32,
        epoch=3,
        data_digest="d" * 32,
        parent="regressor@1" if stage == "colorizer" else None,
    )
    save_model(folder, network, description)
    return folder


def draw_photos(folder: Path, *, count: int) -> None:
    """Colourful pictures, each another one, in which the bright is yellow and the dark is blue."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:72, 0:80]
    for index in range(count):
        waves = rng.random((2, 3)) * 0.3 + 0.05
        light = sum(np.sin(rows * wave[0] + columns * wave[1] + 9 * wave[2]) for wave in waves) / 4 + 0.5
        rgb = np.stack([30 + 210 * light, 40 + 180 * light, 140 - 100 * light], axis=-1).astype(np.uint8)
        Image.fromarray(rgb).save(folder / f"{index:03d}.jpg", quality=95)


def project(world: World) -> None:
    """Store the models' runs in the world's MLflow."""
    tracker = MlflowTracker(tracking_uri=world.uri)
    tracker.put_study(study_record(world.sweep, provenance=make_provenance(world.sweep)))
    for number, folder in enumerate(world.models):
        tracker.put_trial(trial_record(world.sweep, number, result=folder))
    assert tracker.flush(60)
    tracker.close()


def with_fewer_pictures(cache: Path, folder: Path, *, count: int) -> Path:
    """A copy of a cache whose test split has the first few pictures only."""
    shutil.copytree(cache, folder)
    index = json.loads((folder / INDEX_NAME).read_bytes())
    for name in index["files"]:
        if name.startswith("test_"):
            np.save(folder / name, np.load(folder / name)[:count])
            index["files"][name]["bytes"] = (folder / name).stat().st_size
    for key in ("names", "sha256s"):
        index[key]["test"] = index[key]["test"][:count]
    (folder / INDEX_NAME).write_text(json.dumps(index))
    return folder
