from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from deepcolor.coloring.base import PICTURE_METRICS
from deepcolor.coloring.measuring import baseline_errors, coloured, evaluate, grey, measure, picture_metrics
from deepcolor.config.schema import ModelConfig
from deepcolor.errors import ModelError
from deepcolor.models import build
from deepcolor.models.networks import Regressor, Target
from deepcolor.training.advance import advance
from deepcolor.training.conditions import Conditions
from tests.training.conftest import Prepared

CPU = torch.device("cpu")


def test_mse_agrees_with_the_definition(prepared: Prepared) -> None:
    """The MSE is that of the outputs against (value + 128) / 255, channel by channel, whatever the batch size."""
    val = prepared.open().val
    network = build("pixels", ModelConfig(feature_maps=2), 64).eval()
    with torch.inference_mode():
        output = network(val.lightness_N1HW.float()).double().numpy()
    truth = (val.ab_N2HW.double().numpy() + 128) / 255
    expected = ((output - truth) ** 2).mean(axis=(0, 2, 3))

    for batch_size in (1, 2, 100):
        figures = evaluate(network, val, device=CPU, batch_size=batch_size)
        assert figures["mse_a"] == pytest.approx(expected[0], rel=1e-5)
        assert figures["mse_b"] == pytest.approx(expected[1], rel=1e-5)
        assert figures["mse"] == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize("target", ["mean", "pixels"])
def test_units_do_not_depend_on_the_output_activation(target: Target, prepared: Prepared) -> None:
    """Sigmoid and tanh networks that predict the same colour have the same MSE."""
    figures = []
    for output_activation in ("sigmoid", "tanh"):
        model = ModelConfig(feature_maps=1, output_activation=output_activation)
        network = build(target, model, 64)
        state = network.state_dict()
        last = "mean_colour" if target == "mean" else "decoder.last"
        network.load_state_dict({name: value * 0 if name.startswith(last) else value for name, value in state.items()})
        figures.append(evaluate(network, prepared.open().val, device=CPU))
    assert figures[0] == pytest.approx(figures[1], rel=1e-5)


def test_picture_figures_agree_with_scikit_image(prepared: Prepared) -> None:
    """PSNR and SSIM are those of an independent implementation, pictures averaged."""
    val = prepared.open().val
    network = build("pixels", ModelConfig(feature_maps=2), 64)
    truth, guess = coloured(network, val, rows=torch.arange(len(val)))
    pairs = list(zip(guess, truth, strict=True))
    psnr = [peak_signal_noise_ratio(t, g, data_range=1.0) for g, t in pairs]  # type: ignore[no-untyped-call]
    ssim = [
        structural_similarity(  # type: ignore[no-untyped-call]
            t, g, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for g, t in pairs
    ]
    figures = picture_metrics(network, val, device=CPU, batch_size=2)

    assert figures["psnr_db"] == pytest.approx(np.mean(psnr), rel=1e-4)
    assert figures["ssim"] == pytest.approx(np.mean(ssim), abs=1e-4)
    assert figures["colourfulness"] > 0


def test_a_regressors_colour_is_painted_over_the_picture(prepared: Prepared) -> None:
    """For a regressor the predicted picture has one a*, b* everywhere, so its figures compare with a colorizer's."""
    val = prepared.open().val
    network = build("mean", ModelConfig(feature_maps=1), 64)
    assert isinstance(network, Regressor)
    truth, guess = coloured(network, val, rows=torch.arange(2))
    lightness = grey(val, rows=torch.arange(2))

    assert lightness.shape == truth.shape == guess.shape == (2, 64, 64, 3)
    assert np.ptp(lightness, axis=-1).max() < 1e-3
    assert set(picture_metrics(network, val, device=CPU)) == set(PICTURE_METRICS)


@pytest.mark.parametrize("stage", ["regressor", "colorizer"])
def test_measure_of_a_saved_model(stage: str, prepared: Prepared, tmp_path: Path) -> None:
    """Under the conditions of its training a result folder gives, to the last bit, the figures that this recorded,
    whatever torch is set to elsewhere; the errors of the pictures average to them.
    """
    segment = dataclasses.replace(prepared.segment(tmp_path, stage=stage, to_epoch=2), threads=2)
    outcome = advance(segment)
    assert outcome.result is not None
    conditions = Conditions.of(segment.trajectory.setting.training, threads=2)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measured = measure(outcome.result, prepared.cache, split="val", device="cpu", conditions=conditions)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    test = measure(outcome.result, prepared.cache, device="cpu")

    assert measured.mse == outcome.history[-1].metrics["val/mse"]
    assert {name: getattr(measured, name) for name in PICTURE_METRICS} == outcome.metrics
    assert np.mean(test.per_image_mse) == pytest.approx(test.mse)
    assert test.images == len(test.per_image_mse) == len(prepared.open().test)


def test_a_model_for_another_size_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    """A model is measured on data of its own size only."""
    outcome = advance(prepared.segment(tmp_path, to_epoch=1))
    assert outcome.result is not None
    description = outcome.result / "model.json"
    description.write_text(description.read_text().replace('"size_px": 64', '"size_px": 128'))
    with pytest.raises(ModelError):
        measure(outcome.result, prepared.cache, device="cpu")


def test_the_baseline_is_the_training_mean(prepared: Prepared) -> None:
    """The baseline is the error of the training mean, against means for a regressor and pixels for the others."""
    data = prepared.open()
    mean = (data.train.ab_N2HW.double().numpy().mean(axis=(0, 2, 3)) + 128) / 255
    pixels = (data.test.ab_N2HW.double().numpy() + 128) / 255

    expected = ((pixels - mean[:, None, None]) ** 2).mean()
    assert np.mean(baseline_errors(prepared.cache, "pixels")) == pytest.approx(expected, rel=1e-3)
    expected = ((pixels.mean(axis=(2, 3)) - mean) ** 2).mean()
    assert np.mean(baseline_errors(prepared.cache, "mean")) == pytest.approx(expected, rel=1e-3)
