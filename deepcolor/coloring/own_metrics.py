"""Metrics of the user's own: what is made of one picture at a time, averaged over a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from deepcolor.errors import CodeError
from deepcolor.fields.named import METRICS
from deepcolor.plugins import Code

Metric = Callable[[Tensor, Tensor], Tensor]
"""(predicted, true) -> a number for each picture, shape (B,). Both are a*, b* in CIELAB units, float32, of shape
(B, 2, H, W), or (B, 2) for a regressor."""


def load_metrics(names: Mapping[str, str], *, code: Code) -> dict[str, Metric]:
    """Return metrics by the name that each goes by.

    Args:
        names: What the sweep names, by what it goes by.
        code: Holds them.
    Raises:
        CodeError: One cannot be imported, or cannot be called.
    """
    return {name: _loaded(text, code) for name, text in names.items()}


def _loaded(text: str, code: Code) -> Metric:
    found = code.load(text, group=METRICS.group)
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            raise CodeError(f"{text} must be made without arguments", got=got, advice=_MEND) from error
    if not callable(found):
        rule = f"{text} must be called as metric(predicted, true)"
        raise CodeError(rule, got=type(found).__name__, advice=_MEND)

    def checked(predicted: Tensor, true: Tensor) -> Tensor:
        values = found(predicted, true)
        if not isinstance(values, Tensor) or values.shape != (len(true),):
            got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
            raise CodeError(f"{text} must give a tensor with one number for each picture", got=got, advice=_MEND)
        return values

    return checked


class Sums:
    """Adds up metrics over the batches of a split, where they are computed."""

    def __init__(self, metrics: Mapping[str, Metric], *, device: torch.device) -> None:
        self._metrics = metrics
        self._sums = {name: torch.zeros((), dtype=torch.float64, device=device) for name in metrics}
        self._count = 0

    def add(self, predicted: Tensor, true: Tensor) -> None:
        """Take a batch in."""
        self._count += len(true)
        for name, metric in self._metrics.items():
            self._sums[name] += metric(predicted.float(), true.float()).double().sum()

    def means(self) -> dict[str, float]:
        """Return the mean of each over all pictures."""
        return {name: float(total.item()) / max(1, self._count) for name, total in self._sums.items()}


_MEND = "Fix it, and give the sweep another study name."
