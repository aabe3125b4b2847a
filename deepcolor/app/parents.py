"""Find the weights a training starts from, pin them to their study, and take over their network's form."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.config.schema import INIT_REF, Setting, Sweep
from deepcolor.errors import ConfigError, ModelError, StudyError
from deepcolor.models.description import ModelDescription, read_description
from deepcolor.search.rules.confirmation import confirmation_of, confirmed_weights
from deepcolor.search.rules.summary import best_of
from deepcolor.search.study.storage import StoredStudy, StoredTrial, StudyStorage
from deepcolor.stages.sections import ModelSection
from deepcolor.training.trajectory import InitWeights
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.registry.names import Ref


class Parents:
    """Resolves `init_from` for one study.

    What a reference stood for when it was first used is copied into the study's folder, so the study means the same for
    ever, whatever becomes of the alias, and continues while the registry cannot be reached.
    """

    def __init__(self, workspace: Workspace, storage: StudyStorage, *, tracking_uri: str) -> None:
        self._workspace = workspace
        self._storage = storage
        self._tracking_uri = tracking_uri

    def adopt(self, sweep: Sweep) -> Sweep:
        """Return a sweep with each model field that it leaves out taken over from the models it may start from.

        A transfer takes over all of the form, a colorizer that of the encoder.

        Raises:
            ConfigError: A field is given and differs from a parent's, or the parents differ from each other.
            ModelError: There is no such model, or no finished trial of such a study.
        """
        searched = "init_from" in sweep.search_names
        for ref in _refs(sweep):
            try:
                form = self._form(ref)
            except (ModelError, StudyError) as error:
                subject, _, said = str(error).partition(": ")
                key = "search.space.init_from" if searched else "init.init_from"
                raise type(error)(f"{key}: {'study ' if subject == 'study' else ''}{said}") from error
            sweep = _with_form(sweep, form, ref)
        return sweep

    def of(self, study: StoredStudy, setting: Setting) -> InitWeights | None:
        """Return the weights a setting of this study starts from, pinned.

        Raises:
            ModelError: They do not exist, or do not fit the setting.
        """
        ref = setting.init.init_from
        if ref is None:
            return None
        match = INIT_REF.fullmatch(ref)
        by_study = match is not None and match["study"] is not None
        key = f"{ref}#{_form_key(setting.model)}" if by_study else ref
        pins = study.pins
        if key not in pins:
            folder = self._workspace.study(study.name) / "parents" / f"{len(pins):02d}"
            # That the database of the other study is away for a moment must not be blamed on the setting.
            exact = (
                study.lasting(lambda: self._copy_best(ref, setting, folder)) if by_study else self._pull(ref, folder)
            )
            description = read_description(folder)
            study.pin(key, {"ref": exact, "sha256": description.weights_sha256, "folder": folder.name})
            pins = study.pins
        pin = pins[key]
        folder = self._workspace.study(study.name) / "parents" / pin["folder"]
        _refuse_misfit(setting, read_description(folder), ref)
        return InitWeights(sha256=pin["sha256"], folder=folder, ref=pin["ref"])

    def peek(self, study: StoredStudy | None, setting: Setting) -> InitWeights | None:
        """Return the weights a setting would start from now; nothing is copied or pinned, and the folder is not theirs.

        Raises:
            ModelError: They do not exist.
        """
        ref = setting.init.init_from
        if ref is None:
            return None
        match = INIT_REF.fullmatch(ref)
        by_study = match is not None and match["study"] is not None
        pin = (study.pins if study else {}).get(f"{ref}#{_form_key(setting.model)}" if by_study else ref)
        if pin is not None:
            return InitWeights(pin["sha256"], Path(), pin["ref"])
        if by_study:
            best = self._best_fit(ref, setting)
            result = str(best.outcome.result) if best.outcome else ""
            return InitWeights(read_description(self._workspace.trajectories / result).weights_sha256, Path(), ref)
        from deepcolor.registry.versions import resolve

        version = resolve(ref, tracking_uri=self._tracking_uri)
        return InitWeights(version.weights_sha256, Path(), version.ref)

    def _form(self, ref: str) -> ModelSection:
        """The form of the network that a reference stands for now."""
        match = INIT_REF.fullmatch(ref)
        if match is not None and match["study"] is not None:
            parent = self._storage.load(match["study"])
            return self._best(parent, parent.trials(), ref).setting(parent.sweep).model
        from deepcolor.registry.versions import resolve

        return resolve(ref, tracking_uri=self._tracking_uri).model

    def _pull(self, ref: str, folder: Path) -> str:
        from deepcolor.registry.pull import pull
        from deepcolor.registry.versions import resolve

        version = resolve(ref, tracking_uri=self._tracking_uri)
        shutil.rmtree(folder, ignore_errors=True)
        pull(version.ref, folder, tracking_uri=self._tracking_uri)
        return version.ref

    def _best_fit(self, ref: str, setting: Setting) -> StoredTrial:
        parent = self._storage.load(ref.removeprefix("study:"))
        fits = [
            trial
            for trial in parent.trials()
            if trial.state == "complete" and _fits(trial.setting(parent.sweep), setting)
        ]
        form = ", ".join(f"{name}={getattr(setting.model, name)}" for name in setting.stage_class.takes_form[:1])
        return self._best(parent, fits, f"{ref} with {form}" if form else ref)

    def _copy_best(self, ref: str, setting: Setting, folder: Path) -> str:
        name = ref.removeprefix("study:")
        best = self._best_fit(ref, setting)
        result = best.outcome.result if best.outcome else None
        if result is None or not (self._workspace.trajectories / result).is_dir():
            raise ModelError(
                f"init_from: trial {best.number} of study {name!r} must still have its weights; they are gone. "
                f"Train them again with: deepcolor promote {name} --trial {best.number} --retrain"
            )
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._workspace.trajectories / result, folder)
        return f"{ref}/t{best.number:04d}"

    def _best(self, study: StoredStudy, trials: list[StoredTrial], what: str) -> StoredTrial:
        """The study's winner if it is among the trials, the best of them if not."""
        confirmation = confirmation_of(study.sweep, study.trials(), spent=study.spent)
        best = (confirmed_weights(confirmation, trials) if confirmation else None) or best_of(trials)
        if best is None:
            raise ModelError(f"init_from: no finished trial to start from; got {what}. Run study {study.name!r} first.")
        return best


