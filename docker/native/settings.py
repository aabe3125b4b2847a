"""The environment file of a stack, and the secrets that it names."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parents[1]
EXAMPLE = HERE / "stack.env.example"
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # to be told apart, not to be listened on
_NUMBERS = re.compile(r"(WORKERS|[A-Z_]+_(PORT|SLOTS|THREADS|PROCESSES))")


class StackError(Exception):
    """What is wrong with the stack, in one line."""


@dataclass(frozen=True)
class Settings:
    """What the environment file says; variables of the same names come before it, as for `docker compose`."""

    file: Path
    values: Mapping[str, str]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read an environment file, and make the secrets that are missing.

        Raises:
            StackError: The file is missing, has an unknown key or lacks one, or a value of it is wrong.
        """
        if not file.is_file():
            raise StackError(f"--env: must be a file; got {file}. Copy {EXAMPLE.name} there.")
        known, given = _parsed(EXAMPLE), _parsed(file)
        if unknown := sorted(given.keys() - known.keys()):
            raise StackError(f"{unknown[0]}: must be one of {', '.join(known)}; got another key ({file}). Correct it.")
        values = {key: os.environ.get(key) or value for key, value in (known | given).items()}
        for key, value in values.items():
            if _NUMBERS.fullmatch(key) and not (value.isdecimal() and 0 < int(value) < 2**16):
                raise StackError(f"{key}: must be a whole number from 1 to 65535; got {value!r} ({file}). Correct it.")
        made = cls(file.resolve(), values)
        made._make_secrets()
        return made

    def __getitem__(self, key: str) -> str:
        return self.values[key]

    def count(self, key: str) -> int:
        """A key's value as a number."""
        return int(self[key])

    @property
    def reached_at(self) -> str:
        """The address by which this machine reaches what listens on `BIND`."""
        return "127.0.0.1" if self["BIND"] in _EVERYWHERE else self["BIND"]

    @property
    def cluster(self) -> str:
        """The scheduler's address, for this machine."""
        return f"tls://{self.reached_at}:{self['SCHEDULER_PORT']}"

    @property
    def storage(self) -> str:
        """The URL of the studies' database, without a password."""
        return f"postgresql+psycopg://deepcolor@{self.reached_at}:{self['DATABASE_PORT']}/deepcolor"

    @property
    def secrets(self) -> Path:
        return self._folder("SECRETS")

    @property
    def workspace(self) -> Path:
        return self._folder("WORKSPACE")

    @property
    def state(self) -> Path:
        """Databases, artifacts, logs, and who runs."""
        return self._folder("STATE")

    @property
    def certificates(self) -> dict[str, str]:
        """What tells a command of deepcolor's how it is known to the scheduler."""
        files = {"CA": "ca.pem", "CERT": "team.pem", "KEY": "team.key"}
        return {f"DEEPCOLOR_CLUSTER_{part}": str(self.secrets / name) for part, name in files.items()}

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text(encoding="utf-8").strip()

    def _folder(self, key: str) -> Path:
        return (self.file.parent / self[key]).resolve()

    def _make_secrets(self) -> None:
        script = [HERE / "secrets.sh", self.file]
        done = subprocess.run(script, env=os.environ | self.values, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(
                f"secrets: must be made by {script[0].name}; got exit code {done.returncode}: {done.stderr.strip()}"
            )


def _parsed(file: Path) -> dict[str, str]:
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {key.strip(): value.strip() for key, _, value in pairs}
