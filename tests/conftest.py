"""Settings of the whole suite."""

import atexit
import gc
import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing import forkserver

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import HealthCheck, settings

from deepcolor.cli import console
from deepcolor.tracking import writer
from tests.needs import NEEDS
from tests.postgres import Postgres, shared_postgres
from tests.postgres import needed as needed_postgres
from tests.processes import ForkedWriter
from tests.slurm import Slurm, start_slurm
from tests.slurm import needed as needed_slurm

# How long a machine takes says nothing about what is tested; tests must not fail on a busy one.
# Examples are new ones each time, in CI too.
settings.register_profile("deepcolor", deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("deepcolor")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the one server that this process's children are forked from, with everything that any of them imports."""
    # Started in a script's background, or by nohup, the tests would inherit that these are ignored, and pass it on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if getattr(session.config.option, "numprocesses", None):
        return  # The tests run in processes of this one.
    gc.set_threshold(70_000, 50, 50)  # As the command has it: most garbage is no cycle, and looking for it takes long.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    multiprocessing.set_forkserver_preload(["tests.reliability.processes", "tests.running", "tests.warm"])
    forkserver.ensure_running()


def pytest_collection_finish() -> None:
    """Let nothing that has been imported or collected be looked at for garbage, which would take a second each time."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # torch's bindings complain of what is left at the end.


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: TerminalReporter) -> Iterator[None]:
    """Say last what was not tested for want of a program."""
    yield
    for need in NEEDS:
        skipped = terminalreporter.stats.get("skipped", ())
        missing = [report for report in skipped if need.missing in str(report.longrepr)]
        if missing:
            terminalreporter.write_line(
                f"NOT TESTED: {need.missing}, {len(missing)} tests were skipped. To have it: {need.how}.",
                red=True,
                bold=True,
            )


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Postgres:
    """The PostgreSQL that all tests share."""
    return shared_postgres(tmp_path_factory, needed_postgres())


@pytest.fixture(scope="session")
def slurm_cluster() -> Slurm:
    """The SLURM that the tests of this process share."""
    needed_slurm()
    return start_slurm()


@pytest.fixture(autouse=True)
def _no_tracking_uri_of_another_test() -> None:
    """Clear the store that MLflow was last given: it keeps it in the environment, where a command would find it."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(autouse=True)
def _no_options_of_another_test() -> None:
    """Reset how everything is printed: a command that ran in this process has set it."""
    console.settings = console.Settings()


@pytest.fixture(autouse=True)
def _writers_start_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give sweeps that run in a test's own process their real writer, without importing MLflow each time."""
    monkeypatch.setattr(writer, "_launch", ForkedWriter)
