"""Trainings that begin with an encoder that others have trained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from deepcolor.config.load import sweep_of
from deepcolor.config.schema import ModelConfig, Sweep
from deepcolor.errors import ConfigError, ModelError
from deepcolor.fields.contents import content_of
from deepcolor.models import load_model
from deepcolor.models.description import read_description
from deepcolor.models.encoder_weights import begin_with
from deepcolor.models.networks import Colorizer, build, load_encoder
from deepcolor.training.advance import advance
from deepcolor.training.trajectory import InitWeights, TrajectoryPaths
from tests.models.test_encoders import published
from tests.training.conftest import Prepared


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The content of a file with weights of the smallest encoder."""
    path = tmp_path_factory.mktemp("published") / "lite0.pth"
    torch.save(published("efficientnet_lite0"), path)
    return content_of(path)


def test_a_known_encoder_trains_alike_however_it_is_cut(prepared: Prepared, weights: str, tmp_path: Path) -> None:
    """A frozen encoder begins with the weights of its file and keeps them; cut after its first epoch, in a place where
    the weights lie no more, the training ends in the same bytes; and the model holds all that it needs.
    """
    options: dict[str, Any] = {
        "stage": "colorizer",
        "encoder": "efficientnet_lite0",
        "encoder_weights": weights,
        "decoder": "bilinear",
        "decoder_width": 16,
        "skip_connections": True,
        "freeze": "encoder",
        "batch_size": 16,
        "ema": 0.9,
    }
    whole = prepared.segment(tmp_path / "whole" / "trajectories", to_epoch=2, **options)
    at_once = advance(whole)
    cut = tmp_path / "cut"
    advance(prepared.segment(cut / "trajectories", to_epoch=1, **options))
    shutil.rmtree(cut / ".weights")
    in_parts = advance(prepared.segment(cut / "trajectories", to_epoch=2, **options))

    paths = [TrajectoryPaths(s.store, s.trajectory.digest).checkpoint(2) for s in (whole,)]
    assert paths[0].read_bytes() == TrajectoryPaths(cut / "trajectories", in_parts.digest).checkpoint(2).read_bytes()
    assert at_once.result is not None
    assert in_parts.result is not None
    shutil.rmtree(tmp_path / "whole" / ".weights")
    network, description = load_model(at_once.result)
    kept = ModelConfig(encoder="efficientnet_lite0", encoder_weights=weights)
    assert description.model.encoder_weights == kept.encoder_weights
    begun = build("mean", kept, 64)
    begin_with(begun.encoder_part, kept, tmp_path / "again")
    given = begun.encoder_part.state_dict()
    assert all(torch.allclose(value, given[name]) for name, value in network.encoder_part.state_dict().items())


