"""One study in Optuna's storage: its sweep and its trials, asked, told and read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from deepcolor.columns import from_columns
from deepcolor.config.schema import ParamValue, SearchConfig, Sweep
from deepcolor.config.stored import Stored, read_stored
from deepcolor.config.yamlfile import dump
from deepcolor.counting import counted
from deepcolor.errors import StudyError
from deepcolor.fields.objective import Direction, Objective
from deepcolor.plugins import Code
from deepcolor.search.study.aims import Aims
from deepcolor.search.study.changes import changes_of
from deepcolor.search.study.first import first_key
from deepcolor.search.study.held import Held
from deepcolor.search.study.in_front import numbered
from deepcolor.search.study.mirror import Mirror
from deepcolor.search.study.reading import read_trials
from deepcolor.search.study.renaming import FOLLOWS, NAMES, names_of
from deepcolor.search.study.sampling import Drawing, sampler_of
from deepcolor.search.study.sizes import DRAWS, Fitting
from deepcolor.search.study.space import distributions, distributions_of
from deepcolor.search.study.trials import (
    CONFIRMS,
    ERROR,
    FIRST,
    FOREIGN,
    OUTCOME,
    OUTLOOKS,
    PLACE,
    TARGET,
    Confirms,
    Outcome,
    Place,
    Plan,
    Spent,
    StoredTrial,
    now_ms,
    stored_trial,
    unplanned,
)
from deepcolor.search.study.writing import Changes, write_in_steps
from deepcolor.tracking.layout import study_id

T = TypeVar("T")

SWEEP, RESOLVED, STARTED, WORKSPACE = "sweep", "resolved", "started_ms", "workspace"
"""Attributes of a study. Its sweep as the file gives it is written last: without it, its creation was interrupted."""
_PINS, _SPENT, _RETRIED, _STOPPED = "pins", "spent", "retried", "stopped"
_SAMPLER_DRAWS = 100
"""After so many that do not fit, a sampler that insists on them is left alone."""
_DIRECTIONS: dict[StudyDirection, Direction] = {
    StudyDirection.MINIMIZE: "minimize",
    StudyDirection.MAXIMIZE: "maximize",
    StudyDirection.NOT_SET: "minimize",
}


class StoredStudy:
    """One study: its sweep, its trials, and the only way to change them."""

    def __init__(self, name: str, storage: RDBStorage | Mirror, *, held: Held | None = None) -> None:
        """Open a study that exists.

        Args:
            name: Its name.
            storage: Holds it; mirrored by the driver that owns it.
            held: Its lock in that driver's hands, where a database server keeps it.
        """
        self._storage = storage
        self.held = held
        self._study_id = storage.get_study_id_from_name(name)
        self._study = optuna.load_study(study_name=name, storage=storage)
        self._drawing: Drawing | None = None
        self._distributed: tuple[SearchConfig, Mapping[str, BaseDistribution]] | None = None

    def __repr__(self) -> str:
        try:
            about = f"{self.sweep.label} on {self.sweep.data.title}".removesuffix(" on ")
        except (StudyError, ValidationError):
            about = "of another version"
        return f"<study {self.name}: {about}, {counted(len(self._study.get_trials(deepcopy=False)), 'trial')}>"

    @property
    def name(self) -> str:
        return self._study.study_name

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every name that it has had, the oldest first; its present one is among them."""
        return names_of(self.name, self._study.user_attrs)

    @property
    def workspace_id(self) -> str | None:
        """The identity of the workspace of its trainings, where a database server keeps it; None: not known yet."""
        return self._study.user_attrs.get(WORKSPACE)

    @property
    def follows(self) -> str:
        """The former name whose folder has yet to follow; empty if none has."""
        return str(self._study.user_attrs.get(FOLLOWS, ""))

    def put_followed(self) -> None:
        """Record that its folder has followed its name."""
        self._study.set_user_attr(FOLLOWS, "")

    def attrs_as(self, name: str) -> dict[str, Any]:
        """Return those of its attributes that change if it gets another name."""
        attrs = self._study.user_attrs
        sweeps = {key: {**attrs[key], "study": name} for key in (SWEEP, RESOLVED) if key in attrs}
        return {**sweeps, NAMES: list(dict.fromkeys((*self.names, name))), FOLLOWS: self.name}

    @cached_property
    def written(self) -> dict[str, Any]:
        """The sweep as its file gave it, as a JSON value."""
        return dict(self._study.user_attrs.get(SWEEP, {}))

    @cached_property
    def sweep(self) -> Sweep:
        """The sweep as it runs, with what it took over from its parent model."""
        return self._stored.value

    @property
    def unknown(self) -> tuple[str, ...]:
        """What its sweep sets that this version of deepcolor does not know."""
        return self._stored.unknown

    @cached_property
    def _stored(self) -> Stored[Sweep]:
        attrs = self._study.user_attrs
        if RESOLVED not in attrs:
            raise self._foreign()
        try:
            return read_stored(Sweep, attrs[RESOLVED])
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            raise StudyError(
                f"study: {self.name!r} holds a sweep that this version of deepcolor cannot read; {key or 'sweep'}: "
                f"{first['msg']}. Use the version that made it."
            ) from error

    def refuse_foreign(self) -> None:
        """Raise StudyError if another program has made the study; an unfinished one of ours is empty."""
        if self._study.user_attrs.keys() - {STARTED, RESOLVED} or self._study.trials:
            raise self._foreign()

    def _foreign(self) -> StudyError:
        return StudyError(
            f"study: {self.name!r} was not created by deepcolor, or its creation was interrupted. Choose another name."
        )

    def refuse_unknown(self) -> None:
        """Raise StudyError if the study's sweep sets keys that this version does not know: it would train wrongly."""
        if self.unknown:
            raise StudyError(
                f"study: {self.name!r} was made by a later version of deepcolor, and sets what this one does not know: "
                f"{', '.join(self.unknown)}. Continue with that version, or give the sweep another study name."
            )

    def changes_to(self, sweep: Sweep) -> list[str]:
        """Say what differs between the study's sweep and another one: nothing if that is the one its file gave, or the
        one it runs.
        """
        given = sweep.model_dump(mode="json")
        resolved = self.sweep.model_dump(mode="json")
        return changes_of(self.written, given) if changes_of(resolved, given) else []

    def file_text(self) -> str:
        """Return a sweep file that continues the study as it is.

        What was taken over from a parent model is left out, so that the file can begin another study too.
        """
        self.refuse_unknown()
        tree = read_stored(Sweep, self.written).value.model_dump(mode="json")
        runs = self.sweep.model_dump(mode="json")["model"]
        tree["model"] = {field: value for field, value in tree["model"].items() if value == runs[field]}
        return dump(tree)

    @cached_property
    def digest(self) -> str:
        """`Sweep.digest` of its sweep under the name that the study began with: a name decides nothing of a search."""
        return self.sweep.model_copy(update={"study": self.names[0]}).digest()

    @property
    def started_ms(self) -> int:
        return int(self._study.user_attrs.get(STARTED, 0))

    @property
    def study_id(self) -> str:
        """What it is called for good (`layout.study_id`), whatever its name is now."""
        return study_id(self.names[0], self.started_ms)

    @property
    def pins(self) -> dict[str, dict[str, str]]:
        """Parent weights by reference, as they were when first used."""
        return dict(self._study.user_attrs.get(_PINS, {}))

    def pin(self, key: str, value: Mapping[str, str]) -> None:
        """Remember what a reference stood for, so that the study keeps it, whatever happens to the alias."""
        self._study.set_user_attr(_PINS, {**self.pins, key: dict(value)})

    def lasting(self, act: Callable[[], T]) -> T:
        """Do something that asks its database, again and again while the server that keeps it is away; see
        `Held.persist`. Done again, it must do no harm.
        """
        return act() if self.held is None else self.held.persist(lambda _: act())

    def trials(self) -> list[StoredTrial]:
        """All of its own trials, by number: those of the search, and those that confirm them."""
        known = self._direction, self.aims
        return [stored_trial(trial, *known) for trial in self._trials() if FOREIGN not in trial.user_attrs]

    @property
    def spent(self) -> Spent:
        """What the study has cost, as last recorded."""
        return from_columns(Spent, self._study.user_attrs.get(_SPENT, {}))

    def put_spent(self, spent: Spent) -> None:
        """Record what the study has cost."""
        self._study.set_user_attr(_SPENT, vars(spent))

    @property
    def stopped(self) -> str | None:
        """Why `search.stop` has ended the search, in words; None if it has not, or the sweep says otherwise by now."""
        stop, stopped = self.sweep.search.stop, self._study.user_attrs.get(_STOPPED)
        if stop is None or stopped is None or stopped["stop"] != stop.identity():
            return None
        return str(stopped["why"])

    def put_stopped(self, why: str) -> None:
        """Record that `search.stop` has ended the search, and why."""
        stop = self.sweep.search.stop
        assert stop is not None, "the sweep says when it ends"
        self._study.set_user_attr(_STOPPED, {"stop": stop.identity(), "why": why})

    @property
    def retried(self) -> frozenset[int]:
        """Numbers of the trials that had failed when a driver was last started, which retries what they tried."""
        return frozenset(self._study.user_attrs.get(_RETRIED, ()))

    def put_retried(self, numbers: frozenset[int]) -> None:
        """Record which trials had failed before this start."""
        if numbers != self.retried:
            self._study.set_user_attr(_RETRIED, sorted(numbers))

    def use_sampler(self, search: SearchConfig, *, code: Path | None = None) -> None:
        """Set the sampler that `ask` draws from.

        Args:
            search: Names it.
            code: The folder of the files with a user's code (`Workspace.code`); None if the search names none.
        Raises:
            CodeError: A user's own cannot be imported or is not a sampler, or does not take its options.
        """
        known = [trial for trial in self._study.get_trials(deepcopy=False) if CONFIRMS not in trial.user_attrs]
        brought = Code(self.sweep.code, code or Path())
        sampler = sampler_of(search, trials=len(known), code=brought)
        self._drawing = Drawing(self.name, self._storage, search, sampler, space=self.sweep.space)

    def ask(
        self, search: SearchConfig, *, first: Mapping[str, ParamValue] | None = None, planned: Plan = unplanned
    ) -> StoredTrial:
        """Draw a new setting from the sampler and start its trial; what may not be trained is drawn again.

        Args:
            search: Of the study's sweep.
            first: A setting to be tried before the sampler draws its own, as far as it is given.
            planned: See `add`.
        Raises:
            StudyError: None of many draws may be trained.
        """
        assert self._drawing is not None, "use_sampler comes first"
        for tries in range(DRAWS):
            drawn = self._drawing.draw(first or {}, by_chance=tries >= _SAMPLER_DRAWS)
            if self._fitting.fits(drawn.params):
                return self.add(drawn.params, search, notes=drawn.notes, first=first, planned=planned)
        raise self._fitting.none_fits(tried=f"{DRAWS} draws")

    @property
    def foreign(self) -> set[tuple[str, int]]:
        """(study, number) of each trial of another study that the sampler learns from."""
        marks = (trial.user_attrs.get(FOREIGN) for trial in self._study.get_trials(deepcopy=False))
        return {(mark["study"], mark["trial"]) for mark in marks if mark}

    def add_foreign(
        self,
        params: Mapping[str, ParamValue],
        values: Sequence[float],
        search: SearchConfig,
        *,
        origin: tuple[str, int],
        figures: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Offer another study's finished trial to the sampler; it takes up a number, but is not shown anywhere else."""
        study, trial = origin
        self._study.add_trial(
            optuna.trial.create_trial(
                params=dict(params),
                distributions=distributions_of(params, search),
                values=list(values),
                user_attrs={FOREIGN: {"study": study, "trial": trial}},
                system_attrs=self.aims.notes(figures),
            )
        )

    def add(
        self,
        params: Mapping[str, ParamValue],
        search: SearchConfig,
        *,
        confirms: Confirms | None = None,
        notes: Mapping[str, Any] = MappingProxyType({}),
        first: Mapping[str, ParamValue] | None = None,
        planned: Plan = unplanned,
    ) -> StoredTrial:
        """Start the trial of a given setting; a crash leaves all of it or nothing.

        Args:
            params: Its values by name.
            search: Of the study's sweep.
            confirms: The trial that it confirms.
            notes: Its sampler's.
            first: What was given of it, if it is one that the sweep tries first.
            planned: Asked with the trial as it will be stored, where its training is and how far it may go: stored with
                it. None: that is said later (`place`, `let_on`).
        """
        every = self._distributions(search)
        attrs = {**({CONFIRMS: vars(confirms)} if confirms else {}), **({FIRST: first_key(first)} if first else {})}
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions={name: every[name] for name in params},
            user_attrs=attrs,
            system_attrs=dict(notes),
        )
        count = self._storage.get_n_trials(self._study_id)
        plan = planned(stored_trial(numbered(template, number=count, trial_id=-1), self._direction, self.aims))
        if plan is not None:
            template.user_attrs[PLACE] = {**vars(plan.place), "started_ms": self._never_back(plan.place.started_ms)}
            if plan.to_epoch is not None:
                template.user_attrs[TARGET] = plan.to_epoch
        number = self._storage.get_trial(self._storage.create_new_trial(self._study_id, template)).number
        return self._trial(number)

    def place(self, number: int, place: Place) -> StoredTrial:
        """Record where a trial's training is.

        A trial that is placed again, because its setting now means another training, begins there from the start.
        """
        before, passed = self._trial(number).place, tuple(self._frozen(number).intermediate_values)
        started_ms = before.started_ms if before else self._never_back(place.started_ms)
        self._set(number, PLACE, {**vars(place), "passed": passed, "started_ms": started_ms})
        return self._trial(number)

    def tell(self, number: int, outcome: Outcome) -> StoredTrial:
        """Finish a trial with its outcome; telling it again changes nothing."""
        value = outcome.view.value
        values = self.aims.values(value, {} if outcome.view.diverged else outcome.figures)
        notes = self.aims.notes({self.aims.names[0]: value, **outcome.figures})
        kept = {OUTCOME: self._written_outcome(outcome)}
        return self._finish(number, TrialState.COMPLETE, kept, values=values, notes=notes)

    def report(
        self,
        number: int,
        *,
        epoch: int,
        value: float,
        figures: Mapping[str, float] = MappingProxyType({}),
        outlook: float | None = None,
    ) -> StoredTrial:
        """Record the objective of a trial at a rung, what constraints are about, and what its curve is heading for, as
        a loss; done again, it changes nothing.
        """
        trial = self._trial(number)
        if epoch not in trial.reached:
            kept: dict[str, Any] = {}
            notes = self.aims.notes({self.aims.names[0]: value, **figures})
            if trial.place is not None and epoch in trial.place.passed:
                left = tuple(rung for rung in trial.place.passed if rung != epoch)
                kept[PLACE] = {**vars(trial.place), "passed": left}
            if outlook is not None:
                # By the rung as text: a key of a JSON object.
                kept[OUTLOOKS] = {str(rung): loss for rung, loss in {**trial.outlooks, epoch: outlook}.items()}
            self._write(number, Changes(user_attrs=kept, system_attrs=notes, steps={epoch: value}))
        return self._trial(number)

    def let_on(self, number: int, *, to_epoch: int) -> StoredTrial:
        """Record that a trial may train to an epoch."""
        self._set(number, TARGET, to_epoch)
        return self._trial(number)

    def prune(self, number: int, outcome: Outcome, *, reason: str = "") -> StoredTrial:
        """Finish a trial that does not continue; its value is the one at its last rung.

        Args:
            number: Of the trial.
            outcome: What it has come to.
            reason: Why, where it was not its pruner that ended it; such a trial stays ended when the study grows.
        """
        steps = self._frozen(number).intermediate_values
        last = steps[max(steps)] if steps else math.nan
        kept: dict[str, Any] = {OUTCOME: self._written_outcome(outcome)}
        if reason:
            kept[ERROR] = {"reason": reason, "epochs": outcome.view.end_epoch}
        notes = self.aims.notes({self.aims.names[0]: outcome.view.value, **outcome.figures})
        values = None if math.isnan(last) else [last]
        return self._finish(number, TrialState.PRUNED, kept, values=values, notes=notes)

    def fail(self, number: int, reason: str, *, epochs: int | None = None) -> StoredTrial:
        """Finish a trial that gave no value, after this many epochs of its trajectory."""
        error = {"reason": reason, "ended_ms": self._never_back(now_ms()), "epochs": epochs}
        return self._finish(number, TrialState.FAIL, {ERROR: error}, values=None)

    @cached_property
    def _fitting(self) -> Fitting:
        return Fitting(self.sweep)

    @cached_property
    def aims(self) -> Aims:
        """What its trials are judged by."""
        ways = [_DIRECTIONS[way] for way in self._study.directions]
        try:
            return Aims.of(self.sweep, ways)
        except (StudyError, ValidationError):  # Of another version: its trials can still be counted.
            return Aims(tuple(Objective("value", way) for way in ways))

    @cached_property
    def _direction(self) -> Direction:
        return _DIRECTIONS[self._study.directions[0]]

    @cached_property
    def _latest_ms(self) -> int:
        """The latest moment on record."""
        return max([self.started_ms, *(max(trial.started_ms, trial.ended_ms or 0) for trial in self.trials())])

    @property
    def optuna_study(self) -> Study:
        """For Optuna's own analyses; not to be changed."""
        return self._study

    def _finish(
        self,
        number: int,
        state: TrialState,
        attrs: Mapping[str, Any],
        *,
        values: Sequence[float] | None,
        notes: Mapping[str, Any] = MappingProxyType({}),
    ) -> StoredTrial:
        """End a trial, with what is to be kept of it; one that has ended stays as it is.

        Args:
            number: Of the trial.
            state: What it becomes.
            attrs: What is kept of it.
            values: Its value in each objective, if it has one.
            notes: By how much it breaks each constraint, as `Trial.set_constraint` writes it down for samplers.
        """
        trial = self._frozen(number)
        if not trial.state.is_finished():
            if notes:
                self._write(number, Changes(system_attrs=notes))
                trial = self._frozen(number)
            if self._drawing is not None and CONFIRMS not in trial.user_attrs:
                self._drawing.finishing(trial, state, values)
            self._write(number, Changes(user_attrs=attrs, state=state, values=values))
        return self._trial(number)

    def _written_outcome(self, outcome: Outcome) -> dict[str, Any]:
        return {**vars(outcome), "view": vars(outcome.view), "ended_ms": self._never_back(outcome.ended_ms)}

    def _never_back(self, moment_ms: int) -> int:
        """Keep the study's times in the order of its events, even if the machine's clock is set back."""
        self._latest_ms = max(self._latest_ms, moment_ms)
        return self._latest_ms

    def _trial(self, number: int) -> StoredTrial:
        return stored_trial(self._frozen(number), self._direction, self.aims)

    def _frozen(self, number: int) -> FrozenTrial:
        # Through the study this would read all of its open trials again.
        return self._storage.get_trial(self._id(number))

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _trials(self) -> Iterable[FrozenTrial]:
        """All trials by number: from memory if the study is mirrored, else as the database holds them now."""
        if isinstance(self._storage, Mirror):
            return self._storage.trials
        return read_trials(self._storage, self._study_id).values()

    def _set(self, number: int, key: str, value: Any) -> None:
        if not self._frozen(number).state.is_finished():
            self._write(number, Changes(user_attrs={key: value}))

    def _write(self, number: int, changes: Changes) -> None:
        if isinstance(self._storage, Mirror):
            self._storage.change(self._id(number), changes)
        else:
            write_in_steps(self._storage, self._id(number), changes)

    def _distributions(self, search: SearchConfig) -> Mapping[str, BaseDistribution]:
        """Those of a search, the same ones as long as it is the same: thousands of trials hold them."""
        if self._distributed is None or self._distributed[0] is not search:
            self._distributed = search, distributions(search)
        return self._distributed[1]
