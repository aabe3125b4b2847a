"""What lies on disk outlives the code: later releases go on with a workspace as if nothing had been."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.running import run_commands

ARCHIVES = sorted(Path(__file__).parent.glob("*.tar.xz"))


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """An epoch in the form in which each metric was a column of its own, whichever it was written in."""
    named = {name.replace("/", "_"): value for name, value in row.get("metrics", {}).items()}
    return {**named, **{name: value for name, value in row.items() if name != "metrics"}}


def histories(workspace: Path) -> dict[str, list[dict[str, Any]]]:
    """The epochs of every training, by its folder's name, with the seconds and the moment of each."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in (workspace / "studies" / "trajectories").glob("*/checkpoints/*.json"):
        history = [flat(row) for row in json.loads(record.read_bytes())["record"]["history"]]
        if len(history) > len(found.get(record.parent.parent.name, ())):
            found[record.parent.parent.name] = history
    return found


def run(workspace: Path, *commands: Sequence[str]) -> list[Any]:
    """Run commands there, one after the other, and return what each gives as JSON."""
    said = run_commands([[*words, "--json"] for words in commands], folder=workspace, environment={})
    assert [one.code for one in said] == [0] * len(said), said
    return [json.loads(one.out.splitlines()[-1]) for one in said]


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.name.partition(".")[0])
def test_a_workspace_of_an_earlier_release_is_gone_on_with(archive: Path, tmp_path: Path) -> None:
    """Studies, models and runs read as they did; finished studies train nothing, and the unfinished one goes on from
    its checkpoints, without one epoch trained again.
    """
    with tarfile.open(archive) as packed:
        # Python 3.11 has filters from its fourth patch on.
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(tmp_path)  # our own archive
    workspace = tmp_path / "workspace"
    before = json.loads((workspace / "said.json").read_bytes())
    epochs = histories(workspace)
    serial = ("--executor", "serial")
    asha, winner, colours, models, unpacked, sync = run(
        workspace, *(["studies", name] for name in ("asha", "winner", "colours")), ["models"], ["sync"], ["sync"]
    )
    assert {"asha": asha, "winner": winner, "colours": colours, "models": models} == before
    # A packed file's time loses its last digits, and files of another time are sent again, once.
    assert (unpacked["made"], sync["made"], sync["updated"]) == (0, 0, 0)

    winner, colours, promoted, asha, garbage = run(
        workspace,
        ["sweep", "winner.yaml", *serial],
        ["sweep", "colours.yaml", *serial],
        ["promote", "winner"],
        ["sweep", "asha.yaml", *serial],
        ["gc"],
    )
    assert (winner["trained_now"], colours["trained_now"]) == (0, 0)
    assert promoted["version"] == "regressor@1"
    now = histories(workspace)
    assert {name: history[: len(epochs[name])] for name, history in now.items() if name in epochs} == epochs
    assert asha["state"] == "complete"
    assert asha["trained_now"] == sum(map(len, now.values())) - sum(map(len, epochs.values())) > 0
    assert (garbage["kept"]["reasons"]["registered"], garbage["kinds"]["unmentioned"]["count"]) == (2, 0)
