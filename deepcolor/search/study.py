"""The one door to Optuna's storage: studies and their trials, opened, locked, asked, told and read."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from deepcolor.atomic import write_atomically
from deepcolor.config.schema import ParamValue, SearchConfig, Sweep, unknown_name
from deepcolor.errors import StudyError, WorkspaceError
from deepcolor.search.space import distributions
from deepcolor.training.trajectory import View
from deepcolor.workspace import Workspace

LOCK_WAIT_S = 120
"""How long a writer waits for a database that another process holds."""

_SWEEP, _RESOLVED, _PLACE, _OUTCOME, _ERROR, _PINS, _STARTED = (
    "sweep",
    "resolved",
    "place",
    "outcome",
    "error",
    "pins",
    "started_ms",
)


def now_ms() -> int:
    """Unix time in milliseconds."""
    return int(time.time() * 1000)


@dataclass(frozen=True)
class Place:
    """Where a trial's training lies, recorded when it is asked."""

    trajectory: str
    in_store_epochs: int
    """Epochs the store held before this trial."""
    parent: str | None = None
    """The model it starts from, such as `colorizer@3`."""
    started_ms: int = field(default_factory=now_ms)
    """Unix time: Optuna's own times are local and lose their zone."""


@dataclass(frozen=True)
class Outcome:
    """What a finished trial gave, beside its value."""

    view: View
    result: str | None = None
    """Result folder, relative to the trajectory store."""
    metrics: dict[str, float] = field(default_factory=dict)
    host: str = ""
    device: str = ""
    ended_ms: int = field(default_factory=now_ms)


@dataclass(frozen=True)
class StoredTrial:
    """One trial as the storage holds it."""

    number: int
    state: str
    """running, complete or failed."""
    params: dict[str, ParamValue]
    value: float | None
    started_ms: int
    ended_ms: int | None
    place: Place | None
    outcome: Outcome | None
    error: str | None

    @property
    def finished(self) -> bool:
        return self.state != "running"

    @property
    def diverged(self) -> bool:
        return self.outcome is not None and self.outcome.view.diverged


class StudyStorage:
    """All studies of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def names(self) -> list[str]:
        """Names of all studies, in order of creation; none when the workspace has no database yet."""
        if not self._workspace.optuna_db.exists():
            return []
        return [summary.study_name for summary in self._storage.get_all_studies()]

    def load(self, name: str) -> StoredStudy:
        """Open a study to read it.

        Raises:
            StudyError: There is no such study.
        """
        names = self.names()
        if name not in names:
            known = (
                unknown_name(name, names) if names else "there are no studies yet; start one with: deepcolor sweep FILE"
            )
            raise StudyError(f"study: {name!r} is not in {self._workspace.studies}; {known}.")
        return StoredStudy(optuna.load_study(study_name=name, storage=self._storage))

    def open(self, sweep: Sweep, resolve: Callable[[], Sweep]) -> StoredStudy:
        """Create the sweep's study, or go on with it.

        Args:
            sweep: The sweep as its file gives it.
            resolve: Fills in what the sweep takes over from its parent model; called only when the study is new.
        Raises:
            StudyError: A study of this name was made from another sweep.
        """
        written = sweep.model_dump(mode="json")
        if sweep.study in self.names():
            study = self.load(sweep.study)
            if study.written:
                refuse_changed(study.written, written, sweep.study)
                return study
        resolved = resolve().model_dump(mode="json")
        new = optuna.create_study(
            study_name=sweep.study, storage=self._storage, direction="minimize", load_if_exists=True
        )
        # The sweep is written last: a study without it was cut off while it was created, and is created again.
        for key, value in ((_STARTED, now_ms()), (_RESOLVED, resolved), (_SWEEP, written)):
            new.set_user_attr(key, value)
        return StoredStudy(new)

    @cached_property
    def _storage(self) -> optuna.storages.BaseStorage:
        from sqlalchemy.exc import SQLAlchemyError

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with self._creation_lock():
            try:
                return _wal(
                    optuna.storages.RDBStorage(
                        self._workspace.optuna_url, engine_kwargs={"connect_args": {"timeout": LOCK_WAIT_S}}
                    )
                )
            except (SQLAlchemyError, OSError) as error:
                reason = str(getattr(error, "orig", error))
                raise WorkspaceError(
                    f"studies database: cannot be opened; {reason} ({self._workspace.optuna_db}). "
                    "Mend the folder's permissions, or choose another --workspace."
                ) from error

    @contextmanager
    def _creation_lock(self) -> Iterator[None]:
        # Several processes that set the database up at once would each create its tables.
        self._workspace.create()
        with FileLock(self._workspace.studies / ".optuna.lock", timeout=LOCK_WAIT_S):
            yield


class StoredStudy:
    """One study: its sweep, its trials, and the only way to change them."""

    def __init__(self, study: Study) -> None:
        self._study = study

    @property
    def name(self) -> str:
        return self._study.study_name

    @cached_property
    def written(self) -> dict[str, Any]:
        """The sweep as its file gave it, as a JSON value."""
        return dict(self._study.user_attrs.get(_SWEEP, {}))

    @cached_property
    def sweep(self) -> Sweep:
        """The sweep as it runs, with what it took over from its parent model."""
        attrs = self._study.user_attrs
        if _RESOLVED not in attrs:
            raise StudyError(
                f"study: {self.name!r} was not made by deepcolor, or its creation was cut off. Choose another name."
            )
        return Sweep(**attrs[_RESOLVED])

    @property
    def started_ms(self) -> int:
        return int(self._study.user_attrs.get(_STARTED, 0))

    @property
    def pins(self) -> dict[str, dict[str, str]]:
        """Parent weights by reference, as they were when first used."""
        return dict(self._study.user_attrs.get(_PINS, {}))

    def pin(self, key: str, value: Mapping[str, str]) -> None:
        """Remember what a reference stood for, so that the study keeps it whatever becomes of the alias."""
        self._study.set_user_attr(_PINS, {**self.pins, key: dict(value)})

    def trials(self) -> list[StoredTrial]:
        """All trials, by number."""
        return [_stored(trial) for trial in self._study.get_trials(deepcopy=False)]

    def use_sampler(self, search: SearchConfig) -> None:
        """Set the sampler that `ask` draws from; its seed moves on with the study, so that a restart does not draw the
        same again.
        """
        seed = search.seed + len(self._study.get_trials(deepcopy=False))
        if search.sampler == "tpe":
            self._study.sampler = optuna.samplers.TPESampler(seed=seed)
        else:
            self._study.sampler = optuna.samplers.RandomSampler(seed=seed)

    def ask(self, search: SearchConfig) -> StoredTrial:
        """Draw a new setting from the sampler and start its trial."""
        trial = self._study.ask(fixed_distributions=distributions(search))
        return self._trial(trial.number)

    def add(self, params: Mapping[str, ParamValue], search: SearchConfig) -> StoredTrial:
        """Start the trial of a given setting."""
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING, params=dict(params), distributions=distributions(search)
        )
        self._study.add_trial(template)
        return self._trial(len(self._study.get_trials(deepcopy=False)) - 1)

    def place(self, number: int, place: Place) -> StoredTrial:
        """Record where a trial's training lies."""
        self._set(number, _PLACE, vars(place))
        return self._trial(number)

    def tell(self, number: int, outcome: Outcome) -> StoredTrial:
        """Finish a trial with its outcome; telling it again changes nothing."""
        self._set(number, _OUTCOME, {**vars(outcome), "view": vars(outcome.view)})
        self._study.tell(number, outcome.view.value, skip_if_finished=True)
        return self._trial(number)

    def fail(self, number: int, reason: str) -> StoredTrial:
        """Finish a trial that gave no value."""
        self._set(number, _ERROR, {"reason": reason, "ended_ms": now_ms()})
        self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
        return self._trial(number)

    @property
    def optuna_study(self) -> Study:
        """For Optuna's own analyses; not to be changed."""
        return self._study

    def _trial(self, number: int) -> StoredTrial:
        return _stored(self._study.get_trials(deepcopy=False)[number])

    def _set(self, number: int, key: str, value: Any) -> None:
        frozen = self._study.get_trials(deepcopy=False)[number]
        if not frozen.state.is_finished():
            storage_id = frozen._trial_id  # noqa: SLF001  # what Trial asks for has no public name
            optuna.trial.Trial(self._study, storage_id).set_user_attr(key, value)


