"""Where a Dask cluster is, by which certificates it knows its own, and whether it answers."""

from __future__ import annotations

import json
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from deepcolor.errors import UserError
from deepcolor.plainfile import read_plain
from deepcolor.waiting import repeated

if TYPE_CHECKING:
    from distributed import Client, Security

_ADDRESS = re.compile(
    r"(?P<protocol>tcp|tls)://(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s/:\[\]]+)):(?P<port>[0-9]{1,5})"
)
_MOST_BYTES = 2**20
_ANSWER_WITHIN_S, _CONNECT_S = 10.0, 60
_START_WITHIN_S = 10.0
"""A scheduler that was started a moment ago, in the line before, is waited for."""
_START_ONE = "Start it (dask scheduler), or check the address and the firewall."
_CERTIFICATES = "--cluster-ca, --cluster-cert and --cluster-key"


@dataclass(frozen=True)
class Cluster:
    """A Dask scheduler, and the certificate to show it."""

    address: str
    """`tcp://HOST:PORT` or `tls://HOST:PORT`."""
    ca: Path | None = None
    """File with the certificates of who may sign; this and the other two, or none: as Dask is configured."""
    cert: Path | None = None
    key: Path | None = None

    @classmethod
    def at(cls, text: str, *, ca: Path | None = None, cert: Path | None = None, key: Path | None = None) -> Self:
        """Read what a user has given.

        Args:
            text: The address, or the file that `dask scheduler --scheduler-file` has written (`.json`).
            ca: See `Cluster`, and so are the others.
            cert: As there.
            key: As there.
        Raises:
            UserError: It is no address, or a file is missing.
        """
        address = _address_in(Path(text)) if text.endswith(".json") else text
        found = _ADDRESS.fullmatch(address)
        if found is None or not 0 < int(found["port"]) < 2**16:
            raise UserError(
                f"--cluster: must be tcp://HOST:PORT, tls://HOST:PORT or a scheduler file (.json); got {text!r}. "
                "Write the address that `dask scheduler` says."
            )
        given = [file for file in (ca, cert, key) if file is not None]
        if given and (len(given) < 3 or found["protocol"] == "tcp"):
            got = f"{len(given)} of the three" if len(given) < 3 else address
            raise UserError(f"{_CERTIFICATES}: must be given together, with a tls:// address; got {got}.")
        for file in given:
            if not file.is_file():
                raise UserError(f"{_CERTIFICATES}: each must be a file; got {file}. Correct the path.")
        return cls(address, ca, cert, key)

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        found = _ADDRESS.fullmatch(self.address)
        assert found is not None
        return found["six"] or found["host"], int(found["port"])

    @property
    def encrypted(self) -> bool:
        """Whether it asks who connects, and nobody else can read along."""
        return self.address.startswith("tls://")

    def security(self) -> Security:
        """Return what clients and workers show and ask for.

        Raises:
            UserError: A tls:// address has no certificates, or they cannot be used.
        """
        from distributed import Security

        try:
            if self.ca is None:
                made = Security()
            else:
                own = {"cert": str(self.cert), "key": str(self.key)}
                roles = {f"tls_{role}_{part}": file for role in ("client", "worker") for part, file in own.items()}
                made = Security(require_encryption=True, tls_ca_file=str(self.ca), **roles)
            context = made.get_connection_args("client").get("ssl_context")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{_CERTIFICATES}: must be PEM files that belong together; got {_words(error)}. Correct them."
            ) from error
        if self.encrypted and context is None:
            raise UserError(
                f"--cluster: a tls:// address needs certificates; got none for {self.address}. Give {_CERTIFICATES}, "
                "or set distributed.comm.tls in Dask's configuration."
            )
        return made

    def client(self) -> Client:
        """Connect to the scheduler.

        Raises:
            UserError: As `security`.
            OSError: It does not answer.
        """
        from distributed import Client

        return Client(
            self.address, security=self.security(), timeout=_CONNECT_S, set_as_default=False, name="deepcolor"
        )

    def check(self) -> None:
        """Make sure that a scheduler answers, and accepts our certificate.

        Raises:
            UserError: It does not; the line says what is known of the reason.
        """
        context = self.security().get_connection_args("client").get("ssl_context") if self.encrypted else None
        try:
            with self._called() as plain:
                if context is None:
                    self._hear(plain)
                    return
                try:
                    with context.wrap_socket(plain) as connection:
                        self._hear(connection)
                except ssl.SSLError as error:
                    raise UserError(
                        f"--cluster: the scheduler at {self.address} must accept our certificate, and we its own; "
                        f"got {_words(error)}. Check {_CERTIFICATES} (or distributed.comm.tls), that they have not "
                        "expired, and that it speaks TLS."
                    ) from error
        except OSError as error:
            raise UserError(
                f"--cluster: a scheduler must answer at {self.address}; got {_words(error)}. {_START_ONE}"
            ) from error

    def _called(self) -> socket.socket:
        return repeated(
            lambda: socket.create_connection(self.place, timeout=_ANSWER_WITHIN_S),
            until=f"a scheduler at {self.address}",
            on=ConnectionRefusedError,
            timeout_s=_START_WITHIN_S,
        )

    def _hear(self, connection: socket.socket) -> None:
        # A scheduler begins to speak by itself, as soon as it knows who has called.
        try:
            heard = connection.recv(1)
        except TimeoutError:
            heard = b""
        if not heard:
            other = "it may have refused our certificate" if self.encrypted else "it may ask for TLS: tls://"
            raise UserError(
                f"--cluster: a Dask scheduler must answer at {self.address}; got silence; {other}. {_START_ONE}"
            )


def _address_in(file: Path) -> str:
    try:
        written = repeated(
            lambda: json.loads(read_plain(file, most_bytes=_MOST_BYTES)),
            until=f"a scheduler to write {file}",
            on=(FileNotFoundError, json.JSONDecodeError),
            timeout_s=_START_WITHIN_S if file.parent.is_dir() else 0,
        )
        return str(written["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--cluster: a scheduler file must be what `dask scheduler --scheduler-file` writes; got {_words(error)} "
            f"({file}). Start the scheduler first, or correct the path."
        ) from error


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.lower().split()) or type(error).__name__
