"""What a training minimises."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, l1_loss, mse_loss, smooth_l1_loss

from deepcolor.config.sections import TrainingConfig
from deepcolor.errors import CodeError
from deepcolor.fields.named import LOSSES
from deepcolor.models.bins import SHRINK, Bins
from deepcolor.models.networks import Colorizer, Network, Regressor
from deepcolor.plugins import Code

Loss = Callable[[Tensor, Tensor], Tensor]
"""(output, target) -> the mean over the batch, a tensor with one number. Both are float32, of shape (B, 2, H, W), or
(B, 2) for a regressor, in the units of the network's output."""

Criterion = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(what `Network.trained` gives, a* b* in CIELAB units) -> what is minimised, and what is recorded of it."""

_SQUARED_BELOW = 0.05
"""smooth_l1: the share of the output's range. torch's own 1.0 is all of it, and would be the squared error again."""


def build_loss(name: str, *, span: float, device: torch.device, code: Code) -> Loss:
    """Return the loss of a setting.

    Args:
        name: `training.loss`.
        span: Length of the output's range.
        device: Where it is computed.
        code: Holds a loss of the user's own.
    Raises:
        CodeError: The user's own cannot be imported, or cannot be made.
    """
    match name:
        case "mse":
            return mse_loss
        case "l1":
            return l1_loss
        case "smooth_l1":
            return partial(smooth_l1_loss, beta=_SQUARED_BELOW * span)
        case _:
            return _of_the_user(name, code.load(name, group=LOSSES.group), device)


def build_criterion(network: Network, training: TrainingConfig, *, device: torch.device, code: Code) -> Criterion:
    """Return what a training minimises: its loss, with a term against desaturation or for the pixels whose mean is the
    answer, or the cross-entropy of bins.

    Args:
        network: That is trained.
        training: Of the setting.
        device: Where it is trained.
        code: Holds a loss of the user's own.
    Raises:
        CodeError: As `build_loss`.
    """
    if isinstance(network, Colorizer) and network.bins is not None:
        return partial(_of_bins, network, network.bins, is_mse=training.loss == "mse")
    loss = build_loss(training.loss, span=network.span, device=device, code=code)
    if isinstance(network, Regressor) and network.decoder is not None:
        return partial(_of_pixel_mean, network, loss, is_mse=training.loss == "mse")
    if training.saturation_weight == 0:
        return partial(_plain, network, loss)
    # The metric of mse has its units whatever is added to it.
    return partial(_saturated, network, loss, weight=training.saturation_weight, is_mse=training.loss == "mse")


def _plain(network: Network, loss: Loss, output: Tensor, ab: Tensor) -> tuple[Tensor, Tensor]:
    value = loss(output, network.native_target(ab))
    return value, value


def _saturated(
    network: Network, loss: Loss, output: Tensor, ab: Tensor, *, weight: float, is_mse: bool
) -> tuple[Tensor, Tensor]:
    target = network.native_target(ab)
    value = loss(output, target)
    missing = (_chroma(target - network.neutral) - _chroma(output - network.neutral)).clamp_min(0).mean()
    total = value + weight * missing / network.output_range
    return total, value if is_mse else total


def _of_pixel_mean(network: Network, loss: Loss, output: Tensor, ab: Tensor, *, is_mse: bool) -> tuple[Tensor, Tensor]:
    target = network.native_target(avg_pool2d(ab, SHRINK))
    of_mean = loss(output.mean(dim=(2, 3)), target.mean(dim=(2, 3)))
    total = of_mean + loss(output, target)
    return total, of_mean if is_mse else total


def _chroma(output: Tensor) -> Tensor:
    # Where there is no colour at all, the root has no slope.
    return (output.square().sum(dim=1) + _NO_CHROMA).sqrt()


def _of_bins(network: Colorizer, bins: Bins, output: Tensor, ab: Tensor, *, is_mse: bool) -> tuple[Tensor, Tensor]:
    value = bins.loss(output, ab)
    if not is_mse:
        return value, value
    with torch.no_grad():
        return value, mse_loss(network.chosen(output.detach()), network.native_target(ab))


_NO_CHROMA = 1e-8


def _of_the_user(name: str, loss: object, device: torch.device) -> Loss:
    if isinstance(loss, type):
        try:
            loss = loss()
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            raise CodeError(f"{name} must be made without arguments", got=got, advice=_MEND) from error
    if not callable(loss):
        raise CodeError(f"{name} must be called as loss(output, target)", got=type(loss).__name__, advice=_MEND)
    made = loss.to(device) if isinstance(loss, nn.Module) else loss

    def checked(output: Tensor, target: Tensor) -> Tensor:
        value = made(output, target)
        if not isinstance(value, Tensor) or value.ndim:
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise CodeError(
                f"{name} must give a tensor with one number, the mean over the batch", got=got, advice=_MEND
            )
        return value

    return checked


_MEND = "Fix it, and give the sweep another study name."