@contextmanager
def owned(workspace: Workspace, name: str) -> Iterator[None]:
    """Own a study while driving it. The lock is the operating system's, so a dead owner's is free at once.

    Raises:
        StudyError: Another driver owns the study; the message names it.
    """
    folder = workspace.study(name)
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / ".driver.lock"), folder / "driver.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StudyError(
            f"study: {name!r} is being driven already{_owner(owner)}. Wait for it, or stop it with Ctrl-C there."
        ) from None
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        write_atomically(owner, json.dumps({"host": platform.node(), "pid": os.getpid(), "since": since}).encode())
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def refuse_changed(stored: Mapping[str, Any], given: Mapping[str, Any], name: str) -> None:
    """Raise StudyError with the differences when a study was made from another sweep; the description may change."""
    changes = [
        f"{key}: {old!r} -> {new!r}"
        for key, old, new in _differences(stored, given)
        if key.split(".")[0] != "description"
    ]
    if changes:
        raise StudyError(
            f"study: {name!r} was made from another sweep; changed: {'; '.join(changes)}. "
            "Give the sweep another study name, or undo the change."
        )


def _differences(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else str(key))
    elif old != new:
        yield prefix, old, new


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
        return f" on {owner['host']} by process {owner['pid']} since {owner['since']}"
    except (OSError, ValueError, KeyError):
        return ""


def _wal(storage: optuna.storages.RDBStorage) -> optuna.storages.RDBStorage:
    """Let readers and the writer go on beside each other, and commit without waiting for the disk each time.

    With a write-ahead log, synchronous=NORMAL keeps every commit through a crash of the process; a power cut may take
    the last few, which are trained again from their checkpoints.
    """
    from sqlalchemy import event

    def configure(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", configure)
    storage.engine.dispose()
    return storage


def _stored(trial: FrozenTrial) -> StoredTrial:
    attrs = trial.user_attrs
    outcome = attrs.get(_OUTCOME)
    place = attrs.get(_PLACE)
    error = attrs.get(_ERROR) or {}
    return StoredTrial(
        number=trial.number,
        state=_STATES[trial.state],
        params=dict(trial.params),
        value=trial.values[0] if trial.values else None,
        started_ms=place["started_ms"] if place else _ms(trial.datetime_start) or 0,
        ended_ms=(outcome or error).get("ended_ms") or _ms(trial.datetime_complete),
        place=Place(**place) if place else None,
        outcome=Outcome(**{**outcome, "view": View(**outcome["view"])}) if outcome else None,
        error=error.get("reason"),
    )


def _ms(moment: Any) -> int | None:
    return int(moment.timestamp() * 1000) if moment is not None else None


_STATES = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "complete",
    TrialState.FAIL: "failed",
}
