"""The door to MLflow: open a store safely, find or create an experiment, tell passing faults from lasting ones.

Nothing here imports MLflow before it is needed: that import takes a second.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcolor.errors import TrackingError
from deepcolor.printable import note_secrets, shown_uri, tracking_option, without_secrets
from deepcolor.sqlite import is_read_only, keep_journal, set_journal, sqlite_file, sqlite_url
from deepcolor.stages.finding import SHIPPED
from deepcolor.tracking import layout, views
from deepcolor.tracking.mlflow_private import artifacts_at, engines
from deepcolor.tracking.relocation import artifacts_beside, bring_home, put_default, readable_copy

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

_SETUP_TIMEOUT_S = 120
_PAGE = 1000
_ENVIRONMENT = {
    # With MLflow's defaults one call to a dead server waits for minutes; deepcolor tries again by itself.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # What is trained here is nobody else's business.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_TALKATIVE = ("alembic", "mlflow.store.db.utils", "urllib3.connectionpool", "sqlalchemy.pool")
"""Loggers that print migrations, tracebacks and retries for what deepcolor reports in one line."""
_TRIED = re.compile(r"url: (?P<url>\S+) \(Caused by (?P<cause>.*)")
_NOT_KEPT = ("500 error", "Connection reset", "Broken pipe", "Remote end closed")
"""What is heard of a server that takes a file and cannot store it."""
_REFUSED = {
    401: "401: it does not know this user and password (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)",
    403: "403: this user may not do that, or the server was not told the name that it is called by (--allowed-hosts)",
}
"""What a server that asks who one is says at length, and with a page's address."""
_LASTING = {
    "BAD_REQUEST",
    "ENDPOINT_NOT_FOUND",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
    "UNAUTHENTICATED",
}


def open_client(tracking_uri: str) -> MlflowClient:
    """Open a tracking store; an SQLite database is created if need be, by one process at a time.

    Args:
        tracking_uri: `sqlite:///...`, another database, or a server; a server is not contacted before the first call.
    Raises:
        TrackingError: The database cannot be opened, or MLflow does not know this kind of URI.
    """
    note_secrets(tracking_uri)
    prepare_environment()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    database = sqlite_file(tracking_uri)
    try:
        if database is None:
            return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        if is_read_only(database):
            tracking_uri = sqlite_url(readable_copy(database))
            with artifacts_at(artifacts_beside(database)):
                return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        return _open_sqlite(tracking_uri, database)
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        raise TrackingError(
            f"MLflow: the store must be one that can be opened; got {shown_uri(tracking_uri)} "
            f"({first_line(error)}). Check {tracking_option()}."
        ) from error


def prepare_environment() -> None:
    """Keep MLflow from waiting for minutes, printing, and phoning home; variables that the user has set are kept."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for logger in _TALKATIVE:
        logging.getLogger(logger).setLevel(logging.CRITICAL)


def ensure_experiment(client: MlflowClient, stage: str, *, artifact_root: Path | None) -> str:
    """Return the id of the stage's experiment; create it if need be.

    Args:
        client: An open store.
        stage: The stage.
        artifact_root: Folder below which a new experiment in an SQLite store keeps its artifacts; None: next to the
            database. A server keeps artifacts where it is configured to.
    Raises:
        TrackingError: The experiment was deleted in MLflow.
    """
    from mlflow.exceptions import MlflowException

    name = layout.experiment_name(stage)
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(
                client.create_experiment(name, artifact_location=_artifact_location(client, stage, artifact_root))
            )
        except MlflowException:
            # Somebody else created it between the two calls.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"MLflow: the experiment must exist; got {name}, which was deleted. "
            f"Restore it with: MLFLOW_TRACKING_URI={shlex.quote(shown_uri(client.tracking_uri))} "
            f"mlflow experiments restore --experiment-id {found.experiment_id}"
        )
    return str(found.experiment_id)


def find_runs(client: MlflowClient, experiment_id: str, filter_string: str) -> list[Run]:
    """Return all runs that match, however many pages they fill; oldest first."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id],
            filter_string=filter_string,
            max_results=_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            return runs


