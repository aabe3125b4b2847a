"""How a person names a study or a trial of one: `NAME`, `NAME#3`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from deepcolor.errors import StudyError
from deepcolor.workspace import Workspace, checked_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from deepcolor.search.study.trials import StoredTrial


def say_name(asked: str, name: str, tell: Callable[[str], None]) -> None:
    """Tell whoever has asked for a study by a former name how it is called now."""
    if asked != name:
        tell(f"{asked} is called {name} now")


def known_names(workspace: Workspace, study: str) -> tuple[str, ...]:
    """Return every name that a study has had, the oldest first.

    Args:
        workspace: Where it is.
        study: One of them.
    Raises:
        StudyError: There is no such study; the message names the nearest.
    """
    from deepcolor.search.study.storage import StudyStorage

    return StudyStorage(workspace).load(study).names


def refuse_former_names(workspace: Workspace, names: Iterable[str]) -> None:
    """Refuse to begin a study by a name that another one had.

    Raises:
        StudyError: Of one of these names the study is called differently now; the message says how.
    """
    from deepcolor.search.study.storage import StudyStorage

    storage = StudyStorage(workspace)
    for name in names:
        storage.refuse_former(name)


@dataclass(frozen=True)
class Named:
    """A study, or one trial of it."""

    study: str
    trial: int | None = None

    @classmethod
    def of(cls, text: str) -> Self:
        """Read a name as a person writes it.

        Raises:
            StudyError: What stands behind the `#` is not the number of a trial.
            WorkspaceError: No study can have that name.
        """
        study, mark, number = text.partition("#")
        if mark and not (number.isascii() and number.isdigit()):
            raise StudyError(
                f"trial: must be named STUDY#NUMBER; got {text!r}. Write {study or 'STUDY'}#0 for the first."
            )
        return cls(checked_name(study, kind="study"), int(number) if mark else None)

    def __str__(self) -> str:
        return self.study if self.trial is None else f"{self.study}#{self.trial}"

    def among(self, trials: Sequence[StoredTrial]) -> StoredTrial:
        """Return the trial that it names, out of all trials of its study.

        Raises:
            StudyError: There is no such trial.
        """
        assert self.trial is not None, "names a trial"
        found = next((trial for trial in trials if trial.number == self.trial), None)
        if found is None:
            last = max((trial.number for trial in trials), default=-1)
            there = f"0 to {last}" if last >= 0 else "none yet"
            raise StudyError(
                f"trial: must be one of {self.study}; got {self.trial}, and it has {there}. Choose one of them."
            )
        return found
