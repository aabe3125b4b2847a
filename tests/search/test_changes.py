"""What is said of a sweep that is not its study's."""

from __future__ import annotations

from pathlib import Path

from deepcolor.config.schema import Sweep
from deepcolor.search.study.changes import changes_of, refused
from deepcolor.workspace import Workspace


def test_many_changes_are_counted_not_listed(tmp_path: Path) -> None:
    """An error is a line that can be read: five keys are named, of more only their number is."""
    sweep = Sweep.model_validate(
        {"study": "s", "stage": "regressor", "data": {"name": "d"}, "search": {"space": {"lr": [0.1]}}}
    )
    given = sweep.model_dump(mode="json")
    given["search"]["space"] |= {f"p{number}": [number] for number in range(8)}
    changes = changes_of(sweep.identity(), given)
    said = str(refused(Workspace.at(tmp_path), "s", changes))
    assert "search.space.p4: " in said
    assert "search.space.p5: " not in said
    assert f"; and {len(changes) - 5} other keys (in the study -> given)" in said
    assert "other key" not in str(refused(Workspace.at(tmp_path), "s", changes[:5]))
