"""The service as a process of its own, driving real sweeps, restarted and killed while they run."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from deepcolor.errors import StudyError
from deepcolor.search.study.attendance import running_trials
from deepcolor.search.study.storage import StudyStorage
from deepcolor.service.client import Service
from deepcolor.service.queue import Queue
from deepcolor.service.record import Submission
from deepcolor.service.serving import service_of
from deepcolor.service.submitting import read_draft
from deepcolor.service.tokens import this_user
from deepcolor.workspace import Workspace
from tests.processes import is_alive
from tests.reliability.conftest import EPOCHS, FORMULA_GRID, POINTS, Place
from tests.reliability.processes import Command, Faults, wait_until

TOKENS = "ann a-token-of-ann-0123456789\nbob a-token-of-bob-0123456789\n"
SLOW = Faults(environment={"TRIVIAL_EPOCH_S": "0.4"}, submissions=12)
STUDIES = {"one": "ann", "two": "ann", "three": "ann", "four": "bob", "five": "bob"}


def start_service(place: Place, *words: str, faults: Faults = SLOW) -> tuple[Command, str]:
    """Start a service with the users ann and bob, and return it with its URL."""
    tokens = place.write("tokens", TOKENS)
    tokens.chmod(0o600)
    command = _started(place, "service", "--port", "0", "--token-file", "tokens", *words, faults=faults)
    workspace = Workspace.at(place.root)
    wait_until(lambda: (found := service_of(workspace)) is not None and found.pid == command.pid, "the service is up")
    wait_until(lambda: "service at http" in command.text, "the service answers")
    found = service_of(workspace)
    assert found is not None
    return command, found.url


_services: list[tuple[Place, Command]] = []


def _started(place: Place, *words: str, faults: Faults) -> Command:
    command = place.start(*words, faults=faults)
    _services.append((place, command))
    return command


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """A test that fails leaves no process behind."""
    yield
    while _services:
        place, command = _services.pop()
        running = [one.process.pid for one in submitted(place).values() if one.process is not None]
        for pid in (command.pid, *running):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def client(url: str, user: str) -> Service:
    return Service(url, f"a-token-of-{user}-0123456789")


def submitted(place: Place) -> dict[str, Submission]:
    return {one.name: one for one in Queue(Workspace.at(place.root)).all()}


def states(place: Place) -> Counter[str]:
    return Counter(one.state for one in submitted(place).values())


def running_users(place: Place) -> list[str]:
    return sorted(one.user for one in submitted(place).values() if one.state == "running")


def wait_for(place: Place, study: str, *wanted: str) -> Submission:
    wait_until(lambda: submitted(place)[study].state in wanted, f"{study} is {' or '.join(wanted)}")
    return submitted(place)[study]


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on loopback that refuses the first request, and remembers the others."""
    heard: list[dict[str, Any]] = []
    refused = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            first = not refused.is_set()
            refused.set()
            if not first:
                heard.append(content)
            self.send_response(500 if first else 204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hooks/s3cr3t-part", heard
    finally:
        server.shutdown()
        server.server_close()


def test_five_sweeps_of_two_users_through_a_restart_and_a_kill(place: Place) -> None:
    """The service is stopped by SIGTERM, then killed with -9, in the midst of five sweeps; started again, each time it
    goes on with what ran. Every trial is there once, nothing is trained twice, both users get their turn, and whoever
    is to be told of the ends is told of all.
    """
    with webhook() as (url, heard):
        place.write("deepcolor.yaml", f"service: {{notify: {{webhook: '{url}'}}, at_a_time: 2, workers: 2}}\n")
        first, address = start_service(place)
        for seed, (study, user) in enumerate(STUDIES.items()):
            place.write_grid(study)
            place.write(f"{study}.yaml", (place.root / f"{study}.yaml").read_text() + f"training: {{seed: {seed}}}\n")
            client(address, user).submit(read_draft(place.root / f"{study}.yaml")[0])
        place.wait_for_trials(2)
        wait_until(lambda: running_users(place) == ["ann", "bob"], "both users have their turn")

        first.signal(signal.SIGTERM)
        text = first.ends(0)
        assert "queued until it is started again" in text
        assert states(place)["running"] == 0

        second, _ = start_service(place)
        before = place.finished_trials()
        place.wait_for_trials(before + 2)
        second.signal(signal.SIGKILL)
        second.wait()
        orphans = [one.process.pid for one in submitted(place).values() if one.process is not None]
        assert orphans
        assert all(is_alive(pid) for pid in orphans)

        third, _ = start_service(place, faults=replace(SLOW, environment={}))
        kept = [one.process.pid for one in submitted(place).values() if one.process is not None]
        assert set(kept) & set(orphans) or states(place)["done"]
        wait_until(lambda: states(place)["done"] == len(STUDIES), "all are done")
        wait_until(lambda: len(heard) >= len(STUDIES), "the webhook has heard of all")
        third.signal(signal.SIGTERM)
        third.ends(0)
    assert {one["name"]: one["event"] for one in heard} == dict.fromkeys(STUDIES, "done")
    assert {one.told for one in submitted(place).values()} == {True}
    for study in STUDIES:
        trials = [trial for trial in place.trials(study) if trial.state == "complete"]
        assert len({json.dumps(trial.params, sort_keys=True) for trial in trials}) == len(trials) == POINTS
        place.assert_whole(study)
        assert StudyStorage(Workspace.at(place.root)).load(study).spent.epochs == EPOCHS
    said = "".join(command.text for command in (first, second, third))
    assert "s3cr3t" not in said + "".join(path.read_text() for path in Workspace.at(place.root).queue.glob("*.*"))
    assert "a-token-of" not in said


LONG = FORMULA_GRID.replace("[0.0, 0.1]", "[0.0]").replace("[2, 3]", "[2, 4000]")
"""On each of two trajectories a trial that soon ends, and one that would take half an hour."""


def stop_both_long(place: Place, stop: Callable[[int], str]) -> None:
    """Stop the long trials while they are trained, one after the other."""
    for short in (1, 2):
        place.wait_for_trials(short)
        wait_until(lambda: len(long_and_trained(place)) == 1, "a long one is trained")
        (number,) = long_and_trained(place)
        assert stop(number).startswith(f"trial {number} of grid ends after its epoch")
        wait_until(lambda number=number: number not in long_and_open(place), "it has ended")  # type: ignore[misc]


def long_and_trained(place: Place) -> frozenset[int]:
    return long_and_open(place) & running_trials(Workspace.at(place.root), "grid")


def long_and_open(place: Place) -> frozenset[int]:
    return frozenset(t.number for t in place.trials() if not t.finished and t.params.get("epochs") == 4000)


def assert_stopped(place: Place, *, by: str) -> None:
    """Check that both long trials are pruned, and the short ones complete."""
    for trial in place.trials():
        expected = ("complete", None) if trial.params["epochs"] == 2 else ("pruned", f"stopped by {by}")
        assert (trial.state, trial.error) == expected
    assert len(place.trials()) == 4


def test_paused_resumed_cancelled_and_a_trial_stopped(place: Place) -> None:
    """A running sweep is paused by its user and by nobody else, and resumed; another one is cancelled. Two of its
    trials are stopped: they are pruned, and the rest is complete.
    """
    place.write("grid.yaml", LONG.format(study="grid"))
    place.write_grid("other")
    service, url = start_service(place, "--workers", "1", "--at-a-time", "1")
    ann, bob = client(url, "ann"), client(url, "bob")
    ann.submit(read_draft(place.root / "grid.yaml")[0])
    bob.submit(read_draft(place.root / "other.yaml")[0])
    place.wait_for_trials(1)
    assert submitted(place)["other"].state == "queued"
    with pytest.raises(StudyError, match="must be your own; got grid, which ann has submitted"):
        bob.request("grid", "pause")
    with pytest.raises(StudyError, match="must be your own; got grid, which ann has submitted"):
        bob.stop_trial("grid", 0)
    assert bob.request("other", "cancel")["state"] == "cancelled"
    assert ann.request("grid", "pause")["wish"] == "pause"
    assert wait_for(place, "grid", "paused").message == "stopped; finished work is kept"
    assert ann.status("grid")["trials"]["grid"]["running"] == 0
    ann.request("grid", "resume")
    stop_both_long(place, lambda number: ann.stop_trial("grid", number))
    wait_for(place, "grid", "done")
    assert_stopped(place, by="ann")
    events = [one.event for one in Queue(Workspace.at(place.root)).happened()]
    assert {"submitted", "started", "paused", "resumed", "cancelled", "done"} <= set(events)
    service.signal(signal.SIGTERM)
    service.ends(0)


def test_a_lost_process_is_started_again(place: Place) -> None:
    """The process of a submission that is killed hurts nothing else: it is started again and continues; a sweep that is
    wrong fails with its message, and the next one runs.
    """
    place.write("deepcolor.yaml", "service: {workers: 1}\n")
    broken = place.write("broken.yaml", (place.root / "grid.yaml").read_text().replace("name: faces", "name: nowhere"))
    broken.write_text(broken.read_text().replace("study: grid", "study: broken"))
    service, url = start_service(place)
    ann = client(url, "ann")
    ann.submit(read_draft(broken)[0])
    ann.submit(read_draft(place.root / "grid.yaml")[0])
    failed = wait_for(place, "broken", "failed")
    assert "nowhere" in failed.message
    place.wait_for_trials(1)
    process = wait_for(place, "grid", "running").process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: submitted(place)["grid"].crashes == 1, "the loss is noticed")
    wait_for(place, "grid", "done")
    service.signal(signal.SIGTERM)
    text = service.ends(0)
    assert "grid: its process is gone" in text
    assert "broken of ann: failed" in text
    place.assert_whole()


