"""What some tests need beside Python: where it is missing they are skipped, and the suite says so; in CI they fail."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NoReturn

import pytest


@dataclass(frozen=True)
class Need:
    """A program, or a right, that some tests cannot do without."""

    what: str
    how: str
    """How it is to be had."""

    @property
    def missing(self) -> str:
        """Why a test is skipped."""
        return f"{self.what} is missing"

    def lacking(self) -> NoReturn:
        """Skip the test; in CI, where all of it must be there, fail it."""
        reason = f"{self.missing}: {self.how}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


POSTGRESQL = Need("PostgreSQL", "apt-get install postgresql, and pip install 'psycopg[binary]'")
SLURM = Need("SLURM", "apt-get install slurm-wlm munge, and pip install dask-jobqueue")
CHROMIUM = Need("Chromium", "apt-get install chromium, and pip install playwright axe-playwright-python")
HOSTS = Need("a network of hosts", "it takes root, and apt-get install iproute2")
SMALL_DISK = Need("a small disk", "it takes root")
NEEDS = (POSTGRESQL, SLURM, CHROMIUM, HOSTS, SMALL_DISK)
