"""Where everything is: the one place that builds paths below a workspace and checks names that come from outside."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from secrets import token_hex

from deepcolor.errors import UserError, WorkspaceError
from deepcolor.printable import note_secrets, shown_uri
from deepcolor.settings import SETTINGS_FILE, STORAGE_VARIABLE, Settings, read_settings, storage_of_environment
from deepcolor.sqlite import sqlite_file, sqlite_url

FAILURES = "failures"
_WRITING_S = 2.0
"""How long the one who makes a workspace's identity may take."""
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
RESERVED_STUDY_NAMES = frozenset({"datasets", "trajectories"})
STATE_FOLDERS = ("studies", "mlruns")
_SUMMARY, _PAGE, _STAMP = "pipeline.json", "report.html", ".pipeline-report"
PIPELINE_FILES = frozenset({_SUMMARY, _PAGE, _STAMP})
"""What a pipeline leaves in the folder of its name, which may be a study's too."""


def is_state_folder(folder: Path) -> bool:
    """Whether a folder is the `studies/` or `mlruns/` of any workspace, by what is in it."""
    return folder.name == "mlruns" or (
        folder.name == "studies" and any((folder / name).exists() for name in ("optuna.db", "trajectories", "datasets"))
    )


def weights_beside(trajectories: Path) -> Path:
    """Return the folder of the weights that networks begin with, given that of all trajectories."""
    return trajectories.parent / ".weights"


