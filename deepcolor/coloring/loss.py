"""What a training minimises."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss, smooth_l1_loss

from deepcolor.errors import CodeError
from deepcolor.fields.named import LOSSES
from deepcolor.plugins import Code

Loss = Callable[[Tensor, Tensor], Tensor]
"""(output, target) -> the mean over the batch, a tensor with one number. Both are float32, of shape (B, 2, H, W), or
(B, 2) for a regressor, in the units of the network's output."""

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