@contextmanager
def asking(tracking_uri: str, *, remedy: str = "Check {option}, and that the server is running.") -> Iterator[None]:
    """Turn what MLflow raises into the line the user sees.

    Args:
        tracking_uri: The store that is asked.
        remedy: What to do next; `{option}` stands for how the store was named.
    Raises:
        TrackingError: The store does not answer, or refuses.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        said = f"MLflow: the store must answer; got {first_line(error)} ({shown_uri(tracking_uri)})."
        raise TrackingError(f"{said} {remedy.format(option=tracking_option())}".rstrip()) from error


def run_ids(tracking_uri: str) -> set[str]:
    """Return the ids of all runs of a store, deleted ones included.

    Raises:
        TrackingError: The store cannot be read.
    """
    from mlflow.entities import ViewType

    client = open_client(tracking_uri)
    with asking(tracking_uri, remedy=""):
        experiments = [each.experiment_id for each in client.search_experiments(view_type=ViewType.ALL)]
        ids: set[str] = set()
        token: str | None = None
        while True:
            page = client.search_runs(experiments, run_view_type=ViewType.ALL, max_results=_PAGE, page_token=token)
            ids |= {run.info.run_id for run in page}
            if not (token := page.token):
                return ids


def trial_run(client: MlflowClient, *, stage: str, study: str, number: int, study_id: str | None = None) -> Run:
    """Return the run of a trial, found by its tags; the newest if there are several.

    Args:
        client: Of the store.
        stage: The label of its stage.
        study: The name of its study.
        number: Of the trial.
        study_id: `layout.study_id` of its study, by which it is found whatever MLflow calls that; None: by the name.

    Raises:
        TrackingError: MLflow holds no such run.
    """
    experiment = client.get_experiment_by_name(layout.experiment_name(stage))
    runs: list[Run] = []
    for identity in dict.fromkeys((study_id, None)):  # Runs of early releases have a name alone.
        if experiment is not None and not runs:
            asked = layout.trial_filter(study, number, study_id=identity)
            runs = find_runs(client, experiment.experiment_id, asked)
    if not runs:
        raise TrackingError(
            f"MLflow: the trial must have a run; got none for trial {number} of {study} "
            f"in {layout.experiment_name(stage)} ({shown_uri(client.tracking_uri)}). "
            "Run the sweep again, which trains nothing and brings MLflow up to date, or write its runs into this store "
            f"with: deepcolor sync {study} --to {shlex.quote(shown_uri(client.tracking_uri))}"
        )
    return runs[-1]


def experiments(client: MlflowClient) -> list[tuple[str, Experiment]]:
    """Return the experiments of all stages by label, those of the shipped ones first, in their order."""
    found: list[tuple[str, Experiment]] = []
    token: str | None = None
    while True:
        page = client.search_experiments(
            filter_string=f"name LIKE '{layout.EXPERIMENT_PREFIX}%'", order_by=["name ASC"], page_token=token
        )
        found += [(stage, each) for each in page if (stage := layout.stage_in(each.name)) is not None]
        if not (token := page.token):
            break
    order = {stage: index for index, stage in enumerate(SHIPPED)}
    return sorted(found, key=lambda each: order.get(each[0], len(order)))


@dataclass(frozen=True)
class TrackedStudy:
    """A study as MLflow knows it; enough to link to it."""

    name: str
    stage: str
    experiment_id: str
    study_id: str
    has_view: bool
    has_confirmation: bool
    """Whether there is a view of its trainings under other seeds."""
    run_id: str
    """Of its own run."""

    def link(self, base_url: str) -> str:
        """Return the link that opens MLflow's UI on the study's trials, best first."""
        return views.study_link(
            base_url, experiment_id=self.experiment_id, study_id=self.study_id, has_view=self.has_view
        )

    def about(self, base_url: str) -> str:
        """Return the link that opens the page of its own run."""
        return views.run_link(base_url, experiment_id=self.experiment_id, run_id=self.run_id)

    def charts(self, base_url: str) -> str | None:
        """Return the link that opens the charts of its best trials; None where no view of it is saved."""
        if not self.has_view:
            return None
        return views.charts_link(base_url, experiment_id=self.experiment_id, study_id=self.study_id)

    def confirmation(self, base_url: str) -> str | None:
        """Return the link that opens its trainings under other seeds; None where there are none."""
        if not self.has_confirmation:
            return None
        return views.confirmation_link(base_url, experiment_id=self.experiment_id, study_id=self.study_id)


def tracked_studies(tracking_uri: str) -> list[TrackedStudy]:
    """Return every study that MLflow holds, stage by stage, oldest first; a name may occur more than once.

    Raises:
        TrackingError: The store cannot be read.
    """
    client = open_client(tracking_uri)
    found: list[TrackedStudy] = []
    with asking(tracking_uri):
        for stage, experiment in experiments(client):
            for run in find_runs(client, experiment.experiment_id, layout.STUDIES_FILTER):
                name, study_id = run.data.tags[layout.STUDY], run.data.tags[layout.STUDY_ID]
                best, confirmation = views.best_key(study_id), views.confirmation_key(study_id)
                found.append(
                    TrackedStudy(
                        name,
                        stage,
                        experiment.experiment_id,
                        study_id,
                        has_view=views.view_tag(best) in experiment.tags,
                        has_confirmation=views.view_tag(confirmation) in experiment.tags,
                        run_id=run.info.run_id,
                    )
                )
    return found


def is_lasting(error: BaseException) -> bool:
    """Whether trying the same call again cannot help."""
    code: Any = getattr(error, "error_code", None)
    return code in _LASTING


def first_line(error: BaseException) -> str:
    """Return an error's message in one short line, without passwords."""
    text = without_secrets(str(error).strip() or type(error).__name__)
    for status, said in _REFUSED.items():
        if f"failed with error code {status} " in text:
            return said
    # SQLAlchemy may put a note about itself before what the database said.
    lines = text.splitlines()
    line = next((line for line in lines if not line.startswith("(raised as a result of")), lines[0])
    if (tried := _TRIED.search(line)) is not None:
        # urllib3 wraps "Connection refused" into three lines of what was tried.
        line = re.split(r": |'", tried["cause"].rstrip("()'\" "))[-1]
        if "/mlflow-artifacts/" in tried["url"] and any(each in line for each in _NOT_KEPT):
            line = f"{line}, to {tried['url'].rpartition('/')[2]}; the server's log says why: its disk may be full"
    return line if len(line) <= 200 else f"{line[:199]}…"