def champions_asked_for(sweep: Sweep, workspace: Workspace) -> list[Ref]:
    """Return the champions that a sweep would start from now; none that its study has started from before."""
    from deepcolor.registry.names import CHAMPION, parse_ref

    storage = StudyStorage(workspace)
    pins = storage.load(sweep.study).pins if sweep.study in storage.names() else {}
    asked = [ref for ref in _refs(sweep) if ref not in pins and not ref.startswith("study:")]
    return [ref for ref in map(parse_ref, asked) if ref.alias == CHAMPION]


def _refs(sweep: Sweep) -> list[str]:
    """Every model the sweep may start from: the one given, or those that are searched."""
    return [str(ref) for ref in sweep.values_of("init_from") if ref is not None]


def _with_form(sweep: Sweep, parent: ModelSection, ref: str) -> Sweep:
    taken = {}
    for field in sweep.stage_class.takes_form:
        theirs, ours = getattr(parent, field, None), getattr(sweep.model, field)
        if field in sweep.searched_fields:
            continue
        if field in sweep.model.model_fields_set and ours != theirs:
            raise ConfigError(
                f"model.{field}: must be {theirs!r}, as in {ref}; got {ours!r} (study {sweep.study}). "
                "Leave it out to take it over, and start from models of one form."
            )
        taken[field] = theirs
    # What was taken over counts as given from here on: the next parent must have it too.
    return sweep.model_copy(update={"model": sweep.model.model_copy(update=taken)})


def _fits(theirs: Setting, ours: Setting) -> bool:
    return all(
        getattr(theirs.model, field, None) == getattr(ours.model, field) for field in ours.stage_class.takes_form
    )


def _refuse_misfit(setting: Setting, parent: ModelDescription, ref: str) -> None:
    for field in setting.stage_class.takes_form:
        ours, theirs = getattr(setting.model, field), getattr(parent.model, field, None)
        if ours != theirs:
            raise ModelError(
                f"init_from: the weights must fit the network; got {field}={ours!r}, but {ref} has {field}={theirs!r}. "
                "Set it to the same, or start from study:NAME, which picks the best that fits."
            )


def _form_key(model: ModelSection) -> str:
    return ",".join(f"{name}={value}" for name, value in model.identity().items())
