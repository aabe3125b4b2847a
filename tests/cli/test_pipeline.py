from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from deepcolor.app.how import How
from deepcolor.app.pipeline import run_pipeline
from deepcolor.app.succession import check_succession
from deepcolor.config.load import load_pipeline
from deepcolor.config.schema import DataConfig, InitConfig, Sweep
from deepcolor.errors import ModelError
from deepcolor.registry.promotion import Promotion
from deepcolor.search.study.storage import StudyStorage
from deepcolor.workspace import Workspace
from tests.registry.conftest import base_world, world  # noqa: F401  # fixtures
from tests.registry.world import World
from tests.reporting import Heard
from tests.tracking.building import make_sweep

PIPELINE = """
pipeline: whole
sweeps:
  - study: painted
    stage: colorizer
    data: &faces {name: faces, size_px: 64, augment: {random_crop: null, random_vertical_flip: null,
                  random_rotation: null, random_adjust_sharpness: null, random_horizontal_flip: null}}
    model: {feature_maps: 2}
    training: &short {epochs: 1}
    search: &still {space: {lr: [1.0e-9]}}
  - study: moved
    stage: transfer
    data: *faces
    init: {init_from: colorizer@champion}
    training: *short
    search: *still
"""
"""Nothing is learned by a learning rate of 1e-9, so no stage has a worthy champion."""


def test_a_pipeline_goes_on_without_a_champion_where_it_can(how: How) -> None:
    """A stage without a worthy champion ends the pipeline before one that starts from it, and is no obstacle to one
    that does not; nothing is trained twice.
    """
    path = how.workspace.root / "pipeline.yaml"
    path.write_text(PIPELINE)
    with pytest.raises(ModelError, match="moved starts from colorizer@champion, and there is none: colorizer@1") as end:
        run_pipeline(load_pipeline(path), how)
    assert "no better than predicting the training mean" in str(end.value)
    assert "deepcolor promote painted --force" in str(end.value)
    assert StudyStorage(how.workspace).names() == ["painted"]
    assert repr(StudyStorage(how.workspace).load("painted")) == "<study painted: colorizer on faces, 1 trial>"
    done = run_pipeline(load_pipeline(path, ["transfer.init.init_from=study:painted"]), how)
    assert [result.promotion.verdict for result in done] == ["no better than the mean"] * 2
    assert [result.summary.trained_now for result in done] == [0, 1]


def test_a_stage_starts_from_the_pipelines_own_champion(world: World) -> None:  # noqa: F811
    """The champion may be an older one of the same data set, which is said; one of another data set is refused, with
    what to write instead.
    """
    reporter = Heard()
    how = How(Workspace.at(world.root), world.uri, reporter=reporter)
    fruits: dict[str, Any] = {"data": "fruits", "data_digest": "f" * 32}
    of_fruits = world.sweep.model_copy(update={"data": DataConfig(name="fruits")})

    def check(promotion: Promotion, done: Sweep = world.sweep, init_from: str = "colorizer@champion") -> None:
        transfer = make_sweep("moved", stage="transfer", init=InitConfig(init_from=init_from))
        check_succession(transfer, [(done, promotion)], how)

    first = world.promote(1)
    check(first)
    check(world.promote(2))
    assert reporter.notes == ["moved: starts from colorizer@1, which stays the champion of faces"]
    stranger = world.promote(0, **fruits)
    with pytest.raises(ModelError, match="must start from a colorizer of fruits, as grid before it") as refused:
        check(stranger, of_fruits)
    assert "which is colorizer@1, of faces" in str(refused.value)
    assert "--as fruits and -o transfer.init.init_from=colorizer-fruits@champion" in str(refused.value)
    check(stranger, of_fruits, "study:grid")
    own = world.promote(0, name="fruits", **fruits)
    with pytest.raises(ModelError, match=r"Name the one made here: .*init_from=colorizer-fruits@champion"):
        check(own, of_fruits)
    check(own, of_fruits, "colorizer-fruits@champion")
    check(dataclasses.replace(own), of_fruits, "colorizer-fruits@1")
