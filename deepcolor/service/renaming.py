"""Rename a study that the service has nothing to do with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcolor.app.naming import known_names
from deepcolor.app.rename import rename_study
from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import StudyError
from deepcolor.service.queue import Queue
from deepcolor.service.record import ACTIVE
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.rename import Renamed


def rename(workspace: Workspace, study: str, new: str, *, tracking_uri: str, reporter: Reporter = SILENT) -> Renamed:
    """Give a study another name (`rename_study`), unless it is submitted: it would be refused when its turn has come.

    Raises:
        StudyError: It is queued, running or paused in the service, or something is that would begin the new name's
            study; or as for `rename_study`.
    """
    named = {*known_names(workspace, study), new}
    for one in Queue(workspace).all():
        found = sorted(named & set(one.studies))
        if one.state in ACTIVE and found:
            raise StudyError(
                f"study: {found[0]!r} must not be in the service to be renamed, or to be a study's new name; got it "
                f"{one.state} there, submitted by {one.user}. Wait for its end, or cancel it first, which keeps its "
                f"trials: deepcolor cancel {one.name}"
            )
    return rename_study(workspace, study, new, tracking_uri=tracking_uri, reporter=reporter)
