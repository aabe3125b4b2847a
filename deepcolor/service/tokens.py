"""Who may use the service's HTTP API: tokens in files, compared by their digests in constant time."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe

from deepcolor.errors import UserError
from deepcolor.plainfile import read_plain
from deepcolor.printable import note_secret
from deepcolor.workspace import Workspace

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}")
_SHORTEST = 16
_MOST_BYTES = 2**20
_MAKE_ONE = "Make one with: openssl rand -hex 32"


def this_user() -> str:
    """Return the operating system's name of whoever runs this process."""
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return f"uid{os.getuid()}"


class Tokens:
    """The users of a service, each with a token."""

    def __init__(self, users: Mapping[bytes, str]) -> None:
        """Know them.

        Args:
            users: Names by the SHA-256 of their tokens.
        """
        self._users = dict(users)

    def user_of(self, token: str) -> str | None:
        """Return whose token it is; None if it is nobody's."""
        digest, found = _digest(token), None
        for known, user in self._users.items():  # All of them: how long it takes says nothing.
            if hmac.compare_digest(known, digest):
                found = user
        return found


def read_tokens(file: Path) -> Tokens:
    """Read a file with a user and a token in each line, such as `ann 8f3e...`; `#` begins a comment.

    Raises:
        UserError: It cannot be read, others may read it, or a line is wrong.
    """
    users: dict[bytes, str] = {}
    for number, line in enumerate(_private_text(file).splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if len(words) != 2 or _USER.fullmatch(words[0]) is None or len(words[1]) < _SHORTEST:
            raise UserError(
                f"--token-file: each line must be a user and a token of {_SHORTEST} characters or more; got something "
                f"else in line {number} ({file}). {_MAKE_ONE}"
            )
        note_secret(words[1])
        users[_digest(words[1])] = words[0]
    if not users:
        raise UserError(f"--token-file: must have a line USER TOKEN; got none ({file}). {_MAKE_ONE}")
    return Tokens(users)


def own_token_file(workspace: Workspace) -> Path:
    """Return the file with the one token of a service that was given no tokens; made by the first call."""
    file = workspace.create().queue / "token"
    file.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            new.write(f"{this_user()} {token_urlsafe(32)}\n")
    return file


def token_in(file: Path) -> str:
    """Return the token that a client shows: the last word of the first line of its file.

    Raises:
        UserError: It cannot be read, others may read it, or it holds none.
    """
    words = next((line.split() for line in _private_text(file).splitlines() if line.strip()), [])
    if not words or len(words[-1]) < _SHORTEST:
        raise UserError(f"--token-file: must hold a token of {_SHORTEST} characters or more; got none ({file}).")
    note_secret(words[-1])
    return words[-1]


def _private_text(file: Path) -> str:
    try:
        mode = file.stat().st_mode
        text = read_plain(file, most_bytes=_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UserError(f"--token-file: must be a file of text; got {file} ({reason}). Correct the path.") from error
    # A secret that a container is given lies in a folder of its own, with whatever mode that has.
    if stat.S_IMODE(mode) & 0o077 and not file.is_relative_to("/run/secrets"):
        raise UserError(
            f"--token-file: nobody else may be able to read it; got mode {stat.S_IMODE(mode):03o} ({file}). "
            f"Run: chmod 600 {file}"
        )
    return text


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
