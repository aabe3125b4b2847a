"""A sweep on a cluster whose workers come, go, are killed, and do not all fit."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepcolor.app.how import Cluster, How
from deepcolor.cli.app import main
from deepcolor.errors import UserError
from deepcolor.execution import admission, reach
from deepcolor.workspace import Workspace
from tests.execution.team import Team, team_in
from tests.reliability.conftest import POINTS, Place
from tests.reliability.processes import Command, Faults, start, start_call, wait_until

REAL = Faults(formula=False)
"""Networks are trained: their numbers show what a formula's cannot, that no epoch was lost or done twice."""
LONGER = ("-o", "search.space.epochs=[6, 12]")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team_in(tmp_path_factory.mktemp("team")) as made:
        yield made


def start_worker(team: Team, place: Path, *, seen_at: Path) -> Command:
    """Start `deepcolor worker` on a machine that sees the workspace somewhere else."""
    return start(place, "worker", *team.options, "--slots", "1", "--threads", "1", "-w", str(seen_at), faults=REAL)


def old_worker(words: tuple[str, ...]) -> None:
    """Run `deepcolor` as another version of it."""
    admission.__version__ = "0.0.9"  # type: ignore[attr-defined]
    sys.argv = ["deepcolor", *words]
    main()


def results(root: Path) -> dict[str, bytes]:
    """The weights and figures of every result in a workspace, by their place."""
    store = root / "studies" / "trajectories"
    return {
        str(file.relative_to(store)): file.read_bytes()
        for file in store.glob("*/results/*/*")
        if file.name == "model.safetensors"
    }


def test_a_sweep_outlives_its_workers(team: Team, place: Place, tmp_path: Path) -> None:
    """Started without a worker it says that it waits. Workers that see another store, or have another version, are
    refused in one line. One is killed with -9, another is asked to end; with the next ones every trial ends once, and
    all weights are those of one process to the last bit, although the workers see the workspace under another path.
    """
    alone = shutil.copytree(place.root, tmp_path / "alone")
    elsewhere, stranger = tmp_path / "mounted", tmp_path / "stranger"
    elsewhere.symlink_to(place.root)
    (stranger / "studies").mkdir(parents=True)

    sweep = place.start("sweep", "grid.yaml", *team.options, *LONGER, faults=REAL)
    wait_until(lambda: "cluster: waiting for workers at tls://" in sweep.text, f"it says that it waits: {sweep.text}")
    early = start_worker(team, tmp_path, seen_at=stranger).ends(2)
    assert "error: worker: must fit the driver on" in early
    assert "the driver's store is not seen here" in early
    words = ("worker", *team.options, "--slots", "1", "-w", str(elsewhere))
    assert "deepcolor 0.0.9 here, 0.1.0 on the driver" in start_call(old_worker, words, folder=tmp_path).ends(2)

    first = start_worker(team, tmp_path, seen_at=elsewhere)
    place.wait_for_trials(1)
    os.killpg(first.pid, signal.SIGKILL)
    second = start_worker(team, tmp_path, seen_at=elsewhere)
    place.wait_for_trials(3)
    second.signal(signal.SIGTERM)
    third = start_worker(team, tmp_path, seen_at=elsewhere)
    assert "running segments finish their epoch" in second.ends(0)
    sweep.ends(0)
    third.signal(signal.SIGTERM)
    third.ends(0)

    assert "failed" not in sweep.text
    assert [trial.state for trial in place.trials()] == ["complete"] * POINTS
    start(alone, "sweep", "grid.yaml", "--executor", "serial", *LONGER, faults=REAL).ends(0)
    assert results(place.root) == results(alone)
    assert len(results(alone)) >= POINTS
    assert not list((place.root / "studies" / ".segments").glob("*/marks-*"))


@pytest.mark.parametrize(
    ("address", "files", "options", "said"),
    [
        ("tcp://127.0.0.1:1", (), {}, "a scheduler must answer at tcp://127.0.0.1:1; got connection refused"),
        ("login1:8786", (), {}, "must be tcp://HOST:PORT, tls://HOST:PORT or a scheduler file"),
        ("tls", (), {}, "a tls:// address needs certificates"),
        ("tls", ("ca.pem",), {}, "must be given together"),
        ("tls", ("ca.pem", "old.pem", "old.key"), {}, "certificate expired"),
        ("tls", ("ca.pem", "other.pem", "other.key"), {}, "unknown ca"),
        ("tls", ("other.pem", "me.pem", "me.key"), {}, "certificate verify failed"),
        ("tcp", (), {}, "it may ask for TLS"),
        ("tcp", (), {"workers": 2}, "--workers: must be said where the workers are started"),
        ("tcp", (), {"executor": "serial"}, "--cluster: must be used by the executor dask"),
        (None, (), {"executor": "dask"}, "--executor: dask needs a cluster"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_line(
    address: str | None,
    files: tuple[str, ...],
    options: dict[str, Any],
    said: str,
    request: pytest.FixtureRequest,
) -> None:
    """No scheduler, a wrong address, certificates that are missing, expired or a stranger's: the line says which."""
    team, folder = request.getfixturevalue("team"), request.getfixturevalue("tmp_path")
    for wait, seconds in (("_ANSWER_WITHIN_S", 1.0), ("_START_WITHIN_S", 0.0)):
        request.getfixturevalue("monkeypatch").setattr(reach, wait, seconds)
    known = {"tls": team.address, "tcp": team.address.replace("tls://", "tcp://")}
    named = {part: team.file(name) for part, name in zip(("ca", "cert", "key"), files, strict=False)}

    def make() -> None:
        cluster = Cluster.at(known.get(address, address), **named) if address else None
        How(Workspace.at(folder), "", cluster=cluster, **options).make_executor()

    with pytest.raises(UserError, match=re.escape(said)) as refused:
        make()
    assert "\n" not in str(refused.value)
    assert list(folder.iterdir()) == []