def test_the_weights_are_part_of_the_name(prepared: Prepared, weights: str, tmp_path: Path) -> None:
    """Trainings that begin with other weights have other names; where published ones are meant, by their checksum."""
    known = {"stage": "colorizer", "encoder": "efficientnet_lite0"}
    forms: list[dict[str, Any]] = [
        {"stage": "colorizer"},
        known,
        *({**known, "encoder_weights": each} for each in (weights, "none")),
    ]
    trajectories = [prepared.segment(tmp_path, **form).trajectory for form in forms]
    assert len({trajectory.digest for trajectory in trajectories}) == len(forms)
    identities = [trajectory.identity() for trajectory in trajectories]
    assert [identity.get("also") for identity in identities[1:]] == [
        {"encoder_weights": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"},
        {"encoder_weights": weights.removeprefix("sha256:")},
        None,
    ]
    assert "also" not in identities[0]


def test_a_colorizer_takes_a_regressors_known_encoder(prepared: Prepared, tmp_path: Path) -> None:
    """A regressor with a known encoder has one layer behind its means, and hands the encoder on as the reports' is; one
    of another kind is refused.
    """
    form: dict[str, Any] = {"encoder": "efficientnet_lite0", "encoder_weights": "none"}
    outcome = advance(prepared.segment(tmp_path, stage="regressor", to_epoch=1, batch_size=16, **form))
    assert outcome.result is not None
    regressor, _ = load_model(outcome.result)
    assert dict(regressor.named_parameters())["mean_colour.weight"].shape == (2, 320)
    colorizer = build("pixels", ModelConfig.model_validate(form), 64)
    load_encoder(colorizer, regressor)
    state = regressor.encoder_part.state_dict()
    assert all(value.equal(state[name]) for name, value in colorizer.encoder_part.state_dict().items())
    init = InitWeights(read_description(outcome.result).weights_sha256, outcome.result, "regressor@1")
    with pytest.raises(ModelError, match="must be those of the same encoder, the reports'; got efficientnet_lite0"):
        advance(prepared.segment(tmp_path, stage="colorizer", init=init, init_from="regressor@1"))


def test_an_encoder_can_begin_anew_while_the_rest_is_taken_over(
    prepared: Prepared, weights: str, tmp_path: Path
) -> None:
    """Trained further from a colorizer with `encoder_from: weights`, a transfer begins with that one's decoder and the
    encoder's first weights; the reports' encoder has none.
    """
    form: dict[str, Any] = {"encoder": "efficientnet_lite0", "encoder_weights": weights}
    form |= {"decoder": "bilinear", "decoder_width": 16, "batch_size": 16}
    parents = [
        advance(prepared.segment(tmp_path, stage="colorizer", to_epoch=1, **options)).result for options in (form, {})
    ]
    assert all(parents)
    refs = [InitWeights(read_description(each).weights_sha256, each, "colorizer@1") for each in parents if each]
    again: dict[str, Any] = {"stage": "transfer", "init_from": "colorizer@1", "encoder_from": "weights", "to_epoch": 1}
    anew = prepared.segment(tmp_path, init=refs[0], freeze="encoder", **again, **form, lr=1e-9)
    same = prepared.segment(
        tmp_path, init=refs[0], freeze="encoder", **{**again, "encoder_from": "model"}, **form, lr=1e-9
    )
    assert anew.trajectory.digest != same.trajectory.digest
    result = advance(anew).result
    assert result is not None
    assert parents[0] is not None
    (begun, _), (parent, _) = load_model(result), load_model(parents[0])
    published = build("mean", ModelConfig(encoder="efficientnet_lite0", encoder_weights=weights), 64)
    begin_with(published.encoder_part, published.model, tmp_path / "again")
    given = published.encoder_part.state_dict()
    assert all(value.equal(given[name]) for name, value in begun.encoder_part.state_dict().items())
    assert not all(value.equal(given[name]) for name, value in parent.encoder_part.state_dict().items())
    decoders = [
        {name: value for name, value in each.named_parameters() if "decoder" in name} for each in (begun, parent)
    ]
    assert all(value.allclose(decoders[1][name]) for name, value in decoders[0].items())
    with pytest.raises(ModelError, match="encoder_from: weights needs a known encoder"):
        advance(prepared.segment(tmp_path, init=refs[1], **again))


def test_a_colorizer_begins_with_the_mean_colour_that_a_regressor_tells(prepared: Prepared, tmp_path: Path) -> None:
    """With a hint, a picture's first colours are nearly its regressor's one colour; a regressor whose output has
    another scale hands on its encoder alone.
    """
    form: dict[str, Any] = {"encoder": "efficientnet_lite0", "encoder_weights": "none", "output_activation": "tanh"}
    outcome = advance(prepared.segment(tmp_path, to_epoch=1, batch_size=16, output_scale=110, **form))
    assert outcome.result is not None
    regressor, _ = load_model(outcome.result)
    lightness_B1HW = torch.rand(3, 1, 64, 64)
    for scale, differs in ((110, 0.01), (None, 1.0)):
        model = ModelConfig(**form, decoder="bilinear", decoder_width=16, mean_hint=True, output_scale=scale)
        colorizer = build("pixels", model, 64).eval()
        assert isinstance(colorizer, Colorizer)
        load_encoder(colorizer, regressor)
        with torch.no_grad():
            told, painted = regressor(lightness_B1HW), colorizer(lightness_B1HW)
        assert (painted - told[:, :, None, None]).abs().max() < differs
        assert (colorizer.mean_colour.weight.abs().sum() > 0) == (scale == 110)


def test_a_regressor_may_be_the_mean_of_what_it_paints(prepared: Prepared, tmp_path: Path) -> None:
    """It is trained on colours at a quarter of the size, the same in parts as at once; its answer is their mean, that
    of a picture and its mirror image where it is asked for; and a colorizer of the same form goes on from its decoder.
    """
    form: dict[str, Any] = {"encoder": "efficientnet_lite0", "encoder_weights": "none", "output_activation": "tanh"}
    decoding: dict[str, Any] = {"decoder": "bilinear", "decoder_width": 32, "skip_connections": True}
    options = {**form, **decoding, "head": "pixel_mean", "flip_at_test": True, "batch_size": 16, "loss": "smooth_l1"}
    whole = prepared.segment(tmp_path / "whole", to_epoch=2, **options)
    at_once = advance(whole)
    advance(prepared.segment(tmp_path / "cut", to_epoch=1, **options))
    advance(prepared.segment(tmp_path / "cut", to_epoch=2, **options))
    paths = [TrajectoryPaths(tmp_path / name, at_once.digest).checkpoint(2) for name in ("whole", "cut")]
    assert paths[0].read_bytes() == paths[1].read_bytes()

    assert at_once.result is not None
    regressor, _ = load_model(at_once.result)
    regressor.eval()
    lightness_B1HW = torch.rand(3, 1, 64, 64)
    with torch.no_grad():
        painted = [regressor.trained(each) for each in (lightness_B1HW, lightness_B1HW.flip(3))]
        told = regressor(lightness_B1HW)
    assert painted[0].shape == (3, 2, 16, 16)
    assert told.allclose((painted[0].mean((2, 3)) + painted[1].mean((2, 3))) / 2)

    for other, same in ((decoding, True), ({**decoding, "skip_connections": False}, False)):
        colorizer = build("pixels", ModelConfig(**form, **other), 64)
        load_encoder(colorizer, regressor)
        weights, given = (dict(network.named_parameters()) for network in (colorizer, regressor))
        steps = [name for name in given if name.startswith("decoder.steps")]
        assert len(steps) == 3 * 6
        assert (
            all(weights[name].equal(given[name]) for name in steps if ".1." not in name and ".4." not in name) == same
        )
        assert weights["decoder.steps.4.0.weight"].shape[0] == 16


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"model": {"head": "bins"}}, "bins needs another decoder"),
        (
            {"model": {"head": "bins", "decoder": "nearest"}, "training": {"saturation_weight": 0.1}},
            "saturation_weight is of the regression alone",
        ),
        ({"model": {"head": "pixel_mean"}}, "must be regression or bins in this stage; got pixel_mean"),
        ({"stage": "regressor", "model": {"head": "bins"}}, "must be regression or pixel_mean in this stage; got bins"),
        ({"stage": "regressor", "model": {"head": "pixel_mean"}}, "pixel_mean needs another decoder"),
        (
            {
                "stage": "regressor",
                "model": {"head": "pixel_mean", "decoder": "nearest"},
                "training": {"saturation_weight": 0.1},
            },
            "saturation_weight is of the colorizers alone",
        ),
        (
            {"stage": "regressor", "model": {"decoder_width": 16}},
            "a regressor has a decoder with head: pixel_mean only, so decoder_width means nothing to it",
        ),
        ({"model": {"mean_hint": True}}, "mean_hint needs a known encoder"),
        (
            {"model": {"mean_hint": True, "encoder": "resnet18", "head": "bins", "decoder": "nearest"}},
            "mean_hint is of the regression alone",
        ),
        ({"data": {"name": "d", "size_px": 64}, "training": {"half_size_share": 0.5}}, "must be a multiple of 64"),
        ({"stage": "regressor", "training": {"half_size_share": 0.5}}, "the reports' regressor takes one size only"),
        ({"init": {"freeze": "encoder"}}, "freezing needs weights to start from"),
        ({"init": {"encoder_from": "weights"}}, "needs a model to take the rest from; got init_from: null"),
        (
            {
                "init": {"encoder_from": "weights", "init_from": "regressor@1"},
                "model": {"encoder": "resnet18", "encoder_weights": "none"},
            },
            "needs weights to begin with",
        ),
        (
            {"init": {"freeze": "encoder"}, "model": {"encoder": "resnet18", "encoder_weights": "none"}},
            "freezing needs weights to start from",
        ),
        ({"data": {"name": "d", "augment": {"geometric": True}}}, "geometric augmentation is drawn in every epoch"),
    ],
)
def test_what_cannot_go_together_is_refused(fields: dict[str, Any], rule: str) -> None:
    """What no training could do is refused when the sweep is read."""
    sweep = {"study": "s", "stage": "colorizer", "data": {"name": "d"}, "search": {}, **fields}
    with pytest.raises(ConfigError, match=rule):
        sweep_of(sweep)


def test_freezing_takes_published_weights_for_a_start() -> None:
    """An encoder with weights of its own can be frozen without another model, in every stage."""
    for stage in ("regressor", "colorizer"):
        sweep = {"study": "s", "stage": stage, "data": {"name": "d"}, "search": {}}
        given = {**sweep, "model": {"encoder": "resnet18"}, "init": {"freeze": "encoder"}}
        assert Sweep.model_validate(given).init.freeze == "encoder"
