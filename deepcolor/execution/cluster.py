"""A Dask cluster on this machine that only obeys its own driver.

Whoever can give a worker a task can run code as its user, and every user of a machine can reach its local ports. So all
parts of the cluster show each other a certificate that is made for it, kept only in memory, and thrown away with it;
and none of them serves Dask's web pages, which require no login.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from distributed import Nanny, Scheduler, Security, SpecCluster

from deepcolor.execution.post import SLOT, Post
from deepcolor.execution.worker import NoWebPages, QuietWorker

_HOST = "127.0.0.1"
_VALID = datetime.timedelta(days=1000)
_CLOCKS_DIFFER = datetime.timedelta(days=2)


class QuietScheduler(NoWebPages, Scheduler):
    """A scheduler without web pages."""


def local_cluster(*, posts: Sequence[Post], folder: Path) -> SpecCluster:
    """Start a scheduler in this process and workers in processes of their own, each with one slot.

    Args:
        posts: What each of them is given.
        folder: For their files.
    """
    security = throw_away_security()
    # Any free port of this host only: two sweeps at once must not ask for the same one.
    common: dict[str, Any] = {"host": _HOST, "protocol": "tls://", "security": security, "dashboard": False}
    workers = {
        number: {"cls": Nanny, "options": {**common, "worker_class": QuietWorker, **nanny_options(post, folder=folder)}}
        for number, post in enumerate(posts)
    }
    return SpecCluster(
        workers=workers,
        scheduler={"cls": QuietScheduler, "options": {**common, "port": 0}},
        security=security,
        silence_logs=logging.CRITICAL,
    )


def nanny_options(post: Post, *, folder: Path) -> dict[str, Any]:
    """Return how a worker process of ours is started, with whatever cluster.

    Args:
        post: What it is given.
        folder: For its files.
    """
    return {
        "post": post,
        "env": dict(post.environment),
        "nthreads": 1,
        "resources": {SLOT: 1},
        "memory_limit": 0,
        "dashboard": False,
        "silence_logs": logging.CRITICAL,
        "local_directory": str(folder),
    }


def throw_away_security() -> Security:
    """Make a key and its certificate, which all parts of one cluster show and ask for; neither is stored."""
    key = ec.generate_private_key(ec.SECP256R1())  # Takes no time, while RSA, which Dask uses itself, takes 0.1 s.
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "deepcolor")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _VALID)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    roles = {
        f"tls_{role}_{part}": text
        for role in ("client", "scheduler", "worker")
        for part, text in (("cert", certificate), ("key", private))
    }
    return Security(require_encryption=True, tls_ca_file=certificate, **roles)
