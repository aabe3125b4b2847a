"""Colour as a choice between squares of the a*b* plane, 10 by 10 CIELAB units, as far as sRGB reaches.

Source: Zhang, Isola and Efros, Colorful image colorization, 2016: soft targets (section 2.2), class rebalancing
(equations 3 and 4), annealed mean (equation 5). Here 260 squares have a colour of sRGB in them; the paper counts 313.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, log_softmax

from deepcolor.models.decoders import doubled

SHRINK = 4
"""The choice is made at this part of the picture's size; the eye sees no finer colour."""
DOUBLINGS = round(math.log2(SHRINK))

_STEP = 10
_B_OF_A: dict[int, tuple[int, int]] = {
    -90: (80, 80),
    -80: (40, 80),
    -70: (20, 90),
    -60: (0, 90),
    -50: (-20, 90),
    -40: (-30, 90),
    -30: (-30, 90),
    -20: (-40, 90),
    -10: (-50, 90),
    0: (-60, 90),
    10: (-70, 80),
    20: (-70, 80),
    30: (-80, 80),
    40: (-90, 80),
    50: (-90, 70),
    60: (-100, 70),
    70: (-110, 70),
    80: (-110, 70),
    90: (-90, 0),
    100: (-70, -50),
}
"""The lowest and the highest b* of the squares' centres, for each a*: written down, as weights belong to them."""
_CENTRES = tuple((float(a), float(b)) for a, (low, high) in _B_OF_A.items() for b in range(low, high + _STEP, _STEP))
BINS = len(_CENTRES)
_NEIGHBOURS, _SIGMA = 5, 5.0
_REACH = 110
"""The table of neighbours knows a* and b* from -110 to 110, in whole units."""
_LEAST_SHARE = 1e-6


class Bins(nn.Module):
    """The loss of a choice, and the colour that is meant by one."""

    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(BINS))

    def balance(self, ab_parts: Iterable[Tensor], *, uniform: float) -> None:
        """Let rare colours weigh more.

        Args:
            ab_parts: a*, b* of the training pictures, shape (B, 2, H, W), in parts.
            uniform: 0: inversely to their share; 1: all the same.
        """
        counts = torch.zeros(BINS, dtype=torch.float64)
        for ab_B2HW in ab_parts:
            # On the CPU: a GPU would add them up in any order.
            nearest, shares = _soft(_shrunk(ab_B2HW.cpu().float()))
            counts += torch.bincount(nearest.flatten(), shares.flatten().double(), minlength=BINS)
        share = counts / counts.sum() + _LEAST_SHARE
        weights = 1 / ((1 - uniform) * share + uniform / BINS)
        self.weights.copy_(weights / (weights * share).sum())

    def loss(self, logits_BQhw: Tensor, ab_B2HW: Tensor) -> Tensor:
        """Return the cross-entropy with the nearest five squares, a pixel as heavy as the colour it truly has.

        Args:
            logits_BQhw: A quarter of the size of `ab_B2HW`.
            ab_B2HW: True a*, b* in CIELAB units.
        """
        nearest, shares = _soft(_shrunk(ab_B2HW))
        logarithms = log_softmax(logits_BQhw.permute(0, 2, 3, 1).reshape(-1, BINS), dim=1)
        entropy = -(logarithms.gather(1, nearest) * shares).sum(dim=1)
        return (entropy * self.weights[nearest[:, 0]]).mean()

    def colours(self, logits_BQhw: Tensor, *, annealing: float) -> Tensor:
        """Return the annealed mean in CIELAB units at the picture's size: shape (B, 2, 4h, 4w)."""
        chances = torch.softmax(logits_BQhw.float() / annealing, dim=1)
        ab = torch.einsum("bqhw,qc->bchw", chances, _centres(logits_BQhw.device))
        for _ in range(DOUBLINGS):
            ab = doubled(ab, mode="bilinear")
        return ab


def _shrunk(ab_B2HW: Tensor) -> Tensor:
    """One row for each pixel of a quarter of the size: shape (P, 2)."""
    return avg_pool2d(ab_B2HW, SHRINK).permute(0, 2, 3, 1).reshape(-1, 2)


def _soft(ab_P2: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nearest squares of each colour, the nearest one first, and their shares: both of shape (P, 5)."""
    nearest, shares = _table(ab_P2.device)
    whole = ab_P2.round().clamp(-_REACH, _REACH).long() + _REACH
    rows = whole[:, 0] * (2 * _REACH + 1) + whole[:, 1]
    return nearest[rows], shares[rows]


@lru_cache(maxsize=4)
def _centres(device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # Kept beyond a measurement.
        return torch.tensor(_CENTRES, device=device)


@lru_cache(maxsize=4)
def _table(device: torch.device) -> tuple[Tensor, Tensor]:
    # Made on the CPU, where ties between equally near squares are broken alike every time.
    with torch.inference_mode(False), torch.device("cpu"):
        line = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
        colours = torch.cartesian_prod(line, line)
        centres = torch.tensor(_CENTRES, dtype=torch.float64)
        squared = (colours[:, None] - centres).square().sum(dim=2)
        nearest = squared.sort(dim=1, stable=True).indices[:, :_NEIGHBOURS].contiguous()
        shares = torch.exp(-squared.gather(1, nearest) / (2 * _SIGMA**2)).clamp_min(1e-30)
        shares /= shares.sum(dim=1, keepdim=True)
        return nearest.to(device), shares.float().to(device)
