"""What the registry refers to: the weights and trials that a clean-up must never touch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from deepcolor.registry.versions import list_versions

_TRIAL_REF = re.compile(r"study:(?P<study>[A-Za-z0-9._-]+)/t(?P<number>\d+)")


@dataclass(frozen=True)
class References:
    """Weights and trials that something outside of the trajectory store refers to."""

    weights: frozenset[str] = frozenset()
    """SHA-256 (hex) of safetensors files."""
    trials: frozenset[tuple[str, int]] = frozenset()
    """(study, trial number), by the name that the study had when it was referred to."""

    def __or__(self, other: Self) -> References:
        return References(self.weights | other.weights, self.trials | other.trials)


def registered(tracking_uris: Iterable[str]) -> References:
    """Return what the registered versions of all given stores refer to, the parents they were trained from included.

    Args:
        tracking_uris: MLflow stores; an SQLite database that does not exist refers to nothing.
    Raises:
        TrackingError: A store cannot be read, so what it refers to cannot be known.
    """
    found = References()
    for uri in tracking_uris:
        versions = list_versions(uri)
        weights = {version.weights_sha256 for version in versions if version.weights_sha256}
        trials = {(v.study, v.trial) for v in versions if v.study is not None and v.trial is not None}
        parents = {trial for v in versions if v.parent and (trial := trial_of(v.parent)) is not None}
        found |= References(frozenset(weights), frozenset(trials | parents))
    return found


def trial_of(ref: str) -> tuple[str, int] | None:
    """Return the (study, trial number) of a parent reference such as `study:NAME/t0003`; None for a version's."""
    match = _TRIAL_REF.fullmatch(ref)
    return (match["study"], int(match["number"])) if match else None
