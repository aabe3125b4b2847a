"""What a search has seen, as a Gaussian process over settings and how far each was trained. Pure: numbers in, numbers
out.

It learns from trials that are not finished, as all of them are placed on one more axis: the share of its own training
that a trial has done. So it can say what a setting would be worth at its end, and how sure that is.
Source: Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, chapters 2 and 5; for learning from
unfinished trainings, Klein et al., Model-based Asynchronous Hyperparameter and Neural Architecture Search, 2020.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.linalg import solve_triangular
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

Array = np.ndarray[Any, np.dtype[np.float64]]

_SCALE, _SCALE_SPREAD = math.log(0.6), 0.8
_NOISE, _NOISE_SPREAD = math.log(1e-2), 1.5
"""What is expected of the length scales (in a unit cube) and the noise (of the variance), and how firmly."""
_FEW, _EVERY = 100, 8
"""With more points than a few, the scales are looked for at every eighth fit."""
_DECADES = 10
"""Numbers whose largest is this many times the smallest are compared by their logarithms."""
_TRIES = 200
"""Latin hypercubes that are compared, up to ten points; of more points fewer, as each takes longer."""


@dataclass(frozen=True)
class Axis:
    """One searched parameter: its values as positions in the unit cube.

    Positions are given for whole columns. A list of choices that are all numbers is an axis of its own order; of other
    choices, each is as far from every other.
    """

    at: Callable[[Array], Array]
    """The values that shares of the axis stand for, in Optuna's internal form: a number, or the index of a choice.
    Where the shares are drawn evenly, so are the values."""
    near: Callable[[np.random.Generator, Array, Array], Array]
    """Draw one value close to each one given; the other array says how far, in shares of the axis."""
    place: Callable[[Array], Array]
    """Where values lie. Shape (n,) -> (n, k)."""


def axis_of(distribution: BaseDistribution) -> Axis:
    """Return the axis of a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        numbers = _ordered(distribution.choices)
        return _listed(numbers) if numbers is not None else _unordered(len(distribution.choices))
    assert isinstance(distribution, IntDistribution | FloatDistribution), "Optuna knows no others"
    return _ranged(distribution)


def _ranged(distribution: IntDistribution | FloatDistribution) -> Axis:
    whole = isinstance(distribution, IntDistribution)
    step = distribution.step if whole or distribution.step is not None else 0.0
    low, high = float(distribution.low), float(distribution.high)
    # Each of a few whole numbers takes as much of the axis as the next.
    least, most = (low - step / 2, high + step / 2) if step and not distribution.log else (low, high)
    first, last = (math.log(least), math.log(most)) if distribution.log else (least, most)

    def value(position: Array) -> Array:
        found = first + np.clip(position, 0, 1) * (last - first)
        found = np.exp(found) if distribution.log else found
        return np.clip(low + np.round((found - low) / step) * step if step else found, low, high)

    def place(values: Array) -> Array:
        scale = np.log(values) if distribution.log else values
        return ((scale - first) / max(last - first, 1e-12))[:, None]

    return Axis(
        at=value,
        near=lambda rng, values, far: value(place(values)[:, 0] + far * rng.normal(size=len(values))),
        place=place,
    )


def _listed(numbers: Array) -> Axis:
    """An axis of numbers in any order; the internal form of each is its index."""
    low, high = float(numbers.min()), float(numbers.max())
    scale = np.log(numbers) if low > 0 and high >= _DECADES * low else numbers
    places = (scale - scale.min()) / max(float(np.ptp(scale)), 1e-12)
    order = np.argsort(places)
    rank = np.argsort(order)

    def near(rng: np.random.Generator, values: Array, far: Array) -> Array:
        steps = np.maximum(np.round(np.abs(rng.normal(size=len(values))) * far * len(order)), 1)
        moved = rank[values.astype(int)] + np.where(rng.random(len(values)) < 0.5, -steps, steps)
        return np.asarray(order[np.clip(moved, 0, len(order) - 1).astype(int)], float)

    return Axis(
        at=lambda shares: order[_parted(shares, len(order))].astype(float),
        near=near,
        place=lambda values: places[values.astype(int)][:, None],
    )


def _unordered(count: int) -> Axis:
    apart = np.eye(count) / math.sqrt(2)
    return Axis(
        at=lambda shares: _parted(shares, count).astype(float),
        near=lambda rng, values, far: rng.integers(0, count, len(values)).astype(float),  # noqa: ARG005  # none is near
        place=lambda values: apart[values.astype(int)],
    )


def _parted(shares: Array, count: int) -> Any:
    return np.minimum((np.clip(shares, 0, 1) * count).astype(int), count - 1)


def _ordered(choices: Sequence[object]) -> Array | None:
    """The choices as numbers; None if one is none."""
    if all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices):
        return np.array(choices, float)
    return None


