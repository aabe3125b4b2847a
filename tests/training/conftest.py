from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from deepcolor.config.schema import (
    AugmentConfig,
    DataConfig,
    InitConfig,
    ModelConfig,
    Setting,
    TrainingConfig,
)
from deepcolor.data.cache.arrays import CachedData
from deepcolor.data.cache.stored import ensure_cache
from deepcolor.data.drawn import draw_set
from deepcolor.data.manifest import load_manifest, prepare
from deepcolor.training.trajectory import InitWeights, Segment, Trajectory
from deepcolor.workspace import Workspace
from tests.shared import shared

_ONE_COPY = AugmentConfig(
    random_crop=None, random_vertical_flip=None, random_rotation=None, random_adjust_sharpness=None
)


@dataclass(frozen=True)
class Prepared:
    """A small set of drawn faces, decoded at 64 px."""

    cache: Path
    config: DataConfig
    digest: str

    def open(self) -> CachedData:
        return CachedData.open(self.cache)

    def segment(
        self,
        store: Path,
        *,
        stage: str = "regressor",
        to_epoch: int = 6,
        patience: int | None = None,
        **options: Any,
    ) -> Segment:
        """A segment of a tiny training; options are fields of the model, the training, the init, or the segment."""

        def taken(model: type[Any]) -> dict[str, Any]:
            return {name: options.pop(name) for name in list(options) if name in model.model_fields}

        init_weights: InitWeights | None = options.pop("init", None)
        setting = Setting(
            stage=stage,
            data=self.config,
            model=ModelConfig(**{"feature_maps": 2, **taken(ModelConfig)}),
            training=TrainingConfig(**{"epochs": 6, "batch_size": 8, "lr": 3e-3, **taken(TrainingConfig)}),
            init=InitConfig(**taken(InitConfig)),
            code=options.pop("setting_code", {}),
        )
        trajectory = Trajectory(setting=setting, data_digest=self.digest, init=init_weights)
        segment = Segment(trajectory, to_epoch=to_epoch, patience=patience, store=store, cache=self.cache, device="cpu")
        return replace(segment, **options)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Faces, each with a mirrored copy."""
    return prepare_drawn(tmp_path_factory, "faces", _ONE_COPY)


@pytest.fixture(scope="session")
def prepared_fresh(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Faces whose copies are drawn anew in every epoch."""
    rotated = _ONE_COPY.model_copy(update={"random_rotation": 15.0, "mode": "fresh"})
    return prepare_drawn(tmp_path_factory, "fresh-faces", rotated)


@pytest.fixture(scope="session")
def prepared_geometric(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Faces that are changed themselves in every epoch."""
    return prepare_drawn(tmp_path_factory, "geometric-faces", AugmentConfig(mode="fresh", geometric=True))


def prepare_drawn(
    factory: pytest.TempPathFactory, name: str, augment: AugmentConfig, *, count: int = 30, size_px: int = 64
) -> Prepared:
    """Draw faces and decode them, once for all processes of the suite."""
    config = DataConfig(name="faces", size_px=size_px, augment=augment)

    def make(root: Path) -> None:
        draw_set("faces", root / "pictures", count=count, size_px=size_px, seed=7)
        workspace = Workspace.at(root).create()
        ensure_cache(workspace, prepare(root / "pictures", name="faces", workspace=workspace), config)

    workspace = Workspace.at(shared(factory, name, make))
    cache = ensure_cache(workspace, load_manifest(workspace, "faces"), config)
    return Prepared(cache=cache, config=config, digest=CachedData.open(cache).digest)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks are quickest on one thread, and the machine may be shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
