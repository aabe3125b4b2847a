"""A glance at the studies of a workspace that takes no time: no Optuna, no server, nothing is made or changed.

It serves a shell that completes names; whoever needs to know asks `storage`.
"""

from __future__ import annotations

import csv
from contextlib import closing

from deepcolor.sqlite import read_only
from deepcolor.workspace import Workspace

_RESOLVED_FILE, _LEADERBOARD = "sweep.yaml", "leaderboard.csv"
_WITHIN_S = 0.1
"""How long a database is waited for that another process holds."""


def glance_at_studies(workspace: Workspace) -> list[str]:
    """Return the names of the studies whose folders are in a workspace, whichever database holds them."""
    return sorted(file.parent.name for file in workspace.studies.glob(f"*/{_RESOLVED_FILE}"))


def glance_at_trials(workspace: Workspace, study: str) -> list[int]:
    """Return the numbers of a study's trials: of one in PostgreSQL, those in its report."""
    if workspace.own_db.is_file():
        asked = "select number from trials join studies using (study_id) where study_name = ? order by number"
        with closing(read_only(workspace.own_db, within_s=_WITHIN_S)) as database:
            if found := [number for (number,) in database.execute(asked, (study,))]:
                return found
    file = workspace.report(study) / _LEADERBOARD
    with file.open(encoding="utf-8", newline="") as rows:
        return sorted(int(row["trial"]) for row in csv.DictReader(rows))