class Surrogate:
    """A Gaussian process with a Matern 5/2 kernel, a length scale for each axis, and noise.

    Its scales are found by a short random walk uphill from those of the last fit: with each trial there is little new
    to learn, and a search asks for many.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._scales: Array | None = None
        self._fits = 0

    def fit(self, places: Array, values: Array) -> None:
        """Learn from points (n, d) in the unit cube and their values (n,), of about zero mean and unit variance."""
        squares = (places[:, None] - places[None]) ** 2
        first = self._scales is None or len(self._scales) != places.shape[1] + 1
        scales = np.append(np.full(places.shape[1], _SCALE), _NOISE) if first else self._scales
        assert scales is not None
        best, step = math.inf, 0.6
        # Many points change the scales little from one fit to the next, and cost most.
        steps = 40 if first else 8 if len(values) <= _FEW or self._fits % _EVERY == 0 else 0
        self._fits += 1
        if steps:
            best = _unlikeliness(squares, values, scales)
        for _ in range(steps):
            tried = scales + self._rng.normal(size=len(scales)) * step * (self._rng.random(len(scales)) < 0.5)
            found = _unlikeliness(squares, values, tried)
            if found < best:
                best, scales, step = found, tried, step * 1.2
            else:
                step *= 0.95
        self._scales = scales
        self._take(places, values, squares=squares)

    def place(self, places: Array, values: Array) -> None:
        """Take other points and values, and keep the scales."""
        self._take(places, values, squares=(places[:, None] - places[None]) ** 2)

    def _take(self, places: Array, values: Array, *, squares: Array) -> None:
        assert self._scales is not None
        self._places = places
        lower = _lower(squares, self._scales)
        self._lower, self._weights = lower, solve_triangular(lower, values, lower=True)
        self._variance = (self._weights @ self._weights + 2) / (len(values) + 2)

    def predict(self, places: Array) -> tuple[Array, Array]:
        """Return the mean and the standard deviation at points (m, d)."""
        assert self._scales is not None
        scale = np.exp(-self._scales[:-1])
        known, asked = self._places * scale, places * scale
        squares = (known**2).sum(1)[:, None] + (asked**2).sum(1)[None] - 2 * known @ asked.T
        rest = solve_triangular(self._lower, _matern(np.maximum(squares, 0)), lower=True)
        return rest.T @ self._weights, np.sqrt(np.maximum(1 - (rest**2).sum(0), 1e-9) * self._variance)


def _matern(squares: Array) -> Array:
    distance = np.sqrt(5 * squares)
    # In place: half of the time would go into memory for what is between.
    kernel = distance**2
    kernel /= 3
    kernel += distance + 1
    kernel *= np.exp(np.negative(distance, out=distance), out=distance)
    return kernel


def _lower(squares: Array, scales: Array) -> Array:
    kernel = _matern(squares @ np.exp(-2 * scales[:-1]))
    kernel[np.diag_indices(len(kernel))] += math.exp(scales[-1]) + 1e-6
    return np.asarray(np.linalg.cholesky(kernel), float)


def _unlikeliness(squares: Array, values: Array, scales: Array) -> float:
    """The negative log posterior of scales, the variance taken at its best."""
    try:
        lower = _lower(squares, scales)
    except np.linalg.LinAlgError:
        return math.inf
    weights = solve_triangular(lower, values, lower=True)
    count = len(values) + 2
    fit = 0.5 * count * math.log((weights @ weights + 2) / count) + float(np.log(np.diag(lower)).sum())
    expected = 0.5 * float((((scales[:-1] - _SCALE) / _SCALE_SPREAD) ** 2).sum())
    return float(fit + expected + 0.5 * ((scales[-1] - _NOISE) / _NOISE_SPREAD) ** 2)


def on_one_thread() -> AbstractContextManager[object]:
    """Keep linear algebra to one thread for as long as this is entered.

    Its matrices are so small that threads mostly wait for each other; where other processes keep the cores busy, a draw
    took ten times as long. And one thread gives the same last bits on any number of cores.
    """
    limited: AbstractContextManager[object] = _linear_algebra().limit(limits=1)
    return limited


@functools.cache
def _linear_algebra() -> Any:
    return ThreadpoolController().select(user_api="blas")


def levelled(losses: Array) -> Array:
    """Return losses on a scale where the best ones are told apart, whatever the worst; order is kept.

    Args:
        losses: Lower is better; inf if a training diverged, which counts as the worst of the others.
    """
    finite = losses[np.isfinite(losses)]
    if not len(finite) or float(np.ptp(finite)) == 0:
        return np.zeros(len(losses)) + ~np.isfinite(losses)
    capped = np.where(np.isfinite(losses), losses, finite.max())
    low = finite.min()
    # A tenth of the way to the middle: differences far below it are noise.
    margin = 0.1 * (np.median(finite) - low) or 0.1 * (finite.max() - low)
    scale = np.log(capped - low + margin)
    return np.asarray((scale - scale.mean()) / (scale.std() + 1e-9))


def improvement(mean: Array, deviation: Array, *, best: float) -> Array:
    """Return by how much each point is expected to be below the best.

    Source: Jones, Schonlau, Welch 1998, Efficient Global Optimization of Expensive Black-Box Functions, equation 15.
    """
    score = (best - mean) / deviation
    return np.asarray(deviation * (score * ndtr(score) + np.exp(-0.5 * score**2) / math.sqrt(2 * math.pi)))


def columns(axes: Mapping[str, Axis], values: Mapping[str, Array]) -> Array:
    """Return settings as points: values by name, (n,) each -> (n, d)."""
    return np.concatenate([axes[name].place(values[name]) for name in axes], axis=1)


def spread(rng: np.random.Generator, *, count: int, dimensions: int) -> Array:
    """Return points (n, d) in the unit cube, of which each is in the middle of a part of every axis that it has to
    itself, and the closest two are as far apart as can be had by a few tries: a maximin Latin hypercube.

    Source: Morris, Mitchell 1995, Exploratory designs for computational experiments.
    """
    tries = max(1, min(_TRIES, _TRIES * 100 // count**2))
    drawn = [rng.permuted(np.tile(np.arange(count), (dimensions, 1)), axis=1).T for _ in range(tries)]
    return np.asarray((max(drawn, key=_closest) + 0.5) / count)


def _closest(points: Array) -> float:
    """The squared distance of the closest two; of a single one, 0."""
    first, second = np.triu_indices(len(points), 1)
    return float(((points[first] - points[second]) ** 2).sum(1).min()) if len(first) else 0.0
