from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deepcolor.errors import StudyError
from deepcolor.service.queue import Queue
from deepcolor.service.record import Process, Submission, new_id, read_submission
from deepcolor.service.requests import request
from deepcolor.workspace import Workspace


def submission(name: str, user: str = "ann") -> Submission:
    return Submission(id=new_id(), kind="sweep", name=name, studies=(name,), user=user, text=f"study: {name}")


def at_once(*acts: Callable[[], object]) -> None:
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_nothing_is_lost_when_many_write_at_once(tmp_path: Path) -> None:
    """Eight that submit and change at the same time, each with its own view of the queue: all is there, in order."""

    def work(name: str) -> None:
        queue = Queue(Workspace.at(tmp_path))
        made = queue.add(submission(name))
        for _ in range(3):
            queue.change(made.id, lambda now: replace(now, priority=now.priority + 1))
        queue.change(made.id, lambda now: replace(now, state="paused"))

    at_once(*(lambda name=f"s{number}": work(name) for number in range(8)))
    queue = Queue(Workspace.at(tmp_path))
    found = queue.all()
    assert sorted(one.name for one in found) == [f"s{number}" for number in range(8)]
    assert {(one.priority, one.state) for one in found} == {(3, "paused")}
    assert [one.number for one in queue.happened()] == list(range(1, 17))


def test_a_study_is_submitted_once_at_a_time(tmp_path: Path) -> None:
    """Of several who submit the same study at once, one succeeds; the others are told who it was. Ended, it may come
    again.
    """
    queue, refused = Queue(Workspace.at(tmp_path)), []

    def add() -> None:
        try:
            Queue(Workspace.at(tmp_path)).add(submission("faces"))
        except StudyError as error:
            refused.append(str(error))

    at_once(*[add] * 4)
    assert len(refused) == 3
    assert "ann has submitted and that is queued" in refused[0]
    queue.change(queue.find("faces").id, lambda now: replace(now, state="done"))
    again = queue.add(submission("faces", "bob"))
    assert queue.find("faces") == again


def test_what_is_damaged_is_passed_over(tmp_path: Path) -> None:
    """A torn record, a torn event, a foreign file and one of another version hide nothing else."""
    queue = Queue(Workspace.at(tmp_path))
    made = queue.add(submission("faces"))
    (queue.folder / "torn.json").write_bytes(made.as_bytes()[:50])
    (queue.folder / "list.json").write_text("[1]")
    (queue.folder / "folder.json").mkdir()
    with (queue.folder / "events.jsonl").open("ab") as events:
        events.write(b'{"number": 2, "at"')
    later = made.as_bytes().replace(b'"wish"', b'"something_new": 1,\n "wish"').replace(made.id.encode(), b"later")
    (queue.folder / "later.json").write_bytes(later)
    queue.change(made.id, lambda now: replace(now, state="paused"))
    assert {one.id for one in queue.all()} == {made.id, "later"}
    assert [one.event for one in queue.happened()] == ["submitted", "paused"]


def test_a_record_is_read_as_it_was_written() -> None:
    """A submission with a process is the same after its file."""
    made = replace(submission("faces"), process=Process("place", "host", 1, 2), slots=(0, 3), state="running")
    assert read_submission(made.as_bytes()) == made
    with pytest.raises(ValueError, match="not a state"):
        read_submission(made.as_bytes().replace(b'"running"', b'"walking"'))


def test_what_ended_long_ago_leaves_the_queue(tmp_path: Path) -> None:
    """Ended submissions go with their logs once they are old enough; what goes on, has ended lately, or is still to be
    told of stays, however long ago it was submitted.
    """
    queue = Queue(Workspace.at(tmp_path))
    now = time.time()
    states: dict[str, dict[str, Any]] = {
        "done": {"state": "done"},
        "untold": {"state": "failed", "told": False},
        "paused": {"state": "paused"},
    }
    for name, fields in states.items():
        made = queue.add(submission(name))
        old = {"submitted_at": now - 100, "ended_at": now - 50}
        queue.change(made.id, partial(replace, **{**old, **fields}))
        queue.log(made.id).write_text("said")
    waited = queue.add(submission("waited"))
    queue.change(waited.id, lambda one: replace(one, submitted_at=now - 100))
    request(queue, "waited", "cancel")
    assert queue.forget(ended_before=now - 60) == 0
    assert queue.forget(ended_before=now - 40) == 1
    assert {one.name for one in Queue(Workspace.at(tmp_path)).all()} == {"untold", "paused", "waited"}
    assert len(list(queue.folder.glob("*.log"))) == 2