def checked_name(name: str, *, kind: str, error: type[UserError] = WorkspaceError) -> str:
    """Return `name` if it is safe as a file name below the workspace.

    Args:
        name: A study, data set, or pipeline name, as it came from outside.
        kind: What it names, for the message ("study", "data set").
    Raises:
        error: The name is empty, over 100 characters, or holds anything but letters, digits, '.', '_', '-'.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise error(
            f"{kind} name: must be 1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit; "
            f"got {name!r}. Choose another name."
        )
    return name


def check_store_uri(uri: str, *, option: str) -> None:
    """Refuse what cannot be an MLflow store before anything is started for it.

    Args:
        uri: As it came from outside.
        option: What it was given with, for the message.
    Raises:
        UserError: It names neither a server nor a database.
    """
    from urllib.parse import urlsplit

    advice = ""
    if "://" not in uri:
        if uri.partition(":")[0] not in ("databricks", "uc", "databricks-uc"):
            advice = "Write http://HOST:PORT for a server, or sqlite:///PATH for a database in a file."
    elif uri.startswith("sqlite"):
        if sqlite_file(uri) is None:
            advice = "Write sqlite:///PATH, with three slashes before a relative path and four before an absolute one."
    elif uri.startswith(("http://", "https://")):
        try:
            parts = urlsplit(uri)
            named = bool(parts.hostname) and parts.port != 0
        except ValueError:
            named = False
        if not named:
            advice = "Write http://HOST:PORT; in a password, write / as %2F and @ as %40."
    if advice:
        raise UserError(f"tracking URI: must name a server or a database; got {shown_uri(uri)} ({option}). {advice}")


_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")
POSTGRES = "postgresql+psycopg://"
"""How the URL of every database of PostgreSQL begins here, whatever was written."""


def checked_storage(uri: str, *, option: str) -> str:
    """Return the URL of a database of studies as SQLAlchemy is given it.

    Args:
        uri: As it came from outside.
        option: What it was given with, for the message.
    Raises:
        WorkspaceError: It names no database that studies can be kept in.
    """
    note_secrets(uri)
    if uri.startswith("sqlite"):
        if sqlite_file(uri) is not None:
            return uri
        advice = "Write sqlite:///PATH, with three slashes before a relative path and four before an absolute one."
    elif match := _POSTGRES.match(uri):
        url = POSTGRES + uri[match.end() :]
        if _names_a_database(url):
            return url
        advice = f"Write {POSTGRES}USER@HOST/DATABASE; in a password, write / as %2F and @ as %40."
    else:
        advice = f"Write {POSTGRES}USER@HOST/DATABASE, or sqlite:///FILE."
    raise WorkspaceError(
        f"storage: must be a database of PostgreSQL or SQLite; got {shown_uri(uri)} ({option}). {advice}"
    )


def _names_a_database(url: str) -> bool:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return bool(make_url(url).database)
    except (ArgumentError, ValueError):
        return False


@dataclass(frozen=True)
class Workspace:
    """The folder that holds `experiments/`, `studies/` and `mlruns/`; all state is kept below it, but for studies that
    are kept in a database elsewhere.
    """

    root: Path
    named_storage: str | None = field(default=None, repr=False)
    """The database of its studies, if one was named for this command; else its settings or the environment say so."""
    storage_option: str = field(default="--storage", compare=False)
    """What that was named with, for messages."""

    @classmethod
    def at(cls, root: Path | str, *, storage: str | None = None) -> Workspace:
        """Name the workspace at `root`, made absolute. Nothing is created or read.

        Args:
            root: Its folder.
            storage: The database of its studies, in place of the one that its settings name.
        Raises:
            WorkspaceError: The path is not UTF-8, so no database can be created there.
        """
        path = Path(root).expanduser().absolute()
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise WorkspaceError(
                f"workspace: the path must be UTF-8, as SQLite needs it; got {str(path)!r}. Rename the folder."
            ) from None
        return cls(path, storage)

    @cached_property
    def settings(self) -> Settings:
        """What its file `deepcolor.yaml` says.

        Raises:
            WorkspaceError: The file cannot be read, or a key or a value in it is wrong.
        """
        return read_settings(self.root)

    @cached_property
    def storage(self) -> str:
        """The URL of the database of its studies, which may hold a password: named for this command, else by
        DEEPCOLOR_STORAGE, else by its settings, else its own.

        Raises:
            WorkspaceError: It names no database that studies can be kept in; or the settings cannot be read.
        """
        if self.named_storage:
            return checked_storage(self.named_storage, option=self.storage_option)
        if by_variable := storage_of_environment():
            return checked_storage(by_variable, option=STORAGE_VARIABLE)
        if (named := self.settings.storage) is None:
            return sqlite_url(self.own_db)
        url = checked_storage(named, option=str(self.root / SETTINGS_FILE))
        if url.startswith("sqlite"):
            from sqlalchemy import make_url

            return sqlite_url(self.root / str(make_url(url).database))
        return url

    @property
    def on_server(self) -> bool:
        """Whether its studies are kept by a database server."""
        return self.storage.startswith(POSTGRES)

    @property
    def storage_to_keep(self) -> str:
        """The URL of the database of its studies as it can be written down: with its user, without a password."""
        from sqlalchemy import URL, make_url

        url = make_url(self.storage)
        secret = [name for name in url.query if "password" in name]
        kept = URL.create(
            url.drivername,
            username=url.username,
            host=url.host,
            port=url.port,
            database=url.database,
            query=url.difference_update_query(secret).query,
        )
        return kept.render_as_string(hide_password=False)

    @property
    def shown_storage(self) -> str:
        """The database of its studies, for people: a file, or a URL without its password."""
        return shown_uri(self.storage) if self.on_server else str(self.optuna_db)

    @property
    def experiments(self) -> Path:
        return self.root / "experiments"

    @property
    def studies(self) -> Path:
        return self.root / "studies"

    @property
    def mlruns(self) -> Path:
        return self.root / "mlruns"

    @property
    def own_db(self) -> Path:
        """The file that holds the studies of a workspace for which nothing else is said."""
        return self.studies / "optuna.db"

    @property
    def optuna_db(self) -> Path:
        """The file that holds its studies, where that is one."""
        return sqlite_file(self.storage) or self.own_db

    @property
    def optuna_url(self) -> str:
        return sqlite_url(self.optuna_db)

    @property
    def mlflow_db(self) -> Path:
        return self.mlruns / "mlflow.db"

    @property
    def mlflow_uri(self) -> str:
        return sqlite_url(self.mlflow_db)

    def store_uri(self, named: str | None) -> str:
        """The MLflow store: the named one, else that of MLFLOW_TRACKING_URI, else that of the settings, else the
        workspace's own.
        """
        return named or os.environ.get("MLFLOW_TRACKING_URI") or self.settings.tracking_uri or self.mlflow_uri

    @property
    def artifacts(self) -> Path:
        """Where MLflow keeps artifacts when its database is the workspace's own."""
        return self.mlruns / "artifacts"

    @property
    def trajectories(self) -> Path:
        return self.studies / "trajectories"

    @property
    def code(self) -> Path:
        """The files of the user's own code that sweeps name; no study can have this folder's name."""
        return self.studies / ".code"

    @property
    def identity_file(self) -> Path:
        """Tells this workspace from every other one, wherever it is mounted."""
        return self.studies / ".store-id"

    @property
    def job_logs(self) -> Path:
        """What jobs of SLURM's have said; of those that ended well nothing is kept."""
        return self.studies / ".jobs"

    def identified(self) -> str:
        """Return what that file says; the first call makes it.

        Raises:
            WorkspaceError: The workspace cannot be written to.
        """
        file = self.identity_file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError), file.open("x", encoding="ascii") as new:
                new.write(f"{token_hex(16)}\n")
            deadline = time.monotonic() + _WRITING_S
            while not (found := file.read_text(encoding="ascii").strip()) and time.monotonic() < deadline:
                time.sleep(0.05)  # Another process is writing it just now.
        except (OSError, ValueError) as error:
            raise WorkspaceError(
                f"workspace: must be writable, so that it can be recognised; got {error} ({file}). "
                "Fix its permissions, or choose another one with --workspace."
            ) from error
        return found

    @property
    def queue(self) -> Path:
        """What has been submitted to the service, what became of it, and which service is at work."""
        return self.studies / ".queue"

    @property
    def weights(self) -> Path:
        """Weights that networks begin with, beside those trained here; what is in it can be fetched again."""
        return weights_beside(self.trajectories)

    @property
    def datasets(self) -> Path:
        return self.studies / "datasets"

    def study(self, name: str) -> Path:
        """The folder of one study (resolved sweep, report, lock)."""
        if checked_name(name, kind="study") in RESERVED_STUDY_NAMES:
            raise WorkspaceError(
                f"study name: {name!r} is the name of a folder that deepcolor itself uses. Choose another name."
            )
        return self.studies / name

    def failures(self, study: str) -> Path:
        """The folder with the end of the traceback of each trial of a study that failed."""
        return self.study(study) / FAILURES

    def report(self, study: str) -> Path:
        """The folder of one study's report."""
        return self.study(study) / "report"

    def pipeline_summary(self, name: str) -> Path:
        """What the stages of one pipeline came to."""
        return self.study(name) / _SUMMARY

    def pipeline_page(self, name: str) -> Path:
        """The page of one pipeline: its studies side by side."""
        return self.study(name) / _PAGE

    def pipeline_stamp(self, name: str) -> Path:
        """Says what the page of one pipeline tells."""
        return self.study(name) / _STAMP

    def dataset(self, name: str) -> Path:
        """The folder of one prepared data set (manifest, caches)."""
        return self.datasets / checked_name(name, kind="data set")

    def create(self) -> Workspace:
        """Create the state folders.

        Raises:
            WorkspaceError: The workspace cannot be written to.
        """
        try:
            for folder in STATE_FOLDERS:
                path = self.root / folder
                path.mkdir(parents=True, exist_ok=True)
                if not os.access(path, os.W_OK | os.X_OK):
                    raise PermissionError(f"{path} is read-only")
        except OSError as error:
            raise WorkspaceError(
                f"workspace: must be a writable folder; got {self.root} ({error.strerror or error}). "
                "Choose another one with --workspace, or fix its permissions."
            ) from error
        return self
