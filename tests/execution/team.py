"""A real Dask cluster over TLS, as a team has it: its scheduler and its workers are processes of their own."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deepcolor.execution.reach import Cluster
from tests.reliability.processes import wait_until

ROOT = Path(__file__).parents[2]


@dataclass
class Team:
    """A scheduler, and where its certificates are."""

    folder: Path
    address: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def cluster(self) -> Cluster:
        return Cluster.at(self.address, ca=self.file("ca.pem"), cert=self.file("me.pem"), key=self.file("me.key"))

    @property
    def options(self) -> tuple[str, ...]:
        """What a command needs to find it."""
        own = (("ca", "ca.pem"), ("cert", "me.pem"), ("key", "me.key"))
        words = [word for part, name in own for word in (f"--cluster-{part}", str(self.file(name)))]
        return ("--cluster", self.address, *words)

    def file(self, name: str) -> Path:
        return self.folder / name

    def dask(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command of Dask's, as someone who knows nothing of deepcolor."""
        tls = [
            f"--tls-{part}={self.file(name)}"
            for part, name in (("ca-file", "ca.pem"), ("cert", "me.pem"), ("key", "me.key"))
        ]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
        with self.file("dask.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", words[0], *tls, *words[1:]],
                stdout=log,
                stderr=log,
                env={**environment, "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "forkserver"},
                cwd=self.folder,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def start_scheduler(self) -> None:
        file = self.file("scheduler.json")
        self.dask(
            "scheduler", "--host=127.0.0.1", "--port=0", "--protocol=tls", "--no-dashboard", f"--scheduler-file={file}"
        )
        wait_until(lambda: file.exists() and file.read_text().endswith("}"), "the scheduler starts")
        self.address = json.loads(file.read_text())["address"]

    def start_workers(self, count: int) -> subprocess.Popen[bytes]:
        """Start bare `dask worker` processes."""
        return self.dask(
            "worker", self.address, "--host=127.0.0.1", "--nthreads=1", f"--nworkers={count}", "--no-dashboard",
            "--memory-limit=0", f"--local-directory={self.folder}",
        )  # fmt: skip

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def team_in(folder: Path) -> Iterator[Team]:
    """Make certificates and start a scheduler; all ends with the block."""
    made = Team(folder)
    write_certificates(folder)
    try:
        made.start_scheduler()
        yield made
    finally:
        made.end()


def write_certificates(folder: Path) -> None:
    """Write a CA (`ca.pem`), what it has signed (`me`), what has expired (`old`), and a stranger's (`other`)."""
    ca_key, ca = _signed("team", None, None)
    other_key, other = _signed("somebody", None, None)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    for name, authority, days in (("me", (ca_key, ca), 2), ("old", (ca_key, ca), -2), ("other", (other_key, other), 2)):
        key, certificate = _signed(name, *authority, days=days)
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def _signed(
    name: str, authority_key: ec.EllipticCurvePrivateKey | None, authority: x509.Certificate | None, *, days: int = 2
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .sign(authority_key or key, hashes.SHA256())
    )
    return key, certificate
