"""Find what is no longer needed in the trajectory store, and remove it.

    a trajectory is kept completely, with the reason, if
        a registered version, or the parent of one, came from it
        a study has pinned weights of it to start from
        a study that is not finished mentions it
        one of a study's best trials lies on it, or the best of a network form (`init_from: study:NAME` asks for it)
        it confirmed a study's winner or runner-up under another seed
    any other trajectory that a study mentions loses its checkpoints, results and samples, and keeps its history
    a trajectory that no study mentions is removed completely
    so is a folder of artifacts whose run MLflow does not know
    so are logs of jobs to which nothing was added for 30 days

Finding is separate from removing, so what is announced is what is removed.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from deepcolor.atomic import TEMPORARY_PREFIX
from deepcolor.errors import DeepcolorError, StudyError
from deepcolor.models.description import WEIGHTS_FILE, read_description
from deepcolor.plainfile import open_plain
from deepcolor.registry.references import References, trial_of
from deepcolor.search.rules.completion import is_finished
from deepcolor.search.rules.confirmation import confirmation_of
from deepcolor.search.rules.front import front_of
from deepcolor.search.rules.ranking import ranked
from deepcolor.search.study.storage import StoredStudy, StoredTrial, StudyStorage
from deepcolor.training.checkpoint import collect
from deepcolor.training.trajectory import TrajectoryPaths
from deepcolor.workspace import Workspace

Kind = Literal["checkpoints", "results", "samples", "unmentioned", "artifacts", "temporary", "logs"]
KINDS: tuple[Kind, ...] = ("checkpoints", "results", "samples", "unmentioned", "artifacts", "temporary", "logs")
Reason = Literal["registered", "pinned", "unfinished", "best", "confirmed"]
REASONS: tuple[Reason, ...] = ("registered", "pinned", "unfinished", "best", "confirmed")

TEMPORARY_AGE_S = 24 * 3600.0
"""No process is still writing a temporary file this old."""
LOG_AGE_S = 30 * 24 * 3600.0
"""Nobody will look for the cause of a job's end in a log that was last written to so long ago."""


@dataclass(frozen=True)
class Item:
    """One thing that can be removed."""

    kind: Kind
    path: Path
    """A trajectory's `checkpoints`, `results` or `samples` folder, a whole trajectory, a run's artifacts, a temporary
    file or a log.
    """
    bytes: int


@dataclass(frozen=True)
class Garbage:
    """What can be removed, and why the rest is kept."""

    items: tuple[Item, ...]
    kept: dict[str, Reason] = field(default_factory=dict)
    """Trajectories that are kept completely, by digest, with the first reason that applies."""
    kept_bytes: int = 0

    @property
    def bytes(self) -> int:
        """How much removing all of it frees."""
        return sum(item.bytes for item in self.items)

    def bytes_by_kind(self) -> dict[Kind, int]:
        """Bytes of each kind, including kinds without any."""
        return {kind: sum(item.bytes for item in self.items if item.kind == kind) for kind in KINDS}

    def count_by_kind(self) -> dict[Kind, int]:
        """How many items there are of each kind, including kinds without any."""
        counts = Counter(item.kind for item in self.items)
        return {kind: counts[kind] for kind in KINDS}


def find_garbage(
    workspace: Workspace,
    storage: StudyStorage,
    *,
    keep: int,
    references: References,
    also: Sequence[StudyStorage] = (),
    artifacts: Sequence[Path] = (),
    now_s: float | None = None,
) -> Garbage:
    """Search the workspace for what is no longer needed; nothing is changed.

    Args:
        workspace: Where to look.
        storage: Its studies.
        keep: How many of each study's best trials keep their weights; 1 or more.
        references: What the registries refer to.
        also: Other databases that hold studies of the workspace.
        artifacts: Folders of artifacts that belong to no run.
        now_s: Unix time from which the age of temporary files and logs is counted; None: now.
    Raises:
        StudyError: There are trajectories, but no database that says which of them are needed.
    """
    if not any(each.exists() for each in (storage, *also)) and any(_folders(workspace.trajectories)):
        raise StudyError(
            f"gc: the studies' database must say which trajectories are needed; got none ({workspace.shown_storage}). "
            "Restore it, or choose another --workspace."
        )
    studies = [(study, study.trials()) for each in (storage, *also) for study in map(each.load, each.names())]
    mentioned = {trial.place.trajectory for _, trials in studies for trial in trials if trial.place}
    reasons = _reasons(studies, keep=keep, references=references)
    pinned = frozenset(pin["sha256"] for study, _ in studies for pin in study.pins.values())
    items: list[Item] = []
    kept: dict[str, Reason] = {}
    kept_bytes = 0
    for folder in _folders(workspace.trajectories):
        reason = reasons.get(folder.name) or of_weights(folder, registered=references.weights, pinned=pinned)
        if reason is not None:
            kept[folder.name] = reason
            kept_bytes += size_bytes(folder)
        elif folder.name in mentioned:
            items += _parts(folder)
        else:
            items.append(Item("unmentioned", folder, size_bytes(folder)))
    items += [Item("artifacts", folder, size_bytes(folder)) for folder in artifacts]
    now_s = time.time() if now_s is None else now_s
    going = {item.path for item in items if item.kind != "checkpoints"}
    temporary = _temporary(workspace, before_s=now_s - TEMPORARY_AGE_S)
    items += [item for item in temporary if going.isdisjoint(item.path.parents)]
    items += _logs(workspace.job_logs, before_s=now_s - LOG_AGE_S)
    return Garbage(tuple(items), kept, kept_bytes)


