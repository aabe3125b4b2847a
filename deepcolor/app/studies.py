"""What there is of studies: all of them in a row each, one with its trials, and the sweep that one holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import ConfigError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.config.schema import Sweep
    from deepcolor.search.rules.confirmation import Confirmation
    from deepcolor.search.study.storage import StoredStudy, StoredTrial

_OPENING = "opening the studies database"
STATES = ("complete", "pruned", "running", "waiting", "failed")
"""Of trials, as `Standing.state` gives them."""


@dataclass(frozen=True)
class ListedStudy:
    """A study among others."""

    name: str
    sweep: Sweep
    """As it runs, with what it took over from its parent model."""
    trials: Mapping[str, int]
    """How many of its search are in each of the `STATES`."""
    best: StoredTrial | None
    """Its best complete trial; None while there is none."""
    names: tuple[str, ...] = ()
    """All that it has had, its present one among them."""

    def as_dict(self) -> dict[str, Any]:
        """The study as a JSON object."""
        from deepcolor.search.rules.summary import best_as_dict

        return {
            "study": self.name,
            "stage": self.sweep.stage,
            "data": self.sweep.data.title,
            **self.trials,
            "best": best_as_dict(self.best) if self.best else None,
        }


@dataclass(frozen=True)
class Standing:
    """How a study stands."""

    study: StoredStudy
    trials: tuple[StoredTrial, ...]
    """All of them by number, those included that confirm its best ones."""
    running: frozenset[int]
    """Numbers of those that a driver is training now."""
    confirmation: Confirmation | None
    """What is known of its best settings under other seeds; None where the sweep does not ask for it."""

    def ranked(self) -> list[StoredTrial]:
        """The trials of its search, the best first; then the pruned, the waiting and the failed ones."""
        from deepcolor.search.rules.ranking import ranked

        return ranked(self.trials)

    @cached_property
    def front(self) -> tuple[StoredTrial, ...]:
        """Of several objectives: the trials on the front, by the first one."""
        from deepcolor.search.rules.front import front_of

        return tuple(front_of(self.trials))

    @cached_property
    def best(self) -> StoredTrial | None:
        """Its best complete trial; of several objectives, the chosen one."""
        from deepcolor.search.rules.summary import best_of

        return best_of(self.trials)

    def judged(self) -> tuple[str, ...]:
        """What is to be said of its front, and of constraints that no trial keeps to; a line each."""
        from deepcolor.search.rules.judging import judged_lines

        return judged_lines(self.trials)

    def state(self, trial: StoredTrial) -> str:
        """Return which of the `STATES` one of its trials is in."""
        from deepcolor.search.study.attendance import state_of

        return state_of(trial, self.running)

    def as_dict(self, *, limit: int | None = None) -> dict[str, Any]:
        """How it stands as a JSON object, with its best trials; None: with all of its search."""
        from deepcolor.search.rules.summary import best_as_dict

        trials = [
            {**best_as_dict(trial), "state": self.state(trial), "error": trial.error} for trial in self.ranked()[:limit]
        ]
        confirmation = self.confirmation.as_dict() if self.confirmation else None
        name, stage = self.study.name, self.study.sweep.stage
        front, best = [trial.number for trial in self.front], self.best
        several = {"front": front, "chosen": best.number if best else None} if self.study.aims.several else {}
        return {"study": name, "stage": stage, "trials": trials, "confirmation": confirmation, **several}


def trials_csv_of(workspace: Workspace, study: str) -> str:
    """Return all trials of a study as comma-separated values, by number, with all of their parameters and figures.

    Raises:
        StudyError: There is no such study; the message names the nearest.
    """
    from deepcolor.report.trials import trials_csv

    standing = standing_of(workspace, study)
    return trials_csv(standing.study.sweep, standing.trials, state_of=standing.state)


def list_studies(workspace: Workspace, *, reporter: Reporter = SILENT) -> list[ListedStudy]:
    """Return every study of a workspace, in the order in which they were begun.

    Args:
        workspace: Where they are.
        reporter: Is told what takes long.
    """
    with reporter.starting("studies") as steps:
        steps.step(_OPENING)
        from deepcolor.search.rules.summary import best_of
        from deepcolor.search.study.attendance import running_trials, state_of
        from deepcolor.search.study.storage import StudyStorage
        from deepcolor.search.study.trials import searched

        listed = []
        storage = StudyStorage(workspace)
        for name in storage.names():
            steps.step(f"reading {name}")
            running, study = running_trials(workspace, name), storage.load(name)
            trials = searched(study.trials())
            counts = Counter(dict.fromkeys(STATES, 0))
            counts.update(state_of(trial, running) for trial in trials)
            listed.append(ListedStudy(name, study.sweep, counts, best_of(trials), study.names))
        return listed


def standing_of(workspace: Workspace, study: str, *, reporter: Reporter = SILENT) -> Standing:
    """Return how a study stands at this moment.

    Args:
        workspace: Where it is.
        study: Its name.
        reporter: Is told what takes long.
    Raises:
        StudyError: There is no such study; the message names the nearest.
    """
    with reporter.starting("studies") as steps:
        steps.step(_OPENING)
        from deepcolor.search.rules.confirmation import confirmation_of
        from deepcolor.search.study.attendance import running_trials
        from deepcolor.search.study.storage import StudyStorage

        stored = StudyStorage(workspace).load(study)
        steps.step(f"reading {stored.name}")
        running = running_trials(workspace, stored.name)
        trials = tuple(stored.trials())
        return Standing(stored, trials, running, confirmation_of(stored.sweep, trials, spent=stored.spent))


def held_sweep(workspace: Workspace, study: str) -> str:
    """Return the text of a sweep file that continues a study as it is, whatever its own file says by now.

    Raises:
        StudyError: There is no such study, or a later version of deepcolor made it.
    """
    from deepcolor.search.study.storage import StudyStorage

    return StudyStorage(workspace).load(study).file_text()


def write_sweep(workspace: Workspace, study: str, *, file: Path) -> None:
    """Write the sweep that a study holds now into a new file (`held_sweep`).

    Raises:
        ConfigError: The file exists, or cannot be written.
        StudyError: There is no such study, or a later version of deepcolor made it.
    """
    text = held_sweep(workspace, study)
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise ConfigError(f"--write-sweep: must be a new file; got {file}, which exists. Name another one.") from None
    except OSError as error:
        raise ConfigError(
            f"--write-sweep: must be a file that can be written; got {file} ({error.strerror}). Name another one."
        ) from error
