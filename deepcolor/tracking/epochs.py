"""The epochs that a trial's run holds, compared with its record: what is missing, and what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from deepcolor.stages.contract import EPOCH_S
from deepcolor.tracking import layout, payload
from deepcolor.tracking.records import TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ALWAYS_THERE = EPOCH_S
"""The one metric that is a finite number for every epoch."""
_SETTLED = {"complete", "pruned", "failed"}
"""States whose epochs are in the trajectory store, or never will be; those of others may be trained again."""


@dataclass
class StoredEpochs:
    """The epochs of one run: how many there are, and their values if they may have to be compared."""

    count: int = 0
    """Epochs that are stored, counted from the first one without a gap."""
    furthest: int = 0
    """The last epoch of which anything is stored."""
    values: dict[tuple[str, int], float] | None = field(default_factory=dict)
    """Value by (metric, epoch); None if the run was settled and complete when it was last written."""
    repeated: bool = False
    """An epoch is stored twice, at different times."""
    names: frozenset[str] = frozenset()
    """Where the values are None: the metrics that the run has; one that an earlier release did not write is missing."""

    @classmethod
    def trusted(cls, tags: dict[str, str], *, status: str, names: Iterable[str]) -> Self | None:
        """Trust a run's own count of its epochs; None if that may be wrong.

        A run that is RUNNING may hold more than its tags say, and a run written by an early release less.
        """
        count = tags.get(layout.EPOCHS)
        if count is None or status == "RUNNING" or tags.get(layout.STATE) not in _SETTLED:
            return None
        return cls(count=int(count), furthest=int(count), values=None, names=frozenset(names))

    @classmethod
    def look_up(cls, client: MlflowClient, run_id: str, *, names: Iterable[str]) -> Self:
        """Ask MLflow for every epoch that a run holds.

        Args:
            client: Of the store.
            run_id: The run.
            names: The metrics that the run has; final figures differ from those of an epoch by their step, 0.
        """
        found = [
            payload.Point(name, metric.value, metric.step, metric.timestamp)
            for name in names
            for metric in client.get_metric_history(run_id, name)
            if metric.step > 0
        ]
        stored = cls(repeated=len({(point.key, point.step) for point in found}) < len(found))
        stored.add(found)
        return stored

    def contradict(self, record: TrialRecord) -> bool:
        """Whether the run contradicts its record: an epoch twice, epochs beyond its end, different figures."""
        if self.repeated or self.furthest > record.end_epoch:
            return True
        return any(
            not math.isclose(self.values.get((point.key, point.step), point.value), point.value, rel_tol=1e-12)
            for point in (payload.epoch_points(record) if self.values else ())
            if self.values is not None and not _is_of_the_clock(point.key)
        )

    def missing(self, record: TrialRecord) -> list[payload.Point]:
        """The points of a record's epochs that the run lacks."""
        if self.values is None:
            points = payload.epoch_points(record)
            return [point for point in points if point.step > self.count or point.key not in self.names]
        return [point for point in payload.epoch_points(record) if (point.key, point.step) not in self.values]

    def add(self, points: Iterable[payload.Point]) -> None:
        """Record that these points are stored now."""
        values = {(point.key, point.step): point.value for point in points}
        self.names |= {name for name, _ in values}
        self.furthest = max([self.furthest, *(epoch for _, epoch in values)])
        if self.values is not None:
            self.values |= values
            values = self.values
        while (_ALWAYS_THERE, self.count + 1) in values:
            self.count += 1

    def settle(self, record: TrialRecord) -> None:
        """Forget the values of a run that will not change any more."""
        if record.state in _SETTLED:
            self.values = None


def _is_of_the_clock(metric: str) -> bool:
    """Whether a metric has a different value each time the same epoch is trained; all others must be the same."""
    return metric == EPOCH_S or metric.startswith(layout.SYSTEM_PREFIX)
