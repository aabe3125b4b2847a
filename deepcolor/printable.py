"""Make text from outside safe to leave the process: URIs and command lines without their secrets, text without control
characters. Whatever is printed, stored, logged or handed to a child process passes through here.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import IO, Any
from urllib.parse import quote, unquote

HIDDEN = "***"
USERNAME, PASSWORD, TRACKING_URI = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"
"""MLflow's own variables; it reads a server's user and password from the first two."""

NOTIFY_OPTION, NOTIFY_VARIABLE = "--notify", "DEEPCOLOR_NOTIFY"
"""Who is told when a sweep has ended: a webhook's URL may be all secret."""
_SECRET_VARIABLES = (
    PASSWORD,
    NOTIFY_VARIABLE,
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "DATABRICKS_TOKEN",
    "PGPASSWORD",
    "MYSQL_PWD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
)
_URI_VARIABLE = re.compile(r".*_(?:UR[IL]|PROXY|STORAGE)", re.IGNORECASE)
_STORAGE_OPTION, _STORAGE = "--storage", "DEEPCOLOR_STORAGE"
_URI_OPTIONS = ("--tracking-uri", "--to", _STORAGE_OPTION)

_START = r"(?P<start>[A-Za-z][A-Za-z0-9+.-]*://)"
_IN_A_URI = re.compile(rf"{_START}(?P<user>.*@)", re.DOTALL)
# Searched for from its `://` on: from its first letter, a long word would be searched again from each of its letters.
_IN_A_TEXT = re.compile(r"(?P<start>(?<=[A-Za-z0-9+.-])://)(?P<user>[^\s'\"<>]*@)")
"""User and password reach to the last `@`: a password may hold one, or a slash, unquoted."""
_DATABASE = re.compile(r"(?:postgres(?:ql)?|mysql|mariadb)(?:\+\w+)?://$")
_LONE_USER = re.compile(r"[\w.%-]+@")
"""Without a password, the user of a database is no secret, and nobody could connect without the name."""
_LONGEST_SCHEME = 40
_PARAMETER = re.compile(
    r"(?P<name>[?&;#](?:[\w.-]*(?:pass|pwd|token|secret|credential|auth|signature|api_?key|access_?key|private_?key)[\w.-]*"
    r"|key|sig|odbc_connect)=)(?P<value>[^&;#\s'\"<>]+)",
    re.IGNORECASE,
)
_SHORTEST = 4
"""A secret of fewer characters is only hidden inside a URI, not wherever its letters occur."""

_known: set[str] = set()

# What moves the cursor, rings the bell, sets a title or reverses the text's direction; undecodable bytes of file names.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")

_HALVES = re.compile("[\udc80-\udcff]")
"""What Python makes of bytes that the locale's encoding cannot decode."""


def shown_uri(uri: str) -> str:
    """Return a URI without user and password, and without the values of parameters such as `?password=`; the user of a
    database stays where there is no password.
    """
    return _PARAMETER.sub(rf"\g<name>{HIDDEN}", _IN_A_URI.sub(_without_user, uri))


def has_secret(uri: str) -> bool:
    """Whether a URI holds anything that must not be shown."""
    return shown_uri(uri) != uri


def note_secrets(uri: str) -> None:
    """Remember the secrets of a URI, so that `without_secrets` finds them wherever a library repeats a part of it."""
    _known.update(_secrets_of(uri))
    _all_known.cache_clear()


def note_secret(secret: str) -> None:
    """Remember a secret that stands alone, such as a token."""
    _known.update(_forms(secret))
    _all_known.cache_clear()


def without_secrets(text: str) -> str:
    """Return a text without the secrets of the URIs in it, those noted before, and those of the environment."""
    text = _PARAMETER.sub(rf"\g<name>{HIDDEN}", _IN_A_TEXT.sub(_without_user, text))
    for secret in _all_known(len(_known), len(os.environ), int(time.monotonic())):
        if secret in text:
            # Not inside a longer word: a weak password may be part of many.
            text = re.sub(rf"(?<![A-Za-z0-9_]){re.escape(secret)}(?![A-Za-z0-9_])", HIDDEN, text)
    return text


def shown_command(arguments: Sequence[str]) -> str:
    """Return a command as a line for a shell, without its secrets; see `resume_line` for one that can be run again.

    Args:
        arguments: The program and its arguments. A store whose secret MLflow cannot take from variables of its own (a
            database's password, a token in the query) is left out, together with its option; so is who is told of the
            end, which may be all secret.
    """
    shown: list[str] = []
    for option, argument in zip(("", *arguments), arguments, strict=False):
        name, _, value = argument.partition("=")
        if option == NOTIFY_OPTION or (option in _URI_OPTIONS and _is_whole_secret(argument)):
            shown.pop()
        elif name == NOTIFY_OPTION and "=" in argument:
            continue
        elif not (name in _URI_OPTIONS and _is_whole_secret(value)):
            shown.append(_shown_argument(argument))
    return shlex.join(shown)


