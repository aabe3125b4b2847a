"""The page of a pipeline, which it leaves at its end: in its folder, and in MLflow with the run of its last study."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.report import MOST_STUDIES, report_of
from deepcolor.atomic import write_atomically
from deepcolor.errors import StudyError, TrackingError
from deepcolor.plainfile import read_plain

if TYPE_CHECKING:
    from deepcolor.app.how import How
    from deepcolor.workspace import Workspace

_MOST_BYTES = 2**24


def leave_report(name: str, how: How) -> None:
    """Write the page of a pipeline that has ended; nothing is written again if it would say the same.

    A copy lies in the report of its last study, with which MLflow holds it, rebuilt ones too. Where MLflow does not
    answer, that is a warning.

    Args:
        name: Of the pipeline, whose summary is there.
        how: The options of the command.
    """
    workspace = how.workspace
    studies, stamp = _stamped(workspace, name)
    page, stamp_file = workspace.pipeline_page(name), workspace.pipeline_stamp(name)
    copy = workspace.report(studies[-1]) / f"pipeline-{name}.html"
    if page.exists() and copy.exists() and _text(stamp_file) == stamp:
        return
    if len(studies) > MOST_STUDIES:
        how.reporter.note(f"{name}: no report of all {len(studies)} studies; a page compares {MOST_STUDIES} at most")
        return
    content = report_of(workspace, [name])
    write_atomically(page, content)
    write_atomically(copy, content)
    _store(studies[-1], how)
    write_atomically(stamp_file, stamp.encode())


def _stamped(workspace: Workspace, name: str) -> tuple[list[str], str]:
    """The pipeline's studies, and a digest of all that its page says of them."""
    from deepcolor.report.writing import STAMP

    stages = json.loads(read_plain(workspace.pipeline_summary(name), most_bytes=_MOST_BYTES))["stages"]
    studies = [str(stage["study"]) for stage in stages]
    came_of = [(stage["study"], stage["promotion"], stage["before"]) for stage in stages]
    known = (came_of, [_text(workspace.study(study) / STAMP) for study in studies])
    return studies, hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _text(file: Path) -> str:
    try:
        return read_plain(file, most_bytes=_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _store(study: str, how: How) -> None:
    """Have MLflow take the report of a study anew, which now holds the pipeline's page."""
    from deepcolor.app.sync import sync_parent

    try:
        sync_parent(how.workspace, how.tracking_uri, study=study)
    except (StudyError, TrackingError) as error:
        how.reporter.warn(
            f"{study}: the pipeline's report is not in MLflow yet. deepcolor sync brings it there. {error}"
        )
