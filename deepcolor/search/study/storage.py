"""The one door to Optuna's storage: all studies of a workspace, found, opened, extended and renamed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from deepcolor.config.schema import Sweep, unknown_name
from deepcolor.errors import StudyError
from deepcolor.plugins import look_in
from deepcolor.search.study.aims import CONSTRAINT, Aims
from deepcolor.search.study.changes import refused, write_resolved
from deepcolor.search.study.copying import copy_study
from deepcolor.search.study.database import database_of
from deepcolor.search.study.extension import (
    COPY_SUFFIX,
    keep_adopted,
    recover,
    refuse_changed_meaning,
    rewrite,
    rewritten,
)
from deepcolor.search.study.first import best_of_study, study_named
from deepcolor.search.study.mirror import Mirror
from deepcolor.search.study.ownership import owned
from deepcolor.search.study.renaming import (
    follow,
    follow_alone,
    now_called,
    refuse_elsewhere,
    refuse_mistakable,
    refuse_taken,
    rename,
)
from deepcolor.search.study.server import server_of
from deepcolor.search.study.stored import RESOLVED, STARTED, SWEEP, WORKSPACE, StoredStudy
from deepcolor.search.study.trials import (
    FOREIGN,
    OUTCOME,
    Confirms,
    Outcome,
    Place,
    Plan,
    Planned,
    Spent,
    StoredTrial,
    now_ms,
    stored_trial,
)
from deepcolor.search.study.used import note_use
from deepcolor.workspace import Workspace

__all__ = [
    "Confirms",
    "Outcome",
    "Place",
    "Plan",
    "Planned",
    "Spent",
    "StoredStudy",
    "StoredTrial",
    "StudyStorage",
    "now_ms",
    "owned",
]


class StudyStorage:
    """All studies of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._database = database_of(workspace)
        look_in(workspace.code)  # Sweeps of stages that users have brought cannot be read without them.

    def exists(self) -> bool:
        """Whether there is a database yet. None is created."""
        return self._database.exists()

    def names(self) -> list[str]:
        """Names of all studies, in order of creation; none if the workspace has no database yet.

        Not among them are those of other programs that keep theirs in the same database, and one whose creation was
        interrupted.
        """
        if not self.exists():
            return []
        own = (study.study_name for study in self._storage.get_all_studies() if RESOLVED in study.user_attrs)
        return [name for name in own if not name.endswith(COPY_SUFFIX)]

    def called_now(self, name: str) -> str | None:
        """Return the present name of the study that has, or once had, this name; None if there is none."""
        if self._holds(name):
            return name
        return now_called(self._storage, name) if self.exists() else None

    def load(self, name: str) -> StoredStudy:
        """Open a study to read it, by its name or a former one.

        Raises:
            StudyError: There is no such study.
        """
        found = self.called_now(name)
        if found is None or (found != name and not self._holds(found)):
            names = self.names()
            known = (
                unknown_name(name, names) if names else "there are no studies yet; start one with: deepcolor sweep FILE"
            )
            where = self._workspace.shown_storage if self._workspace.on_server else self._workspace.studies
            raise StudyError(f"study: {name!r} is not in {where}; {known}.")
        study = StoredStudy(found, self._storage)
        if study.follows:
            follow_alone(self._workspace, study)
        return study

    def refuse_former(self, name: str) -> None:
        """Refuse a sweep whose study has another name by now: nobody else can have its former one.

        Raises:
            StudyError: It has; the message says which.
        """
        found = self.called_now(name)
        if found not in (None, name):
            raise StudyError(
                f"study: {name!r} is called {found!r} now. To continue it, write study: {found} in the file, or add "
                f"-o study={found}; for a new one, choose another name."
            )

    def refuse_taken(self, new: str, *, of: str) -> None:
        """Refuse a name that a study cannot get.

        Args:
            new: The name.
            of: The study, which may get one back that it had.
        Raises:
            StudyError: Another study has, or once had, the name; or there is a folder that may be of one elsewhere.
        """
        refuse_taken(self._workspace, new, by=self.called_now(new), of=of)

    def _holds(self, name: str) -> bool:
        """Whether there is such a study; of a hundred others nothing is read for that."""
        if name.endswith(COPY_SUFFIX) or not self.exists():
            return False
        try:
            self._storage.get_study_id_from_name(name)
        except KeyError:
            return False
        return True

    def open(self, sweep: Sweep, resolve: Callable[[], Sweep], *, extend: bool = False) -> StoredStudy:
        """Create the sweep's study, or continue it. The caller holds the study's lock.

        Args:
            sweep: The sweep as its file gives it.
            resolve: Fills in what the sweep takes over from its parent model; called only if the study is new.
            extend: Let the study grow if the sweep has changed, as long as its trials keep their meaning.
        Raises:
            StudyError: A study of this name was made from another sweep, or cannot be extended to this one; or it is
                of another workspace.
        """
        self.refuse_former(sweep.study)
        recover(self._storage, sweep.study)
        note_use(self._workspace)
        if self._holds(sweep.study):
            follow(self._workspace, StoredStudy(sweep.study, self._storage))
        self._make(sweep, resolve, extend=extend)
        self._check_workspace(sweep.study)
        server = server_of(self._workspace)
        held = server.held.get(sweep.study) if server is not None else None
        study = StoredStudy(sweep.study, Mirror(self._storage, sweep.study, held=held), held=held)
        write_resolved(self._workspace, study.sweep)
        return study

    def take_over(self, other: StudyStorage, name: str) -> bool:
        """Copy a study of another database into this one; see `copying.copy_study`. The caller holds its locks."""
        recover(other._storage, name)
        recover(self._storage, name)
        refuse_mistakable(other.load(name), called_there=self.called_now)
        return copy_study(other._storage, self._storage, name)

    def rename(self, name: str, new: str) -> StoredStudy:
        """Give a study another name; its folder follows. The caller holds the locks of both names.

        Args:
            name: Its name.
            new: One that no study has or once had, but for this one.
        Raises:
            OSError: Its folder cannot be moved; whoever opens the study next tries again.
            StudyError: The name is another study's, or once was; or the study is of another program, version or
                workspace.
        """
        recover(self._storage, name)
        recover(self._storage, new)
        study = StoredStudy(name, self._storage)
        study.refuse_unknown()
        refuse_elsewhere(self._workspace, study)
        follow(self._workspace, study)
        self.refuse_taken(new, of=name)
        rename(self._storage, name, new, attrs=study.attrs_as(new))
        renamed = StoredStudy(new, self._storage)
        follow(self._workspace, renamed)
        return renamed

    def delete(self, name: str) -> None:
        """Delete a study with all of its trials, in one transaction. The caller holds its locks."""
        recover(self._storage, name)
        if self._holds(name):
            optuna.delete_study(study_name=name, storage=self._storage)

    def _make(self, sweep: Sweep, resolve: Callable[[], Sweep], *, extend: bool) -> None:
        """Create the study, or let it grow, if needed."""
        if self._holds(sweep.study):
            study = self.load(sweep.study)
            if study.written:
                study.refuse_unknown()
                changes = study.changes_to(sweep)
                if changes and not extend and not _is_a_mend(study, changes):
                    raise refused(self._workspace, sweep.study, changes)
                if changes:
                    self._extend(study, sweep)
                return
            study.refuse_foreign()
        resolved = self.with_first(resolve().settled())
        ways = [objective.direction for objective in sweep.objectives]
        new = optuna.create_study(study_name=sweep.study, storage=self._storage, directions=ways, load_if_exists=True)
        # The sweep is written last: a study without it was interrupted during its creation, and is created again.
        for key, value in ((STARTED, now_ms()), (RESOLVED, resolved.identity()), (SWEEP, sweep.identity())):
            new.set_user_attr(key, value)

    def _check_workspace(self, name: str) -> None:
        """Refuse a study whose trainings lie in another workspace, as that of others on the same server may."""
        if not self._workspace.on_server:
            return
        study = self.load(name).optuna_study
        own = self._workspace.identified()
        if (known := study.user_attrs.get(WORKSPACE)) is None:
            study.set_user_attr(WORKSPACE, own)
        elif known != own:
            raise StudyError(
                f"study: {name!r} in {self._workspace.shown_storage} must be continued in the workspace of its "
                f"trainings; got another one ({self._workspace.root}). Name that one with --workspace, or give the "
                "sweep another study name."
            )

    def with_first(self, sweep: Sweep, *, before: StoredStudy | None = None) -> Sweep:
        """Return a sweep with the settings themselves that it tries first, where it names a study of them.

        Args:
            sweep: As its file gives it.
            before: Its study as it stands; what that began with is kept where the same study is named.
        Raises:
            StudyError: There is no such study, or nothing of it lies in the space.
        """
        named = study_named(sweep.search.first)
        if named is None:
            return sweep
        if before is not None and before.written["search"].get("first") == sweep.search.first:
            first = before.sweep.search.first
        else:
            first = best_of_study(sweep, self.load(named))
        return sweep.model_copy(update={"search": sweep.search.model_copy(update={"first": first})})

    def _extend(self, study: StoredStudy, sweep: Sweep) -> None:
        old = study.sweep
        new = self.with_first(keep_adopted(old, sweep).settled(old), before=study)
        alive = [trial for trial in study.trials() if trial.state != "failed"]
        settings = {t.number: old.setting(t.params) for t in alive if old.space.is_whole(t.params)}
        refuse_changed_meaning(old, new, settings)
        ways = [objective.direction for objective in new.objectives]
        attrs = {**study.optuna_study.user_attrs, RESOLVED: new.identity()}
        attrs.pop(SWEEP)
        rewrite(
            self._storage,
            study.name,
            trials=[
                _judged_by(
                    Aims.of(new, ways),
                    rewritten(trial, old=old, new=new, reopened=frozenset({OUTCOME}), marks=frozenset({FOREIGN})),
                )
                for trial in study.optuna_study.get_trials(deepcopy=False)
            ],
            attrs={**attrs, SWEEP: sweep.identity()},
            directions=ways,
        )

    @cached_property
    def _storage(self) -> RDBStorage:
        return self._database.open()


def _is_a_mend(study: StoredStudy, changes: Sequence[str]) -> bool:
    """Whether nothing but code has changed, and nothing has come of the former: no trial but such as have failed."""
    only_code = all(change.startswith("code.") for change in changes)
    return only_code and all(trial.state == "failed" for trial in study.trials())


def _judged_by(aims: Aims, trial: FrozenTrial) -> FrozenTrial:
    """A trial of a study that grows, with what its constraints now say of it."""
    kept = {key: value for key, value in trial.system_attrs.items() if not key.startswith(CONSTRAINT)}
    known = stored_trial(trial, aims=aims)
    if trial.state.is_finished() and aims.constraints and known.outcome is not None:
        kept |= aims.notes(known.figures)
    trial.system_attrs = kept
    return trial
