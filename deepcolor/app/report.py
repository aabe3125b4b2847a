"""The report of one study or several as one file: a page that can be mailed, or its tables in another form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from deepcolor.app.naming import say_name
from deepcolor.app.reporter import SILENT, Reporter, Steps
from deepcolor.errors import ConfigError, StudyError, WorkspaceError
from deepcolor.plainfile import read_plain
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.report.page.rendering import PipelineShown
    from deepcolor.report.page.study import StudyPage
    from deepcolor.search.study.storage import StoredStudy, StudyStorage
    from deepcolor.search.study.trials import StoredTrial
    from deepcolor.training.trajectory import EpochMetrics

Form = Literal["html", "csv", "json", "md"]
FORMS: tuple[Form, ...] = get_args(Form)
MOST_STUDIES = 8
"""That a page compares: more would not fit beside each other."""
_MOST_PACES = 400
"""Trainings whose epochs are read to price what was saved; the others are priced by their mean."""
_MOST_BYTES = 2**24


@dataclass(frozen=True)
class Asked:
    """The studies that a report is of."""

    studies: tuple[str, ...]
    pipeline: PipelineShown | None = None
    """The one that they belong to, where a pipeline was asked for alone."""


def report_of(workspace: Workspace, names: Sequence[str], *, form: Form = "html", reporter: Reporter = SILENT) -> bytes:
    """Return a report as a file's content.

    Args:
        workspace: Where the studies are.
        names: Of studies; or of a pipeline, which stands for its studies.
        form: `html`: a page that needs nothing beside it, less than 5 MB; `csv`: the trials, the best first; `json`:
            all of its tables; `md`: the tables in Markdown.
        reporter: Is told what is being done, where that takes a while.
    Raises:
        StudyError: There is no such study or pipeline, or there are too many.
    """
    from deepcolor.search.study.storage import StudyStorage

    with reporter.starting("report") as steps:
        steps.step("opening the studies database")
        storage = StudyStorage(workspace)
        asked = _asked(workspace, storage, names, reporter)
        studies = [storage.load(name) for name in asked.studies]
        if form == "csv":
            return _csv(studies)
        if form == "json":
            return _json(workspace, studies, asked)
        return _pages(workspace, studies, asked, form=form, steps=steps)


def _pages(workspace: Workspace, studies: Sequence[StoredStudy], asked: Asked, *, form: Form, steps: Steps) -> bytes:
    from deepcolor.report.page.markdown import markdown
    from deepcolor.report.page.rendering import html
    from deepcolor.search.study.trials import now_ms

    pages = []
    for study in studies:
        steps.step(f"drawing {study.name}")
        pages.append(_page(workspace, study, of=len(studies), drawn=form == "html"))
    if form == "md":
        return markdown(pages, asked.pipeline).encode("utf-8", "replace")
    return html(pages, written_ms=now_ms(), pipeline=asked.pipeline)


def write_report(
    workspace: Workspace, names: Sequence[str], *, to: Path, form: Form = "html", reporter: Reporter = SILENT
) -> int:
    """Write a report (`report_of`) into a file, replacing what it held; return its size in bytes.

    Raises:
        ConfigError: The file cannot be written.
        StudyError: There is no such study or pipeline, or there are too many.
    """
    from deepcolor.atomic import write_atomically

    rule = "the report's file must be in a folder that exists and can be written to"
    if to.is_dir() or not to.absolute().parent.is_dir():
        why = "which is a folder" if to.is_dir() else f"and there is no folder {to.parent}"
        raise ConfigError(f"{rule}; got {to}, {why}. Name another file.")
    content = report_of(workspace, names, form=form, reporter=reporter)
    try:
        write_atomically(to, content)
    except OSError as error:
        raise ConfigError(f"{rule}; got {to} ({error.strerror or error}). Name another file.") from error
    return len(content)


def form_of(name: str | None, *, to: Path | None) -> Form:
    """Return the form that was asked for: by its name, else by the file's ending, else a page.

    Raises:
        ConfigError: There is no such form.
    """
    if name is None:
        ending = to.suffix.lower().removeprefix(".") if to is not None else ""
        return next((form for form in FORMS if form == ending), "html")
    found = next((form for form in FORMS if form == name), None)
    if found is None:
        near = get_close_matches(name, FORMS, n=1, cutoff=0.4)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"--format: must be one of {', '.join(FORMS)}; got {name}.{meant}")
    return found


def _asked(workspace: Workspace, storage: StudyStorage, names: Sequence[str], reporter: Reporter) -> Asked:
    known = storage.names()
    pipelines = {name: _pipeline(workspace, name, storage) for name in names if name not in known}
    found: dict[str, None] = {}
    for name in names:
        shown = pipelines.get(name)
        if shown is not None:
            found |= dict.fromkeys(study for study in shown[1] if study in known)
        else:
            called = name if name in known else storage.load(name).name  # Which says which study is the nearest.
            say_name(name, called, reporter.note)
            found[called] = None
    if not found:
        raise StudyError(f"report: none of the studies of {', '.join(names)} is in this workspace. Run it again.")
    if len(found) > MOST_STUDIES:
        raise StudyError(
            f"report: must be of at most {MOST_STUDIES} studies, which are compared side by side; got {len(found)}. "
            "Name fewer."
        )
    alone = pipelines.get(names[0]) if len(names) == 1 else None
    return Asked(tuple(found), alone[0] if alone else None)


def _pipeline(workspace: Workspace, name: str, storage: StudyStorage) -> tuple[PipelineShown, list[str]] | None:
    """What a pipeline's own summary says of its studies, by their present names; None where there is none."""
    from deepcolor.report.page.rendering import PipelineShown
    from deepcolor.workspace import checked_name

    try:
        file = workspace.pipeline_summary(checked_name(name, kind="pipeline"))
        stages: list[dict[str, Any]] = json.loads(read_plain(file, most_bytes=_MOST_BYTES))["stages"]
        stages = [{**stage, "study": storage.called_now(stage["study"]) or stage["study"]} for stage in stages]
        tests = {stage["study"]: _figures(stage["promotion"]["test"]) for stage in stages}
        before = {stage["study"]: _figures(stage["before"]) for stage in stages if stage["before"]}
        outcomes = {stage["study"]: _outcome(stage["promotion"]) for stage in stages}
    except (OSError, ValueError, KeyError, TypeError, WorkspaceError):
        return None
    return PipelineShown(name, tests=tests, outcomes=outcomes, before=before), list(tests)


