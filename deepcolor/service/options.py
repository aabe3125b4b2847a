"""How a service works: its options, and the section `service` of `deepcolor.yaml` where an option is not given."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepcolor.errors import WorkspaceError
from deepcolor.fields.refusal import nearest
from deepcolor.notify import NOBODY, Notify, checked_webhook
from deepcolor.plainfile import read_plain
from deepcolor.settings import SETTINGS_FILE
from deepcolor.workspace import Workspace

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
_MOST_AT_A_TIME = 4
"""Where nothing else is said; each costs the memory of a driver."""


@dataclass(frozen=True)
class Options:
    """What `deepcolor service` is told."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    """0: any that is free."""
    token_file: Path | None = None
    """Users and their tokens, a line each; None: a token for this user alone is made in the workspace."""
    workers: int | None = None
    """Slots of this machine; None: one a GPU, or one a core."""
    cluster: str | None = None
    """Address of a Dask cluster whose workers are the slots."""
    at_a_time: int | None = None
    """Submissions that run together; None: as many as there are slots, and 4 at most."""
    limit_a_user: int | None = None
    """Of these, at most so many of one user's; None: no limit."""
    allow_code: bool = False
    """Whether submissions may bring code, or name modules that are not installed as plugins."""
    admins: tuple[str, ...] = ()
    """Users who may pause, cancel and stop what others have submitted."""
    notify: Notify = NOBODY
    keep_days: int = 90
    """Days after its end at which a submission leaves the queue's folder, with its log."""

    def most_at_a_time(self, slots: int) -> int:
        """How many submissions run together where there are so many slots."""
        return self.at_a_time or max(1, min(slots, _MOST_AT_A_TIME))


def options_of(workspace: Workspace, **given: Any) -> Options:
    """Return the options of a service: those given, else those of the workspace's settings, else the defaults.

    Args:
        workspace: Whose settings are read.
        given: By the name of the field; None: not given.
    Raises:
        WorkspaceError: A key or a value of the settings is wrong.
    """
    settings = dict(workspace.settings.service)
    where = workspace.root / SETTINGS_FILE
    known = list(Options.__dataclass_fields__)
    for key in settings:
        if key not in known:
            near = nearest(str(key), known)
            advice = f"Did you mean {near}?" if near else "Correct the key."
            raise WorkspaceError(f"service: must have keys of {', '.join(known)}; got {key!r} ({where}). {advice}")
    read = {key: _READ[key](value, f"service.{key}", where) for key, value in settings.items() if value is not None}
    made = replace(Options(), **read)
    return replace(made, **{key: value for key, value in given.items() if value is not None})


def _number(low: int, high: int) -> Any:
    def read(value: Any, key: str, where: Path) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise WorkspaceError(f"{key}: must be a number from {low} to {high}; got {value!r} ({where}). Correct it.")
        return value

    return read


def _text(value: Any, key: str, where: Path) -> str:
    if not isinstance(value, str) or not value:
        raise WorkspaceError(f"{key}: must be a text; got {value!r} ({where}). Correct it.")
    return value


def _path(value: Any, key: str, where: Path) -> Path:
    return where.parent / Path(_text(value, key, where)).expanduser()


def _flag(value: Any, key: str, where: Path) -> bool:
    if not isinstance(value, bool):
        raise WorkspaceError(f"{key}: must be true or false; got {value!r} ({where}). Correct it.")
    return value


def _names(value: Any, key: str, where: Path) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise WorkspaceError(f"{key}: must be a list of users; got {value!r} ({where}). Correct it.")
    return tuple(names)


def _notify(value: Any, key: str, where: Path) -> Notify:
    if not isinstance(value, Mapping) or set(value) - {"webhook", "command"}:
        got = ", ".join(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
        raise WorkspaceError(f"{key}: must have the keys webhook, command or both; got {got} ({where}). Correct it.")
    command, hook = value.get("command") or (), value.get("webhook") or ""
    words = shlex.split(command) if isinstance(command, str) else command
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise WorkspaceError(f"{key}.command: must be a program and its arguments; got {command!r} ({where}).")
    return Notify(_webhook(hook, f"{key}.webhook", where) if hook else "", tuple(words))


def _webhook(value: Any, key: str, where: Path) -> str:
    """A URL, or the one that a file holds."""
    text = _text(value, key, where)
    if "://" not in text:
        path = where.parent / Path(text).expanduser()
        try:
            text = read_plain(path, most_bytes=2**16).decode().strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise WorkspaceError(
                f"{key}: must be a URL, or a file that holds one; got {path} ({reason}; {where}). Correct it."
            ) from error
    return checked_webhook(
        text,
        refused=lambda got: WorkspaceError(
            f"{key}: must be an http:// or https:// URL; got {got} ({where}). Correct it."
        ),
    )


_READ: Mapping[str, Any] = {
    "host": _text,
    "port": _number(0, 65535),
    "token_file": _path,
    "workers": _number(1, 10_000),
    "cluster": _text,
    "at_a_time": _number(1, 1000),
    "limit_a_user": _number(1, 1000),
    "allow_code": _flag,
    "admins": _names,
    "notify": _notify,
    "keep_days": _number(1, 36_500),
}