def test_a_trial_of_a_sweep_in_a_terminal_is_stopped(place: Place) -> None:
    """`deepcolor stop` ends trials of a study that nobody has submitted, and the sweep goes on; started again, it has
    nothing left to train.
    """
    place.write("grid.yaml", LONG.format(study="grid"))
    sweep = place.start("sweep", "grid.yaml", "--executor", "serial", faults=replace(SLOW, submissions=0))
    stop_both_long(place, lambda number: place.start("stop", "grid", "--trial", str(number)).ends(0))
    sweep.ends(0)
    assert_stopped(place, by=this_user())
    assert "which is pruned" in place.start("stop", "grid", "--trial", str(place.trials()[-1].number)).ends(2)
    assert place.sweep("--executor", "serial")["trained_now"] == 0


def test_one_service_works_in_a_workspace(place: Place) -> None:
    """A second one is refused and told of the first; once that is gone, killed or not, another one can start."""
    first, url = start_service(place)
    said = place.start("service", "--port", "0", "--token-file", "tokens").ends(2)
    assert f"one at a time may work in a workspace; got process {first.pid} on " in said
    assert url in said
    first.signal(signal.SIGKILL)
    first.wait()
    assert service_of(Workspace.at(place.root)) is None
    port = url.rpartition(":")[2]
    second, again = start_service(place, "--port", port)
    assert again == url
    second.signal(signal.SIGINT)
    second.ends(0)
    assert not (Workspace.at(place.root).queue / ".service").exists()
