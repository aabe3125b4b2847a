"""Let a study grow: check that its trials keep their meaning, and write them again as trials of the larger sweep.

Optuna never changes the choices a study began with, nor reopens a finished trial. So a study that grows is rewritten,
with the same trials under the same numbers; those that were pruned are open again, and wait at their rung.

    write the trials into a copy, and mark it complete
    remove the study
    write the copy into a study of the old name
    remove the copy

A copy without the mark was interrupted, and is removed; from one with the mark the steps continue, whichever were done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from deepcolor.config.aims import figures_needed
from deepcolor.config.constraints import KNOWN_BEFORE
from deepcolor.config.schema import Setting, Sweep
from deepcolor.errors import StudyError
from deepcolor.fields.objective import Direction
from deepcolor.search.study.space import distributions_of, misfits, params_of
from deepcolor.search.study.trials import ERROR

COPY_SUFFIX = "~extended"
"""No study's name can contain it."""
_WHOLE = "whole"


def refuse_changed_meaning(old: Sweep, new: Sweep, settings: Mapping[int, Setting]) -> None:
    """Raise StudyError if a larger sweep would give a study's trials another meaning.

    Args:
        old: The sweep the study was made from.
        new: The one it is to continue with.
        settings: Of each trial that has a value or is being trained, by number.
    """
    reasons = [f"stage: {old.stage} -> {new.stage}"] if old.stage != new.stage else []
    if old.search.objectives != new.search.objectives:
        said = (", ".join(sweep.search.objectives) for sweep in (old, new))
        reasons.append(f"search.objective: {' -> '.join(said)}")
    reasons += _newly_measured(old, new) if settings else []
    for number, setting in settings.items():
        found = misfits(new, setting)
        if found and not reasons:
            reasons = [f"trial {number} would no longer be one of its trials: {'; '.join(found)}"]
    if reasons:
        raise StudyError(
            f"study: {new.study!r} cannot be extended like this, as its finished trials would mean something else; "
            f"{'; '.join(reasons)}. Give the sweep another study name, or undo that change."
        )


def _newly_measured(old: Sweep, new: Sweep) -> list[str]:
    """Constraints on what nobody has written down of the trials there are; a bound itself may change."""
    known = {*figures_needed(old.search), *old.search.objectives}
    return [
        f"search.constraints.{name}: was not recorded of them"
        for name in new.search.constraints
        if name not in known and name not in KNOWN_BEFORE
    ]


def keep_adopted(old: Sweep, new: Sweep) -> Sweep:
    """Return the larger sweep with the model fields that the old one took over from its parent, if it still has it."""
    if new.init.init_from is None or new.init.init_from != old.init.init_from:
        return new
    free = [
        field
        for field in type(new.model).model_fields
        if field not in new.model.model_fields_set and field not in new.searched_fields
    ]
    taken = {field: getattr(old.model, field) for field in free}
    return new.model_copy(update={"model": new.model.model_copy(update=taken)})


def rewrite(
    storage: BaseStorage,
    name: str,
    *,
    trials: Sequence[FrozenTrial],
    attrs: Mapping[str, Any],
    directions: Sequence[Direction],
) -> None:
    """Rewrite a study with these trials and attributes; wherever that is interrupted, `recover` finishes or undoes it.

    Args:
        storage: Holds the study.
        name: Its name.
        trials: All of them, by number.
        attrs: The study's attributes; the last one is written last.
        directions: Which values are better, by objective.
    """
    copy = optuna.create_study(study_name=name + COPY_SUFFIX, storage=storage, directions=list(directions))
    _fill(copy, trials, attrs)
    copy.set_user_attr(_WHOLE, value=True)
    recover(storage, name)


def recover(storage: BaseStorage, name: str) -> None:
    """Finish or undo a rewriting that was interrupted; if there is none, change nothing."""
    names = {study.study_name for study in storage.get_all_studies()}
    if name + COPY_SUFFIX not in names:
        return
    copy = optuna.load_study(study_name=name + COPY_SUFFIX, storage=storage)
    attrs = dict(copy.user_attrs)
    if attrs.pop(_WHOLE, False):
        if name in names:
            optuna.delete_study(study_name=name, storage=storage)
        study = optuna.create_study(study_name=name, storage=storage, directions=copy.directions)
        _fill(study, copy.get_trials(deepcopy=False), attrs)
    optuna.delete_study(study_name=name + COPY_SUFFIX, storage=storage)


def rewritten(
    trial: FrozenTrial, *, old: Sweep, new: Sweep, reopened: frozenset[str], marks: frozenset[str]
) -> FrozenTrial:
    """Return a trial as it stands in the larger sweep.

    Args:
        trial: As stored.
        old: The sweep it was a trial of.
        new: The sweep it becomes one of.
        reopened: Attributes that a pruned trial loses when it is reopened.
        marks: Attributes of trials that are not the study's own.
    """
    setting = _setting(old, trial)
    fits = setting is not None and not misfits(new, setting)
    own = not marks & trial.user_attrs.keys()
    pruned = trial.state == TrialState.PRUNED and ERROR not in trial.user_attrs  # Else somebody has stopped it.
    opened = own and fits and pruned and (new.search.pruner.resume or _unpruned(new))
    state = TrialState.RUNNING if opened else trial.state
    if not fits and state == TrialState.COMPLETE:
        state = TrialState.FAIL  # Another study's, outside the new space: its number stays taken.
    finished = state.is_finished()
    params = params_of(new, setting) if setting is not None and fits else {}
    return FrozenTrial(
        number=trial.number,
        state=state,
        value=None,
        values=trial.values if finished and state != TrialState.FAIL else None,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete if finished else None,
        params=dict(params),
        distributions=distributions_of(params, new.search),
        user_attrs={key: value for key, value in trial.user_attrs.items() if not (opened and key in reopened)},
        system_attrs=trial.system_attrs if _drawn_alike(old, new) else {},
        intermediate_values=trial.intermediate_values if fits else {},
        trial_id=-1,
    )


def _drawn_alike(old: Sweep, new: Sweep) -> bool:
    """Whether a sampler's notes on the trials of one sweep mean the same in the other."""
    keys = ("sampler", "sampler_options", "space")
    return all(getattr(old.search, key) == getattr(new.search, key) for key in keys) and old.code == new.code


def _setting(sweep: Sweep, trial: FrozenTrial) -> Setting | None:
    """The trial's setting; None if it was interrupted while its parameters were drawn."""
    return sweep.setting(trial.params) if sweep.space.is_whole(trial.params) else None


def _unpruned(sweep: Sweep) -> bool:
    return sweep.search.pruner.name == "none"


def _fill(study: Study, trials: Sequence[FrozenTrial], attrs: Mapping[str, Any]) -> None:
    for trial in trials:
        study.add_trial(trial)
    for key, value in attrs.items():
        study.set_user_attr(key, value)
