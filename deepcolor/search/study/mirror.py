"""A study's trials in the memory of the one process that writes them: it need not read again what it has written.

Optuna reads an open trial again at every step, in six statements, which would be most of what a trial costs a driver.
A study has one driver, so what that driver has read or written is what the storage holds.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Collection, Container, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from deepcolor.search.study.held import Held
from deepcolor.search.study.in_front import StorageInFront, numbered
from deepcolor.search.study.optuna_private import with_memory
from deepcolor.search.study.reading import read_trials
from deepcolor.search.study.writing import Changes, Writer, write_in_steps

T = TypeVar("T")


class Mirror(StorageInFront):
    """Holds the trials of one study: writes go to both storages, reads of its trials are answered here.

    The storage behind is written first, so that what it refuses does not count as written. A trial that was handed out
    never changes: a write replaces it with a changed copy.
    """

    def __init__(self, behind: RDBStorage, study: str, *, held: Held | None = None) -> None:
        """Read the trials; the caller holds the study's lock for as long as this is used.

        Args:
            behind: Holds the study, and everything else that is asked for.
            study: Its name.
            held: Its lock, where a database server keeps it: while that is away, everything waits for it.
        """
        super().__init__(with_memory(behind))
        self._study_id = behind.get_study_id_from_name(study)
        found = read_trials(behind, self._study_id)
        self._trials = {trial.number: trial for trial in found.values()}
        self._numbers = {trial_id: trial.number for trial_id, trial in found.items()}
        self._ids = {number: trial_id for trial_id, number in self._numbers.items()}
        self._states = Counter(trial.state for trial in self._trials.values())
        self._held = held
        self._writer = Writer.of(behind, self._study_id, fence=held.fence if held else None)

    @property
    def trials(self) -> Collection[FrozenTrial]:
        """The study's trials, by number."""
        return self._trials.values()

    def get_trial(self, trial_id: int) -> FrozenTrial:
        number = self._numbers.get(trial_id)
        return self._behind.get_trial(trial_id) if number is None else self._trials[number]

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        if study_id == self._study_id and trial_number in self._ids:
            return self._ids[trial_number]
        return self._behind.get_trial_id_from_study_id_trial_number(study_id, trial_number)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if study_id != self._study_id:
            return self._behind.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        if states is not None and not any(count and state in states for state, count in self._states.items()):
            return []  # Asked for at every draw, of trials that wait in a queue.
        trials = [trial for trial in self._trials.values() if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def get_n_trials(self, study_id: int, state: tuple[TrialState, ...] | TrialState | None = None) -> int:
        if study_id != self._study_id:
            return self._behind.get_n_trials(study_id, state)
        if state is None:
            return len(self._trials)
        return sum(self._states[one] for one in ((state,) if isinstance(state, TrialState) else state))

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        writer = self._writer if study_id == self._study_id else None
        if writer is not None and template_trial is not None and template_trial.state == TrialState.RUNNING:
            number, template = len(self._trials), template_trial
            trial_id = self._lasting(lambda again: writer.create(template, number=number, again=again))
            trial = _as_stored(template_trial, number=number, trial_id=trial_id)
        else:
            trial_id = self._lasting(lambda again: self._create_behind(study_id, template_trial, again=again))
            if study_id != self._study_id:
                return trial_id
            trial = self._made_from(template_trial, trial_id) or self._behind.get_trial(trial_id)
        self._trials[trial.number] = trial
        self._numbers[trial_id], self._ids[trial.number] = trial.number, trial_id
        self._states[trial.state] += 1
        return trial_id

    def change(self, trial_id: int, changes: Changes) -> None:
        """Write all that there is to say of a trial of the study, in one transaction where that can be had."""
        if self._writer is None:
            write_in_steps(self, trial_id, changes)
            return
        self.check_trial_is_updatable(trial_id, self._trials[self._numbers[trial_id]].state)
        writer, ended = self._writer, datetime.now()  # noqa: DTZ005  # as Optuna's are
        self._lasting(lambda _: writer.change(trial_id, changes, ended=ended))
        changed = self._changed(trial_id)
        assert changed is not None
        changed.user_attrs = {**changed.user_attrs, **{key: _as_read(v) for key, v in changes.user_attrs.items()}}
        if changes.system_attrs:
            added = {key: _as_read(value) for key, value in changes.system_attrs.items()}
            changed.system_attrs = {**changed.system_attrs, **added}
        changed.intermediate_values = {**changed.intermediate_values, **changes.steps}
        if changes.state is not None:
            self._end(changed, changes.state, changes.values)

    # --- what Optuna itself asks, and what is written where its tables are not known

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._lasting(lambda _: self._behind.set_study_user_attr(study_id, key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._lasting(lambda _: self._behind.set_study_system_attr(study_id, key, value))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._lasting(lambda _: self._behind.get_study_directions(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._lasting(lambda _: self._behind.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._lasting(lambda _: self._behind.get_study_system_attrs(study_id))

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._lasting(lambda _: self._behind.get_study_name_from_id(study_id))

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self._lasting(lambda _: self._behind.set_trial_param(trial_id, param_name, param_value_internal, distribution))
        value = distribution.to_external_repr(param_value_internal)
        if changed := self._changed(trial_id):
            changed.params = {**changed.params, param_name: value}
            changed.distributions = {**changed.distributions, param_name: distribution}

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._lasting(lambda _: self._behind.set_trial_intermediate_value(trial_id, step, intermediate_value))
        if changed := self._changed(trial_id):
            changed.intermediate_values = {**changed.intermediate_values, step: intermediate_value}

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._lasting(lambda _: self._behind.set_trial_user_attr(trial_id, key, value))
        if changed := self._changed(trial_id):
            changed.user_attrs = {**changed.user_attrs, key: _as_read(value)}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._lasting(lambda _: self._behind.set_trial_system_attr(trial_id, key, value))
        if changed := self._changed(trial_id):
            changed.system_attrs = {**changed.system_attrs, key: _as_read(value)}

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        done = self._lasting(lambda again: self._end_behind(trial_id, state, values, again=again))
        if done and (changed := self._changed(trial_id)):
            self._end(changed, state, values)
        return done

    def _lasting(self, act: Callable[[bool], T]) -> T:
        """Do something with the storage behind; given whether it may have been done before. See `Held.persist`."""
        return act(False) if self._held is None else self._held.persist(act)

    def _create_behind(self, study_id: int, template: FrozenTrial | None, *, again: bool) -> int:
        if again and study_id == self._study_id:
            with suppress(KeyError):  # Nobody else makes trials of this study: it is the one that was to be made.
                return self._behind.get_trial_id_from_study_id_trial_number(study_id, len(self._trials))
        return self._behind.create_new_trial(study_id, template)

    def _end_behind(self, trial_id: int, state: TrialState, values: Sequence[float] | None, *, again: bool) -> bool:
        try:
            return self._behind.set_trial_state_values(trial_id, state, values)
        except UpdateFinishedTrialError:
            if not again:
                raise
            return True  # That was committed, although nobody said so.

    def _end(self, changed: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._states[changed.state] -= 1
        self._states[state] += 1
        changed.state = state
        if values is not None:
            changed.values = list(values)
        if state.is_finished():
            changed.datetime_complete = datetime.now()  # noqa: DTZ005  # local and without a zone, as Optuna's are

    def _made_from(self, template: FrozenTrial | None, trial_id: int) -> FrozenTrial | None:
        """The new trial without a read; None if its number has to be asked for."""
        number = len(self._trials)
        if template is None or self._behind.get_trial_id_from_study_id_trial_number(self._study_id, number) != trial_id:
            return None
        return _as_stored(template, number=number, trial_id=trial_id)

    def _changed(self, trial_id: int) -> FrozenTrial | None:
        """Replace a trial with a copy, and return that to be changed; None for a trial of another study."""
        number = self._numbers.get(trial_id)
        if number is None:
            return None
        changed = self._trials[number] = copy.copy(self._trials[number])
        return changed


def _as_stored(template: FrozenTrial, *, number: int, trial_id: int) -> FrozenTrial:
    trial = numbered(template, number=number, trial_id=trial_id)
    trial.user_attrs, trial.system_attrs = _as_read(trial.user_attrs), _as_read(trial.system_attrs)
    return trial


def _as_read(value: Any) -> Any:
    """An attribute as it would be read: it is stored as JSON."""
    return json.loads(json.dumps(value))
