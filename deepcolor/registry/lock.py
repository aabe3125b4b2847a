"""One change of a registry at a time: whoever registers a version or moves an alias holds its lock.

A database file has a lock file beside it, which the operating system lets go when its holder dies. On a server there is
no such thing, but a registered model of one name can be created once only: whoever has created `deepcolor-lock` holds
the lock, and deletes it in the end. One whose holder has died is taken away by who waits for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from deepcolor.errors import TrackingError
from deepcolor.printable import shown_uri
from deepcolor.registry import names
from deepcolor.sqlite import sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LOCK = f"{names.PREFIX}lock"
_OWNER = "deepcolor.owner"
_ABOUT = "Held while a promotion registers a version and moves aliases; it goes by itself."
_POLL_S = 0.25
_LEASE_S = 120.0
"""What is done under the lock takes seconds. A holder on another machine that has it for so long is taken for dead."""
_PATIENCE_S = 600.0
"""After so long without any change there is no hope that the lock goes by itself."""


@dataclass(frozen=True)
class _Owner:
    token: str
    """Another one each time the lock is taken."""
    machine: str
    pid: int
    since: str

    @property
    def is_dead(self) -> bool:
        """Whether it ran on this machine and does so no more."""
        if self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine.split()[0]} since {self.since}"


@contextmanager
def registry_lock(client: MlflowClient, *, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold a registry's lock.

    Args:
        client: An open store.
        on_wait: Told once, in words, if another process holds it.
    Raises:
        TrackingError: Its holder has died and left it where nobody here can tell.
    """
    database = sqlite_file(client.tracking_uri)
    with _file_lock(database, on_wait) if database else _server_lock(client, on_wait):
        yield


@contextmanager
def _file_lock(database: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    lock = FileLock(database.with_name(f"{database.name}.registry.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait("waiting for another promotion into the same registry")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _server_lock(client: MlflowClient, on_wait: Callable[[str], None]) -> Iterator[None]:
    owner = _Owner(token_hex(8), _machine(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S %z"))
    seen: _Owner | None = None
    since = time.monotonic()
    while not _create(client, _LOCK, owner):
        holder = _holder(client)
        if holder != seen:
            if seen is None and holder is not None:
                on_wait(f"waiting for another promotion into the same registry ({holder})")
            seen, since = holder, time.monotonic()
        waited_s = time.monotonic() - since
        if holder is not None and (holder.is_dead or waited_s > _LEASE_S):
            _take_away(client, holder, owner)
        if waited_s > _PATIENCE_S:
            raise TrackingError(
                f"MLflow: the registry must be free for a promotion; got a lock of {holder or 'nobody knows whom'} "
                f"({shown_uri(client.tracking_uri)}). If that process is gone, delete the registered model {_LOCK}."
            )
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):  # A lock that cannot be deleted now is taken away later.
            if _holder(client) == owner:
                client.delete_registered_model(_LOCK)


def _take_away(client: MlflowClient, dead: _Owner, owner: _Owner) -> None:
    """Delete a dead holder's lock, and never the one that somebody has taken since: of all who wait, one may do it."""
    name = f"{_LOCK}-{dead.token}"
    if not _create(client, name, owner):
        return
    try:
        if _holder(client) == dead:
            client.delete_registered_model(_LOCK)
    finally:
        client.delete_registered_model(name)


def _create(client: MlflowClient, name: str, owner: _Owner) -> bool:
    """Create a registered model; False when there is one of this name."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags={_OWNER: json.dumps(asdict(owner))}, description=_ABOUT)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return False
    return True


def _holder(client: MlflowClient) -> _Owner | None:
    """Who holds the lock; None when nobody does, or nobody that says so."""
    from mlflow.exceptions import MlflowException

    try:
        return _Owner(**json.loads(client.get_registered_model(_LOCK).tags[_OWNER]))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    except (ValueError, KeyError, TypeError):
        return None


def _machine() -> str:
    """This machine, and which processes can be seen on it: in a container, those of others cannot."""
    with contextlib.suppress(OSError):
        return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"
    return platform.node()