def _outcome(promotion: dict[str, Any]) -> str:
    return f"{promotion['version']}, {'champion' if promotion['promoted'] else 'candidate'} ({promotion['verdict']})"


def _figures(content: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in content.items() if isinstance(value, int | float)}


def _page(workspace: Workspace, study: StoredStudy, *, of: int, drawn: bool) -> StudyPage:
    from deepcolor.report.figures import pictured
    from deepcolor.report.page.study import MOST_PICTURE_BYTES, Sources, study_page
    from deepcolor.report.writing import all_importances, too_little
    from deepcolor.search.upkeep.replay import summary_of

    trials = study.trials()
    shown = pictured(study.sweep, trials)
    reason = too_little(shown)
    return study_page(
        study,
        summary_of(study, trials, histories=_paces(workspace, trials)),
        sources=Sources(workspace.study(study.name), workspace.trajectories),
        shares={} if reason or not drawn else all_importances(study, shown),
        no_importances=reason,
        most_picture_bytes=MOST_PICTURE_BYTES // of if drawn else 0,
    )


def _paces(workspace: Workspace, trials: Sequence[StoredTrial]) -> dict[str, Sequence[EpochMetrics]]:
    """The epochs of a study's trainings; of very many, of some that are spread evenly."""
    from deepcolor.report.page.thinning import evenly
    from deepcolor.training.checkpoint import read_history
    from deepcolor.training.trajectory import TrajectoryPaths

    digests = list(dict.fromkeys(trial.place.trajectory for trial in trials if trial.place))
    return {
        digest: read_history(TrajectoryPaths(workspace.trajectories, digest))
        for digest in evenly(digests, count=_MOST_PACES)
    }


def _csv(studies: Sequence[StoredStudy]) -> bytes:
    """The trials of each study; of several, with the study in the first column."""
    from deepcolor.report.writing import leaderboard_csv, leaderboards_csv

    boards = {study.name: study.trials() for study in studies}
    text = leaderboard_csv(next(iter(boards.values()))) if len(boards) == 1 else leaderboards_csv(boards)
    return text.encode(errors="surrogateescape")


def _json(workspace: Workspace, studies: Sequence[StoredStudy], asked: Asked) -> bytes:
    from deepcolor.app.studies import standing_of
    from deepcolor.report.page.telling import answer
    from deepcolor.search.upkeep.replay import summary_of

    content: dict[str, Any] = {"studies": []}
    for study in studies:
        trials = study.trials()
        summary = summary_of(study, trials, histories=_paces(workspace, trials))
        standing = standing_of(workspace, study.name).as_dict()
        told = {"answer": answer(study, trials, summary), "summary": summary.as_dict()}
        content["studies"].append({**standing, **told})
    if asked.pipeline is not None:
        content |= {"pipeline": asked.pipeline.name, "test": asked.pipeline.tests, "before": asked.pipeline.before}
    return json.dumps(_plain(content), indent=2, allow_nan=False).encode() + b"\n"


def _plain(value: Any) -> Any:
    """The same for JSON, which knows no number that is not finite: null stands for it."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value
