"""The exponential moving average of a network's weights: steadier than the weights themselves, and often better."""

from __future__ import annotations

import torch
from torch import Tensor

from deepcolor.models.networks import Network


class Average:
    """Follows a network, step after step. What batch norm has counted of its inputs is averaged with the weights.

    Source: Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992; the slow beginning is that
    of tf.train.ExponentialMovingAverage.
    """

    def __init__(self, network: Network, *, of: Network, keep: float) -> None:
        """Begin with the weights that a network of its own has.

        Args:
            network: Holds the average from now on.
            of: What is averaged; its weights stay where they are in memory.
            keep: Share of the average that each step keeps, once there were many.
        """
        self.network = network.requires_grad_(False).eval()
        self._keep = keep
        own, theirs = network.state_dict(), of.state_dict()
        floats = [name for name, value in own.items() if value.is_floating_point()]
        self._floats = [own[name] for name in floats], [theirs[name] for name in floats]
        self._others = [(own[name], theirs[name]) for name in own if name not in set(floats)]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take the weights after a step in.

        Args:
            step: Of the whole training, the first one being 0.
        """
        keep = min(self._keep, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._floats, 1 - keep)  # what torch's own averages are made of
        for own, theirs in self._others:
            own.copy_(theirs)

    def tensors(self) -> dict[str, Tensor]:
        """Return the averaged weights by name."""
        return dict(self.network.state_dict())
