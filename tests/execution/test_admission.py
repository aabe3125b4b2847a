from __future__ import annotations

import json
import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest

from deepcolor.atomic import write_atomically
from deepcolor.errors import UserError
from deepcolor.execution import reach
from deepcolor.execution.admission import demanded, refusal, statement
from deepcolor.execution.reach import Cluster
from deepcolor.waiting import told_of_waits
from deepcolor.workspace import Workspace
from tests.reliability.processes import wait_until


def test_a_store_is_known_wherever_it_is_mounted(tmp_path: Path) -> None:
    """A worker that sees the driver's store under another path fits; one that sees another store, or none, does not."""
    ours, other = Workspace.at(tmp_path / "ours"), Workspace.at(tmp_path / "other")
    asked = statement(ours)
    (tmp_path / "mounted").symlink_to(ours.root)
    assert refusal(asked, root=tmp_path / "mounted", any_version=False) == ""
    assert refusal(asked, root=None, any_version=False) == ""
    assert "is not seen here" in refusal(asked, root=other.root, any_version=False)
    assert other.identified() != ours.identified() == asked["store"]
    assert "another store than the driver's" in refusal(asked, root=other.root, any_version=False)
    assert demanded(asked) != demanded(statement(other))


def test_another_version_is_refused_unless_allowed(tmp_path: Path) -> None:
    """The line names what differs, here and there; a version that is allowed leaves the store to be checked."""
    asked = statement(Workspace.at(tmp_path))
    newer = {**asked, "versions": {**asked["versions"], "torch": "99.1.0", "python": "3.99"}}
    said = refusal(newer, root=None, any_version=False)
    assert f"torch {asked['versions']['torch']} here, 99.1.0 on the driver, Python 3." in said
    assert "--allow-versions" in said
    assert refusal(newer, root=None, any_version=True) == ""


def test_a_scheduler_file_says_where_the_scheduler_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dask scheduler --scheduler-file` writes it; one that is missing or something else is refused in one line."""
    monkeypatch.setattr(reach, "_START_WITHIN_S", 0.0)
    file = tmp_path / "scheduler.json"
    with pytest.raises(UserError, match="no such file or directory"):
        Cluster.at(str(file))
    file.write_text('{"address": "tcp://10.0.0.7:8786", "workers": {}}')
    assert Cluster.at(str(file)).place == ("10.0.0.7", 8786)
    assert Cluster.at("tls://[fe80::1]:8786").place == ("fe80::1", 8786)
    file.write_text("[]")
    with pytest.raises(UserError, match="a scheduler file must be what"):
        Cluster.at(str(file))


def test_a_scheduler_that_is_being_started_is_waited_for(tmp_path: Path) -> None:
    """Commands that are pasted together work: the file may be written, and the port opened, after they have begun."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    file, heard = tmp_path / "scheduler.json", list[str]()

    def start() -> None:
        wait_until(lambda: bool(heard), "the wait for the file is told of")
        write_atomically(file, json.dumps({"address": f"tcp://127.0.0.1:{port}"}).encode())
        wait_until(lambda: len(heard) > 1, "the wait for the port is told of")
        with closing(socket.create_server(("127.0.0.1", port))) as server:
            connection, _ = server.accept()
            connection.sendall(b"x")
            connection.close()

    starting = threading.Thread(target=start)
    starting.start()
    with told_of_waits(lambda what: heard.append(what) if what else None):
        Cluster.at(str(file)).check()
    starting.join()
    assert heard == [f"a scheduler to write {file}", f"a scheduler at tcp://127.0.0.1:{port}"]
