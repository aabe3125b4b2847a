"""Bring runs up to date one by one, and report what had to be done; unlike with a driver, the caller waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from deepcolor.counting import counted
from deepcolor.errors import TrackingError
from deepcolor.printable import shown_uri, tracking_option
from deepcolor.tracking import store
from deepcolor.tracking.records import StudyRecord, TrialRecord
from deepcolor.tracking.runs import Change, StudyRuns


@dataclass(frozen=True)
class Rebuilt:
    """How many runs were in which state."""

    made: int = 0
    updated: int = 0
    unchanged: int = 0

    def plus(self, change: Change) -> Rebuilt:
        """The same with one more run."""
        return Rebuilt(
            self.made + (change == "made"),
            self.updated + (change == "updated"),
            self.unchanged + (change == "unchanged"),
        )

    @property
    def sentence(self) -> str:
        """The counts in words."""
        return f"{counted(self.made, 'run')} created, {self.updated} updated, {self.unchanged} unchanged"

    def __add__(self, other: Rebuilt) -> Rebuilt:
        return Rebuilt(self.made + other.made, self.updated + other.updated, self.unchanged + other.unchanged)


def rebuild(
    records: Iterable[StudyRecord | TrialRecord],
    *,
    tracking_uri: str,
    artifact_root: Path | None = None,
    on_run: Callable[[int], None] | None = None,
) -> Rebuilt:
    """Make the runs of one study match its records; done twice, the second time changes nothing.

    Args:
        records: All records of one study, the study's own first.
        tracking_uri: The MLflow store.
        artifact_root: As for `MlflowTracker`.
        on_run: Is told after each run how many are done.
    Raises:
        TrackingError: The store cannot be reached, or refuses a record. What was stored by then is kept.
    """
    from mlflow.exceptions import MlflowException

    client = store.open_client(tracking_uri)
    runs: StudyRuns | None = None
    done = Rebuilt()
    try:
        for record in records:
            if isinstance(record, StudyRecord):
                runs = StudyRuns.of(record, client, artifact_root=artifact_root)
                done = done.plus(runs.store_study(record))
            else:
                assert runs is not None
                done = done.plus(runs.store_trial(record))
            if on_run is not None:
                on_run(done.made + done.updated + done.unchanged)
    except (MlflowException, OSError) as error:  # artifacts are sent with requests, whose errors are OSErrors
        raise TrackingError(
            f"MLflow: the store must answer; got {store.first_line(error)} ({shown_uri(tracking_uri)}). "
            f"Check {tracking_option()} and that the server is running, then run the same command again: "
            "it continues where it stopped."
        ) from error
    return done
