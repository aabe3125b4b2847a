"""What holds for everything in a workspace: `deepcolor.yaml` in its folder, so that nobody types it twice.

    storage: postgresql+psycopg://ann@db.example.org/deepcolor
    tracking_uri: https://mlflow.example.org
    sqlite_journal: auto
    storage_wait_s: 120
    mlflow_pictures: 8
    system_metrics: true

An option comes before a variable of the environment, and that before this file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from deepcolor.errors import WorkspaceError
from deepcolor.plainfile import read_plain
from deepcolor.printable import has_secret, shown_uri

SETTINGS_FILE = "deepcolor.yaml"
STORAGE_VARIABLE = "DEEPCOLOR_STORAGE"
Journal = Literal["auto", "wal", "delete"]
JOURNALS: tuple[Journal, ...] = get_args(Journal)
_MOST_BYTES = 2**20
MOST_PICTURES = 8


@dataclass(frozen=True)
class Settings:
    """The keys of the file; each is as here where it is not given."""

    storage: str | None = None
    """The database of the studies: `postgresql+psycopg://USER@HOST/DATABASE`, or `sqlite:///FILE`, which is relative to
    the workspace; None: `studies/optuna.db`.
    """
    tracking_uri: str | None = None
    """MLflow's server or database; None: `mlruns/mlflow.db`."""
    sqlite_journal: Journal = "auto"
    """Whether SQLite keeps a write-ahead log; `auto`: not on a network file system, where it does not work."""
    storage_wait_s: float = 120.0
    """How long a driver waits for a database server that has gone away, before it ends."""
    mlflow_pictures: int = 8
    """How many of the validation pictures that all trials draw MLflow shows each under a key of its own, as they come
    out at rungs and at the end: 0 to 8; 0: none of them, and nothing is drawn at rungs.
    """
    system_metrics: bool = True
    """Whether trainings record what their machine has to do: CPU, memory and GPU."""
    service: Mapping[str, Any] = field(default_factory=dict)
    """Keys and values for `deepcolor service`, which checks them (`service.options`)."""


def read_settings(root: Path) -> Settings:
    """Return the settings of the workspace in a folder; the defaults where it has no such file.

    Raises:
        WorkspaceError: The file cannot be read, or a key or a value in it is wrong.
    """
    path = root / SETTINGS_FILE
    try:
        text = read_plain(path, most_bytes=_MOST_BYTES).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise WorkspaceError(f"settings: must be a file of text; got {path} ({reason}). Replace it.") from error
    return Settings(**_checked(_mapping(text, path), path))


def read_journal(root: Path) -> Journal:
    """Return the setting `sqlite_journal` alone, for those who only open a database; `auto` where it cannot be read."""
    try:
        return read_settings(root).sqlite_journal
    except WorkspaceError:
        return "auto"


def _mapping(text: str, path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise WorkspaceError(f"settings: must be YAML; got an error ({path}{line}). Write KEY: VALUE lines.") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise WorkspaceError(f"settings: must be KEY: VALUE lines; got {type(found).__name__} ({path}). Correct it.")
    return {str(key): value for key, value in found.items()}


def _checked(found: dict[str, Any], path: Path) -> dict[str, Any]:
    known = list(Settings.__dataclass_fields__)
    for key, value in found.items():
        if key not in known:
            raise WorkspaceError(f"settings: must be one of {', '.join(known)}; got {key!r} ({path}). Correct the key.")
        if value is None:
            continue
        rule = _rule(key, value)
        if rule:
            shown = shown_uri(value) if isinstance(value, str) else repr(value)
            raise WorkspaceError(f"{key}: {rule.format(got=shown)} ({path}).")
    return {key: value for key, value in found.items() if value is not None}


def _rule(key: str, value: Any) -> str:
    """What a value breaks, as the part of a message between its key and its place; nothing if it is fine."""
    if key == "storage_wait_s":
        fine = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 86_400
        return "" if fine else "must be seconds, 0 to 86400; got {got}"
    if key == "mlflow_pictures":
        fine = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_PICTURES
        return "" if fine else f"must be a number of pictures, 0 to {MOST_PICTURES}; got {{got}}"
    if key == "system_metrics":
        return "" if isinstance(value, bool) else "must be true or false; got {got}"
    if key == "sqlite_journal":
        return "" if value in JOURNALS else f"must be one of {', '.join(JOURNALS)}; got {{got}}"
    if key == "service":
        return "" if isinstance(value, dict) else "must be KEY: VALUE lines, indented; got {got}"
    if not isinstance(value, str):
        return "must be a URI; got {got}"
    if has_secret(value):
        variables = "PGPASSWORD, or ~/.pgpass" if key == "storage" else "MLflow's own variables"
        return f"must hold no password, as others read this file; got {{got}} with one. Use {variables}"
    return ""


def storage_of_environment() -> str | None:
    """The storage that a variable names."""
    return os.environ.get(STORAGE_VARIABLE) or None
