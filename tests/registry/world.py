"""A workspace with a data set, three tiny networks of different worth, and their runs in MLflow."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from deepcolor.config.schema import AugmentConfig, DataConfig, ModelConfig, Stage, Sweep
from deepcolor.data.manifest import prepare
from deepcolor.data.stored import ensure_cache
from deepcolor.inference.package import MODEL_CODE
from deepcolor.models.description import ModelDescription
from deepcolor.models.modelfile import save_model
from deepcolor.models.networks import build
from deepcolor.registry.promote import Candidate, Promotion, promote
from deepcolor.tracking.projection import MlflowTracker
from deepcolor.training.metrics import measure
from deepcolor.workspace import Workspace
from tests.tracking.building import make_provenance, make_sweep, new_store, study_record, trial_record

SIZE_PX = 64
_PHOTOS = 30
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
    """Colorizers, the best one first."""
    sweep: Sweep

    def candidate(self, number: int) -> Candidate:
        """The trial whose weights are the `number`-th best."""
        return Candidate(
            stage="colorizer",
            model_folder=self.models[number],
            cache_folder=self.cache,
            study=self.sweep.study,
            trial=number,
            params={"lr": 1e-3, "feature_maps": 3},
            data_digest=self.cache.name,
            parent="regressor@1",
        )

    def promote(self, number: int, *, force: bool = False) -> Promotion:
        """Promote it."""
        return promote(self.candidate(number), tracking_uri=self.uri, model_code=MODEL_CODE, force=force, device="cpu")

    def copy(self, root: Path) -> World:
        """A second one like this, with a registry of its own and the same runs."""
        shutil.copytree(self.root / "mlruns", root / "mlruns")
        world = dataclasses.replace(self, root=root, uri=f"sqlite:///{root / 'mlruns' / 'mlflow.db'}")
        # Stored anew, not copied: MLflow keeps absolute paths, and remembers by run id where artifacts go.
        _project(world)
        return world


def build_world(root: Path, *, template: Path) -> World:
    """Make the data set and the models; their runs come with `World.copy`."""
    workspace = Workspace.at(root)
    new_store(template, root)
    draw_photos(root / "photos", count=_PHOTOS)
    config = DataConfig(name="faces", size_px=SIZE_PX, augment=_AUGMENT_NOTHING)
    cache = ensure_cache(workspace, prepare(root / "photos", name="faces", workspace=workspace, min_side_px=32), config)
    folders = [make_model(root / "results" / str(seed), seed=seed) for seed in range(3)]
    folders.sort(key=lambda folder: measure(folder, cache, split="test", device="cpu").mse)
    return World(root, workspace.mlflow_uri, cache, tuple(folders), make_sweep(data=config))


def make_model(folder: Path, *, seed: int = 0, stage: Stage = "colorizer", size_px: int = SIZE_PX) -> Path:
    """An untrained network in a model folder."""
    torch.manual_seed(seed)
    form = ModelConfig(feature_maps=3)
    description = ModelDescription(
        stage=stage,
        model=form,
        size_px=size_px,
        deepcolor_version="0.1.0",
        trajectory=f"{seed:032x}",
        epoch=3,
        data_digest="d" * 32,
        parent="regressor@1" if stage == "colorizer" else None,
    )
    network = build(stage, form, size_px)
    save_model(folder, network, description)
    return folder


def draw_photos(folder: Path, *, count: int) -> None:
    """Colourful pictures, each another one."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:72, 0:80]
    for index in range(count):
        waves = rng.random((3, 3)) * 0.3 + 0.05
        phases = [np.sin(rows * waves[c, 0] + columns * waves[c, 1] + 9 * waves[c, 2]) for c in range(3)]
        rgb = np.stack([128 + 90 * phase for phase in phases], axis=-1).astype(np.uint8)
        Image.fromarray(rgb).save(folder / f"{index:03d}.jpg", quality=95)


def _project(world: World) -> None:
    tracker = MlflowTracker(tracking_uri=world.uri)
    tracker.put_study(study_record(world.sweep, provenance=make_provenance(world.sweep)))
    for number, folder in enumerate(world.models):
        tracker.put_trial(trial_record(world.sweep, number, result=folder))
    assert tracker.flush(60)
    tracker.close()
