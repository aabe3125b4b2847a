"""What the trials of a study say, as numbers, kept from one draw to the next: of thousands, only few have changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from deepcolor.search.study.aims import CONSTRAINT

EPOCHS, UNFINISHED = "deepcolor:epochs", "deepcolor:unfinished"
"""On a trial shown to a sampler: how many epochs it asks for, and whether it is not trained to its end."""
LENGTH = "epochs"
"""The searched field that says how long a training is."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Lengths:
    """How far epochs are, on a logarithmic scale, as the first ones teach most: 1 is the end of the longest training.

    Where the number of epochs is searched, a short training is the beginning of a longer one, and is placed there; so
    it needs no axis of its own.
    """

    most: int
    """Epochs of the longest training; 0 where each is as long as the next."""
    choices: BaseDistribution | None = None

    @classmethod
    def of(cls, space: Mapping[str, BaseDistribution], settings: Mapping[str, Array]) -> Lengths:
        """Those of trials' settings, in Optuna's internal form."""
        if LENGTH not in space:
            return cls(0)
        choices = space[LENGTH]
        return cls(max(int(choices.to_external_repr(float(one))) for one in np.unique(settings[LENGTH])), choices)

    def at(self, reached: Array, *, epochs: Array) -> Array:
        """Where epochs of trainings of so many epochs are; the end of one that has none is the end."""
        whole = np.log1p(np.full(len(epochs), self.most) if self.most else epochs)
        shares = np.minimum(1.0, np.log1p(reached) / np.where(whole > 0, whole, 1.0))
        return np.where(epochs > 0, shares, 1.0)

    def ends(self, values: Mapping[str, Array]) -> Array:
        """Where settings, in Optuna's internal form, end."""
        if self.choices is None:
            return np.ones(len(next(iter(values.values()))))
        lengths = np.array([int(self.choices.to_external_repr(float(value))) for value in values[LENGTH]])
        return self.at(lengths, epochs=lengths)


class Seen:
    """The trials of a study that have all parameters of a space.

    A trial handed in never changes; one that has been written to since is another object, and is read again.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], *, sign: int) -> None:
        """Know nothing yet.

        Args:
            space: Its parameters, in order.
            sign: -1 where a higher value is better.
        """
        self.space = dict(space)
        self._sign = sign
        self._trials: dict[int, FrozenTrial] = {}
        self._keys: dict[int, tuple[float, ...]] = {}
        self._tried: set[tuple[float, ...]] = set()
        self._bound: set[int] = set()
        # By number; of the table's rows as many are in use as a trial has rungs.
        self._settings = np.empty((len(self.space), 0))
        self._epochs = np.empty(0)
        self._reached, self._losses = np.empty((0, 1)), np.empty((0, 1))
        self.known = self.pending = np.empty(0, int)

    def look(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in what is new.

        Args:
            trials: All that are complete or running; earlier ones that are not among them are forgotten.
        """
        remembered = self._trials
        numbers = [trial.number for trial in trials]
        for number, trial in zip(numbers, trials, strict=True):
            if remembered.get(number) is not trial:
                self._read(number, trial)
        if len(numbers) < len(remembered):
            self._forget(remembered.keys() - set(numbers))
        usable = [trial for trial in trials if trial.number in self._keys]
        running = np.array([trial.state == TrialState.RUNNING for trial in usable], bool)
        found = np.array([trial.number for trial in usable], int)
        self.known, self.pending = found[~running], found[running]

    @property
    def bound(self) -> bool:
        """Whether a constraint is known of a trial that has a value."""
        return bool(self._bound) and not self._bound.isdisjoint(self.known.tolist())

    def has(self, setting: Sequence[float]) -> bool:
        """Whether a setting has been tried, or is being trained.

        Args:
            setting: In Optuna's internal form.
        """
        return tuple(setting) in self._tried

    def settings(self, numbers: Array) -> dict[str, Array]:
        """Settings of trials as columns, in Optuna's internal form."""
        return {name: self._settings[row, numbers] for row, name in enumerate(self.space)}

    def rungs(self, lengths: Lengths) -> tuple[Array, Array, Array]:
        """What the known trials were worth at each rung, and at their end.

        Returns:
            Whose it is, as an index of `known`; how far that is; and the loss, inf where the training diverged.
        """
        losses = self._losses[self.known]
        owner, rung = np.nonzero(~np.isnan(losses))
        epochs = self._epochs[self.known][owner]
        reached = self._reached[self.known][owner, rung]
        return owner, lengths.at(reached, epochs=epochs), losses[owner, rung]

    def _read(self, number: int, trial: FrozenTrial) -> None:
        self._trials[number] = trial
        params = trial.params
        if not self.space.keys() <= params.keys():
            return
        key = tuple(float(kind.to_internal_repr(params[name])) for name, kind in self.space.items())
        rows = self._values(trial) if trial.state == TrialState.COMPLETE else []
        self._make_room(number + 1, len(rows))
        self._keys[number] = key
        self._tried.add(key)
        self._settings[:, number] = key
        self._epochs[number] = trial.user_attrs.get(EPOCHS, 0)
        self._losses[number] = math.nan
        self._bound.discard(number)
        for rung, (reached, loss) in enumerate(rows):
            self._reached[number, rung] = reached
            self._losses[number, rung] = math.inf if math.isnan(loss) else loss
        if any(name.startswith(CONSTRAINT) for name in trial.system_attrs):
            self._bound.add(number)

    def _values(self, trial: FrozenTrial) -> list[tuple[float, float]]:
        epochs = trial.user_attrs.get(EPOCHS, 0)
        steps = trial.intermediate_values.items()
        rows = [(float(reached), self._sign * value) for reached, value in steps if reached < epochs]
        if not trial.user_attrs.get(UNFINISHED) and trial.value is not None:
            rows.append((float(epochs), self._sign * trial.value))
        return rows

    def _make_room(self, trials: int, rungs: int) -> None:
        room, width = self._losses.shape
        if trials <= room and rungs <= width:
            return
        more = ((0, max(trials, 2 * room) - room if trials > room else 0), (0, max(0, rungs - width)))
        self._losses = np.pad(self._losses, more, constant_values=math.nan)
        self._reached = np.pad(self._reached, more)
        self._epochs = np.pad(self._epochs, more[0])
        self._settings = np.pad(self._settings, ((0, 0), more[0]))

    def _forget(self, numbers: set[int]) -> None:
        for number in numbers:
            del self._trials[number]
            self._keys.pop(number, None)
            self._bound.discard(number)
        self._tried = set(self._keys.values())
