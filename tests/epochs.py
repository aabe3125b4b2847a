"""Epochs as the shipped stages measure them, for tests that train nothing."""

from __future__ import annotations

from deepcolor.training.trajectory import EpochMetrics


def epoch_row(
    epoch: int, val: float, *, train: float | None = None, epoch_s: float = 0.001, time_ms: int = 0
) -> EpochMetrics:
    """An epoch with one figure for all of validation, and one for training; by default the same."""
    metrics = {"train/mse": val if train is None else train, "val/mse": val, "val/mse_a": val, "val/mse_b": val}
    return EpochMetrics(epoch, metrics, epoch_s, time_ms)
