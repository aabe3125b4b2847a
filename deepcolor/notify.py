"""Tell somebody that something has ended: a POST to a webhook, a command that is given it on its standard input."""

from __future__ import annotations

import json
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from deepcolor.errors import ConfigError
from deepcolor.printable import environment_of_child, note_secret, note_secrets, without_secrets

WAITS_S = (1.0, 5.0, 25.0)
"""Before each further try."""
_ANSWER_WITHIN_S = 10.0
_COMMAND_WITHIN_S = 60.0
_SCHEMES = ("http://", "https://")
_SECRET_FROM = 8
"""Characters of a path that may be a secret; `/hook` is none."""


@dataclass(frozen=True)
class Notify:
    """Who is told when something ends or fails."""

    webhook: str = ""
    """URL that is sent a POST; it may hold a secret, and is never shown."""
    command: tuple[str, ...] = ()
    """Program and arguments; it is given the same on its standard input."""

    def __repr__(self) -> str:
        return f"Notify(webhook={'***' if self.webhook else ''!r}, command={self.command[:1]!r})"

    @property
    def ways(self) -> tuple[tuple[str, Callable[[bytes], None]], ...]:
        """How it is told, by name."""
        hook = (("webhook", self._post),) if self.webhook else ()
        return (*hook, *((("command", self._call),) if self.command else ()))

    def _post(self, payload: bytes) -> None:
        request = urllib.request.Request(  # noqa: S310  # its scheme is checked where it is read
            self.webhook,
            data=payload,
            headers={"Content-Type": "application/json", "User-Agent": "deepcolor"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_WITHIN_S) as answer:  # noqa: S310  # see above
            answer.read(1)

    def _call(self, payload: bytes) -> None:
        subprocess.run(
            list(self.command),
            input=payload,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_WITHIN_S,
            env=environment_of_child(),
            check=True,
        )


NOBODY = Notify()


def notify_of(text: str, *, option: str) -> Notify:
    """Read whom to tell: the URL of a webhook, or a command with its arguments. No URL is ever printed.

    Args:
        text: As the user wrote it.
        option: With what, for the message.
    Raises:
        ConfigError: It is neither.
    """
    if "://" in text.partition(" ")[0]:
        return Notify(webhook=checked_webhook(text, refused=lambda got: _refused(option, got)))
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise _refused(option, f"a command with an open quote ({error})") from None
    if not words:
        raise _refused(option, "nothing")
    return Notify(command=words)


def _refused(option: str, got: str) -> ConfigError:
    return ConfigError(f"{option}: must be an http:// or https:// URL, or a command; got {got}. Correct it.")


def checked_webhook(text: str, *, refused: Callable[[str], Exception]) -> str:
    """Return a URL that can be sent a POST, and remember what of it must not be told.

    Args:
        text: As the user wrote it.
        refused: Makes the error, given what is wrong in place of the URL.
    """
    note_secrets(text)
    try:
        parts = urlsplit(text)
        host, path = parts.hostname, parts.path.strip("/")
    except ValueError:
        host, path = None, ""
    for secret in (path, *path.split("/")):
        if len(secret) >= _SECRET_FROM:
            note_secret(secret)
    if not text.startswith(_SCHEMES) or any(character.isspace() for character in text):
        raise refused(text.partition("://")[0][:20] if "://" in text else "no scheme")
    if not host:
        raise refused("a URL without a host")
    return text


def tell(
    notify: Notify,
    payload: Mapping[str, Any],
    *,
    about: str,
    warn: Callable[[str], None],
    wait: Callable[[float], bool],
    waits_s: Sequence[float] = WAITS_S,
) -> bool:
    """Tell of something each way, a few times if need be; return False where that was cut short.

    Args:
        notify: Whom to tell.
        payload: What, as a JSON object.
        about: The same in a few words, for the warning: `faces is done`.
        warn: Is told in a line what could not be.
        wait: Waits so many seconds before a try; returns True where there is no more time.
        waits_s: Seconds before each further try.
    """
    content, in_time = json.dumps(payload).encode(), True
    for name, way in notify.ways:
        try:
            in_time &= _tried(partial(way, content), wait=wait, waits_s=waits_s)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            warn(f"{name}: could not be told that {about}; got {_reason(error)}")
    return in_time


def _tried(way: Callable[[], None], *, wait: Callable[[float], bool], waits_s: Sequence[float]) -> bool:
    """Try until it works; False where there is no more time for that. The error of the last try is raised."""
    for number, wait_s in enumerate((0.0, *waits_s)):
        if wait(wait_s):
            return False
        try:
            way()
        except (OSError, ValueError, subprocess.SubprocessError):
            if number == len(waits_s):
                raise
        else:
            break
    return True


def _reason(error: Exception) -> str:
    """Why, without the URL, any part of which may be a secret."""
    match error:
        case urllib.error.HTTPError():
            return f"HTTP status {error.code}"
        case urllib.error.URLError():
            return without_secrets(str(getattr(error.reason, "strerror", None) or type(error.reason).__name__))
        case subprocess.CalledProcessError():
            return f"exit code {error.returncode}"
        case subprocess.TimeoutExpired():
            return f"no end within {error.timeout:.0f} s"
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return type(error).__name__