def _open_sqlite(tracking_uri: str, database: Path) -> MlflowClient:
    from filelock import FileLock, Timeout
    from mlflow import MlflowClient

    database.parent.mkdir(parents=True, exist_ok=True)
    lock = database.with_name(f"{database.name}.lock")
    try:
        with FileLock(lock, timeout=_SETUP_TIMEOUT_S), artifacts_at(artifacts_beside(database)):
            if not database.exists():
                _create(database)
            bring_home(database, artifacts=artifacts_beside(database))
            client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
            for engine in (found := engines(client)):
                keep_journal(engine, database=database, owner=client)
            if not found:
                set_journal(database)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
            return client
    except Timeout as error:
        raise TrackingError(
            f"MLflow: no other process may be setting up the database; got {lock}, locked for over {_SETUP_TIMEOUT_S} "
            "s. Find the process that holds it, or delete the file."
        ) from error


def _create(database: Path) -> None:
    """Set up a new database next to its place, and move it there once it is complete.

    MLflow makes its tables in a hundred steps, which take seconds: a process killed between two of them would leave a
    database that nothing can open or finish.
    """
    from mlflow import MlflowClient

    unfinished = database.with_name(f"{database.name}.unfinished")
    for suffix in ("", "-journal", "-wal", "-shm"):
        unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
    uri = sqlite_url(unfinished)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    client.search_registered_models(max_results=1)
    for engine in engines(client):
        engine.dispose()
    put_default(unfinished, artifacts=artifacts_beside(database))
    unfinished.rename(database)


def _artifact_location(client: MlflowClient, stage: str, artifact_root: Path | None) -> str | None:
    database = sqlite_file(client.tracking_uri)
    if database is None:
        return None
    root = artifact_root or artifacts_beside(database)
    return (root.absolute() / stage).as_uri()