def resume_line(arguments: Sequence[str]) -> str:
    """Return the line that runs a command again, with the variables to set first if a secret was left out of it."""
    given = [(option, uri) for option, uri in _stores_in(arguments) if has_secret(uri)]
    if not given:
        return shown_command(arguments)
    stores = [uri for option, uri in given if option != _STORAGE_OPTION]
    variables = [_STORAGE] if len(stores) < len(given) else []
    if any(_is_whole_secret(uri) for uri in stores):
        variables.append(TRACKING_URI)
    elif stores:
        variables += [USERNAME, PASSWORD]
    return f"{shown_command(arguments)} (set {' and '.join(variables)} first)"


def fit_to_print(text: str) -> str:
    r"""Return a text that cannot control a terminal: escape codes and the like are written as `\x1b`.

    Line breaks and tabs are kept.
    """
    return _HARMFUL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def as_unicode(text: str) -> str:
    """Return a text from the command line, or a file's name, as UTF-8 would have read it.

    Under a plain C locale each of its bytes beyond ASCII has become half a surrogate pair, which no database and no
    UTF-8 file accepts.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if _HALVES.search(text) else text


def environment_of_child() -> dict[str, str]:
    """Return the environment for a process that needs no store: without the variables that hold a secret."""
    hidden = secrets_of_environment()
    return {name: value for name, value in os.environ.items() if name not in hidden}


def secrets_of_environment() -> dict[str, str]:
    """Return the variables that `environment_of_child` leaves out."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _SECRET_VARIABLES or (_URI_VARIABLE.fullmatch(name) and has_secret(value))
    }


_option = "--tracking-uri"


def call_tracking_uri(name: str) -> None:
    """Let messages call the tracking URI by the option or variable it was given with."""
    global _option  # noqa: PLW0603  # one command line a process
    _option = name


def tracking_option() -> str:
    """Return the option or variable the tracking URI was given with, for advice such as `Check --tracking-uri`."""
    return _option


class Guarded:
    """A text stream that lets no known secret through, even from libraries that warn, log or print tracebacks."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text with its secrets hidden."""
        self._stream.write(without_secrets(text))
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write texts with their secrets hidden."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _without_user(match: re.Match[str]) -> str:
    return match["start"] if not (match["user"].startswith("/") or _has_lone_user(match)) else match[0]


def _has_lone_user(match: re.Match[str]) -> bool:
    """Whether what stands before the host in a URI is the name of a database's user, and no password."""
    first = max(0, match.start() - _LONGEST_SCHEME)
    scheme = match.string[first : match.start()] + match["start"]
    return _DATABASE.search(scheme) is not None and _LONE_USER.fullmatch(match["user"]) is not None


def _shown_argument(argument: str) -> str:
    name, separator, value = argument.partition("=")
    if separator and name.startswith("-"):
        return f"{name}={_shown_argument(value)}"
    return without_secrets(shown_uri(argument) if _IN_A_URI.match(argument) else argument)


def _is_whole_secret(uri: str) -> bool:
    """Whether a store's URI cannot be used without its secret, whatever MLflow's variables say."""
    is_server = uri.startswith(("http://", "https://"))
    return has_secret(uri) and not (is_server and _PARAMETER.search(uri) is None)


def _stores_in(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    for option, argument in zip(("", *arguments), arguments, strict=False):
        name, separator, value = argument.partition("=")
        if option in _URI_OPTIONS:
            yield option, argument
        elif separator and name in _URI_OPTIONS:
            yield name, value


def _secrets_of(uri: str) -> Iterator[str]:
    match = _IN_A_URI.match(uri)
    if match is not None and not match["user"].startswith("/") and not _has_lone_user(match):
        user, separator, password = match["user"].removesuffix("@").partition(":")
        yield from _forms(password if separator else user)
        yield from (form for form in _forms(f"{unquote(user)}:{unquote(password)}") if separator)
    for parameter in _PARAMETER.finditer(uri):
        yield from _forms(parameter["value"])


def _forms(secret: str) -> Iterator[str]:
    """A secret in the forms in which a library may repeat it: quoted, unquoted, or split where a URI is split."""
    plain = unquote(secret)
    forms = {secret, plain, quote(secret, safe=""), quote(plain, safe=""), quote(plain), json.dumps(plain)[1:-1]}
    forms |= {repr(plain)[1:-1], base64.b64encode(plain.encode()).decode()}
    forms |= set(re.split(r"[/@?#:\\]", secret)) | set(re.split(r"[/@?#:\\]", plain))
    yield from (form for form in forms if len(form) >= _SHORTEST)


@lru_cache(maxsize=1)
def _all_known(*_state: int) -> tuple[str, ...]:
    """Every known secret, the longest first; looked up again when one is added, and every second.

    It is cached because a table has thousands of cells, and each of them is searched.
    """
    return tuple(sorted({*_known, *_of_environment()}, key=len, reverse=True))


def _of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if name in _SECRET_VARIABLES:
            yield from _forms(value)
        elif "://" in value and _URI_VARIABLE.fullmatch(name):
            yield from _secrets_of(value)
