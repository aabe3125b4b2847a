from __future__ import annotations

from pathlib import Path

import pytest

from deepcolor.errors import UserError
from deepcolor.execution.admission import demanded, refusal, statement
from deepcolor.execution.reach import Cluster
from deepcolor.workspace import Workspace


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


def test_a_scheduler_file_says_where_the_scheduler_is(tmp_path: Path) -> None:
    """`dask scheduler --scheduler-file` writes it; one that is missing or something else is refused in one line."""
    file = tmp_path / "scheduler.json"
    with pytest.raises(UserError, match="no such file or directory"):
        Cluster.at(str(file))
    file.write_text('{"address": "tcp://10.0.0.7:8786", "workers": {}}')
    assert Cluster.at(str(file)).place == ("10.0.0.7", 8786)
    assert Cluster.at("tls://[fe80::1]:8786").place == ("fe80::1", 8786)
    file.write_text("[]")
    with pytest.raises(UserError, match="a scheduler file must be what"):
        Cluster.at(str(file))
