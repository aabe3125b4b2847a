"""Find what a study alone needs, and remove it with the study.

    a trajectory stays if
        a registered version, or the parent of one, came from it
        another study mentions it, in whichever database, or has pinned weights of it to start from
    any other that the study mentions is removed completely, and so is the study's folder

The study itself is removed last of all: whatever interrupts that, doing it again finds what is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deepcolor.errors import StudyError
from deepcolor.registry.references import References, trial_of
from deepcolor.search.study.storage import StoredStudy, StudyStorage
from deepcolor.search.upkeep.collection import of_weights, remove_folder, size_bytes
from deepcolor.workspace import Workspace

Stays = Literal["registered", "pinned", "shared"]
_LOCK = ".driver.lock"
_STUDY = "study:"


@dataclass(frozen=True)
class Deletion:
    """What goes with a study, and what stays of it."""

    study: str
    started_ms: int
    """When it began: another study of the same name is not the one that was looked at."""
    trials: int
    trajectories: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each trajectory that goes, by digest."""
    kept: Mapping[str, Stays] = field(default_factory=dict)
    """Why each of the others stays, by digest."""
    folder_bytes: int = 0
    """Of the study's own folder."""
    elsewhere: bool = False
    """Another database has a study of this name too, so its runs and its folder stay."""

    @property
    def bytes(self) -> int:
        """How much deleting it frees."""
        return sum(self.trajectories.values()) + self.folder_bytes

    @property
    def reasons(self) -> Counter[Stays]:
        """How many trajectories stay for which reason."""
        return Counter(self.kept.values())


def find_deletion(
    workspace: Workspace, storage: StudyStorage, name: str, *, also: Sequence[StudyStorage], references: References
) -> Deletion:
    """Find what deleting a study would remove; nothing is changed.

    Args:
        workspace: Where it is.
        storage: Holds it.
        name: Its name.
        also: Other databases that hold studies of the workspace.
        references: What the registries refer to.
    Raises:
        StudyError: There is no such study, or another one needs it to be continued.
    """
    study = storage.load(name)
    name, names = study.name, study.names
    others = [
        each.load(other) for each in (storage, *also) for other in each.names() if (each, other) != (storage, name)
    ]
    twins = [other for other in others if _is_twin(other, study)]
    _refuse_needed(study, [other for other in others if other not in twins])
    trials = study.trials()
    digests = dict.fromkeys(trial.place.trajectory for trial in trials if trial.place)
    wanted = {trial.place.trajectory for other in others for trial in other.trials() if trial.place}
    pins = [pin for other in others for pin in other.pins.values()]
    pinned, pinned_trials = frozenset(pin["sha256"] for pin in pins), {trial_of(pin["ref"]) for pin in pins}
    named: dict[str, Stays] = {}
    for trial in trials:
        keys = {(each, trial.number) for each in names}
        if trial.place is not None and keys & references.trials:
            named[trial.place.trajectory] = "registered"
        elif trial.place is not None and keys & pinned_trials:
            named.setdefault(trial.place.trajectory, "pinned")
    going: dict[str, int] = {}
    kept: dict[str, Stays] = {}
    for digest in digests:
        folder = workspace.trajectories / digest
        by_weights = of_weights(folder, registered=references.weights, pinned=pinned)
        reason = named.get(digest) or by_weights or ("shared" if digest in wanted else None)
        if reason is not None:
            kept[digest] = reason
        elif folder.is_dir():
            going[digest] = size_bytes(folder)
    own = workspace.study(name)
    folder_bytes = size_bytes(own) if own.is_dir() and not twins else 0
    return Deletion(name, study.started_ms, len(trials), going, kept, folder_bytes, elsewhere=bool(twins))


def delete(
    deletion: Deletion, workspace: Workspace, storage: StudyStorage, *, on_progress: Callable[[int, int], None]
) -> None:
    """Remove what was found, the study itself last. The caller holds the store alone, and the study's lock.

    Raises:
        OSError: Something cannot be removed.
    """
    total = len(deletion.trajectories)
    for done, digest in enumerate(deletion.trajectories):
        on_progress(done, total)
        remove_folder(workspace.trajectories / digest)
    if total:
        on_progress(total, total)
    if not deletion.elsewhere:
        _empty(workspace.study(deletion.study))
    storage.delete(deletion.study)


def _is_twin(other: StoredStudy, study: StoredStudy) -> bool:
    """Whether a study in another database has the same name, or is the same one, whatever it is called there."""
    return other.study_id == study.study_id or other.name == study.name


def _refuse_needed(study: StoredStudy, others: Sequence[StoredStudy]) -> None:
    """Refuse to delete what another study asks for by its name whenever it is started."""
    needing = [other.name for other in others if any(asks_for(other, name) for name in study.names)]
    if needing:
        raise StudyError(
            f"study: {study.name!r} must not be needed to continue another one; got {', '.join(needing)}, whose "
            "sweep names it. Delete that first."
        )


def asks_for(study: StoredStudy, name: str) -> bool:
    """Whether a study's sweep names another study that must be there whenever it is started."""
    search, init = study.written.get("search", {}), study.written.get("init", {})
    dimension = search.get("space", {}).get("init_from", [])
    values = dimension.get("values", []) if isinstance(dimension, dict) else dimension
    listed = values if isinstance(values, list) else []
    return name in search.get("warm_start", ()) or f"{_STUDY}{name}" in (init.get("init_from"), *listed)


def _empty(folder: Path) -> None:
    """Remove what is in a study's folder, but for its lock, which goes with the folder when it is let go."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name == _LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            remove_folder(path)
        else:
            path.unlink(missing_ok=True)