def remove(garbage: Garbage, *, on_progress: Callable[[int, int], None] = lambda _done, _total: None) -> None:
    """Remove what was found. If it is interrupted, it can be repeated.

    Args:
        garbage: What goes.
        on_progress: Is told how many things have gone, and of how many.
    Raises:
        OSError: Something cannot be removed.
    """
    for done, item in enumerate(garbage.items):
        on_progress(done, len(garbage.items))
        if item.kind == "checkpoints":
            collect(TrajectoryPaths(item.path.parent.parent, item.path.parent.name))
        elif item.path.is_dir() and not item.path.is_symlink():
            remove_folder(item.path)
        else:
            item.path.unlink(missing_ok=True)


def size_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(size_bytes(child) for child in path.iterdir())


def _reasons(
    studies: Sequence[tuple[StoredStudy, Sequence[StoredTrial]]], *, keep: int, references: References
) -> dict[str, Reason]:
    """Every trajectory that must be kept because of what the studies and registries say of its trials."""
    pins = {trial_of(pin["ref"]) for study, _ in studies for pin in study.pins.values()}
    found: dict[str, Reason] = {}
    for study, trials in studies:
        needed = _needed(study, trials, keep=keep)
        for trial in trials:
            if trial.place is None:
                continue
            keys = {(name, trial.number) for name in study.names}
            reason: Reason | None = (
                "registered" if keys & references.trials else "pinned" if keys & pins else needed.get(trial.number)
            )
            known = found.get(trial.place.trajectory)
            if reason is not None and (known is None or REASONS.index(reason) < REASONS.index(known)):
                found[trial.place.trajectory] = reason
    return found


def _needed(study: StoredStudy, trials: Sequence[StoredTrial], *, keep: int) -> dict[int, Reason]:
    """The trials of one study that must keep their weights for the study's own sake."""
    complete = [trial for trial in ranked(trials) if trial.outcome is not None and trial.outcome.result]
    try:
        finished = is_finished(study, trials) and not study.unknown
        best_of_form = {trial.setting(study.sweep).model: trial.number for trial in reversed(complete)}
        confirmation = confirmation_of(study.sweep, trials, spent=study.spent)
    except (StudyError, ValidationError):
        finished = False  # Written by another version: what it needs cannot be known.
    if not finished:
        return {trial.number: "unfinished" for trial in trials}
    numbers = [trial.number for trial in (*complete[:keep], *front_of(trials))] + list(best_of_form.values())
    pair = [one for one in (confirmation.winner, confirmation.runner_up) if one] if confirmation else []
    # A promotion compares the two by their trainings' results on the test split, and takes one of the winner's.
    compared: list[int] = [number for one in pair for number in (one.trial, *one.trainings)]
    return {**dict.fromkeys(compared, "confirmed"), **dict.fromkeys(numbers, "best")}


def of_weights(
    folder: Path, *, registered: frozenset[str], pinned: frozenset[str]
) -> Literal["registered", "pinned"] | None:
    """Say whether weights of a trajectory are registered or pinned, be it under another study's name or in another
    workspace.

    Args:
        folder: The trajectory's.
        registered: SHA-256 (hex) of the weights of registered versions.
        pinned: Likewise of those that studies start from.
    """
    held = {_weights_sha256(result) for result in _folders(folder / "results")} if registered or pinned else set()
    return "registered" if held & registered else "pinned" if held & pinned else None


def _weights_sha256(result: Path) -> str:
    try:
        return read_description(result).weights_sha256
    except DeepcolorError:
        try:
            with open_plain(result / WEIGHTS_FILE) as weights:
                return hashlib.file_digest(weights, "sha256").hexdigest()
        except FileNotFoundError:
            return ""


def _parts(folder: Path) -> Iterator[Item]:
    tensors = sorted((folder / "checkpoints").glob("e*.safetensors"))
    if tensors:
        # The last record is kept: it is the history.
        passing = sorted((folder / "checkpoints").glob("e*.json"))[:-1]
        yield Item("checkpoints", folder / "checkpoints", sum(path.lstat().st_size for path in [*tensors, *passing]))
    if any(_folders(folder / "results")):
        yield Item("results", folder / "results", size_bytes(folder / "results"))
    if (folder / "samples").is_dir():
        yield Item("samples", folder / "samples", size_bytes(folder / "samples"))


def _temporary(workspace: Workspace, *, before_s: float) -> Iterator[Item]:
    """Leftovers of killed processes."""
    for path in _walk(workspace.studies):
        if path.name.startswith(TEMPORARY_PREFIX) and path.lstat().st_mtime < before_s:
            yield Item("temporary", path, size_bytes(path))


def _logs(folder: Path, *, before_s: float) -> Iterator[Item]:
    """What jobs of SLURM's have said that did not end well."""
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        status = path.lstat()
        if not path.name.startswith(TEMPORARY_PREFIX) and not path.is_dir() and status.st_mtime < before_s:
            yield Item("logs", path, status.st_size)


def _walk(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(TEMPORARY_PREFIX):
            yield from _walk(path)


def _folders(parent: Path) -> Iterator[Path]:
    if not parent.is_dir():
        return
    for path in sorted(parent.iterdir()):
        if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
            yield path


def remove_folder(folder: Path) -> None:
    """Rename a folder before removing it: one that is half removed must not be taken for a complete one."""
    aside = folder
    if not folder.name.startswith(TEMPORARY_PREFIX):
        aside = folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}-collected")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    shutil.rmtree(aside)
