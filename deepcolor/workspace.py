"""Where everything is: the one place that builds paths below a workspace and checks names that come from outside."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from deepcolor.errors import UserError, WorkspaceError
from deepcolor.printable import shown_uri
from deepcolor.sqlite import sqlite_file, sqlite_url

FAILURES = "failures"
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
RESERVED_STUDY_NAMES = frozenset({"datasets", "trajectories"})
STATE_FOLDERS = ("studies", "mlruns")


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


@dataclass(frozen=True)
class Workspace:
    """The folder that holds `experiments/`, `studies/` and `mlruns/`; all state is kept below it."""

    root: Path

    @classmethod
    def at(cls, root: Path | str) -> Workspace:
        """Name the workspace at `root`, made absolute. Nothing is created or read.

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
        return cls(path)

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
    def optuna_db(self) -> Path:
        return self.studies / "optuna.db"

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
        """The MLflow store: the named one, else that of MLFLOW_TRACKING_URI, else the workspace's own."""
        return named or os.environ.get("MLFLOW_TRACKING_URI") or self.mlflow_uri

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
    def store_id(self) -> Path:
        """The file by which the processes of other machines recognise this workspace, wherever they see it."""
        return self.studies / ".store-id"

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
