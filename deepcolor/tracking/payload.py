"""Turn records into what an MLflow run holds: tags, params, metrics, a description. Pure, and without MLflow."""

from __future__ import annotations

import dataclasses
import getpass
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import BaseModel

from deepcolor.config.aims import figures_needed
from deepcolor.config.schema import Choices, Dimension, ParamValue, Setting, Sweep
from deepcolor.counting import counted
from deepcolor.printable import as_unicode
from deepcolor.settings import MOST_PICTURES
from deepcolor.stages.sections import DataSection
from deepcolor.tracking import layout, views
from deepcolor.tracking.records import Provenance, StudyRecord, TrialRecord
from deepcolor.tracking.views import Around, StudyViews
from deepcolor.training.trajectory import EpochMetrics


class Point(NamedTuple):
    """One value of one metric; always finite."""

    key: str
    value: float
    step: int
    time_ms: int


def record_digest(record: TrialRecord | StudyRecord) -> str:
    """32 hex digits that change whenever anything that a run shows changes.

    The name of a trial's study does not count, for which a tag is enough: nothing else is stored again for a new one.
    """
    # What of its pictures is stored, a run's tag says.
    content = {name: each for name, each in _plain(record).items() if name not in _PICTURES}
    if isinstance(record, TrialRecord):
        content["study"] = layout.first_name(record.study_id)
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


_PICTURES = {"rungs", "pictures"}
_LATER = {"breaks", "front", "judged", "system"}
"""Fields of records that are left out while there is nothing in them: runs of earlier releases are not stored again for
them."""


def trial_params(setting: Setting, searched: Mapping[str, ParamValue] = MappingProxyType({})) -> dict[str, str]:
    """Return every setting, searched and fixed, under the name that the user writes.

    Args:
        setting: The trial's.
        searched: Its parameters; one that sets several fields at once is no field itself, and is added.
    """
    params: dict[str, object] = {}
    for name, value in setting.data.model_dump(mode="json").items():
        parts = {f"{name}.{part}": each for part, each in value.items()} if isinstance(value, dict) else None
        params |= {f"data.{name}": value} if parts is None else parts
    for part in (setting.model, setting.training, setting.init):
        params |= part.model_dump(mode="json")
    params |= {name: value for name, value in searched.items() if name not in params and name != "confirms"}
    return {name: layout.param_value(value) for name, value in params.items()}


def study_params(sweep: Sweep) -> dict[str, str]:
    """Return what stays as it is when a study grows: MLflow never lets a param change."""
    params = {"search.objective": ", ".join(sweep.search.objectives)}
    params |= {f"data.{name}": value for name, value in plain_fields(sweep.data, but=()).items()}
    return {name: layout.param_value(value) for name, value in params.items()}


def plain_fields(data: DataSection, *, but: tuple[str, ...] = ("name",)) -> dict[str, Any]:
    """Return what a data section says, without what has parts of its own."""
    fields = data.model_dump(mode="json").items()
    return {name: value for name, value in fields if name not in but and not isinstance(value, dict | list)}


def search_tags(sweep: Sweep) -> dict[str, str]:
    """Return what is searched now, and how; these tags change when a study grows."""
    search, confirm = sweep.search, sweep.search.confirm
    settings: dict[str, object] = {
        "sampler": search.sampler,
        "trials": search.trials,
        "seed": search.seed,
        "confirm": f"top {confirm.top}, {counted(confirm.seeds, 'seed')}" if confirm else None,
    }
    settings["constraints"] = "; ".join(f"{name} {bound}" for name, bound in search.constraints.items()) or None
    settings["choose"] = search.choose
    tags = {f"{layout.SEARCH_PREFIX}{name}": value for name, value in settings.items() if value is not None}
    tags |= {f"{layout.SPACE_PREFIX}{dimension.name}": _space(dimension) for dimension in search.space}
    return {name: _cut(layout.param_value(value)) for name, value in tags.items()}


def are_outdated(params: Mapping[str, str], sweep: Sweep) -> bool:
    """Whether params of a parent run, as early releases wrote them, still describe the study before it grew."""
    now = {name.removeprefix("deepcolor."): value for name, value in search_tags(sweep).items()} | study_params(sweep)
    grown = {name: _cut(value) for name, value in params.items() if name.startswith(("search.", "space."))}
    # Once it said "1 seeds".
    return any(now.get(name, "").removesuffix("s") != value.removesuffix("s") for name, value in grown.items())


def trial_tags(record: TrialRecord, *, parent_run: str) -> dict[str, str]:
    """Return the tags a trial's run is created with; every child carries all, because the UI's filters inherit none."""
    tags = {
        layout.KIND: "trial" if record.confirms is None else "confirmation",
        layout.STAGE: record.setting.label,
        layout.STUDY_ID: record.study_id,
        layout.TRIAL: str(record.number),
        layout.TRAJECTORY: record.trajectory,
        layout.PARENT_RUN: parent_run,
    }
    if record.confirms is not None:
        tags[layout.CONFIRMS], tags[layout.SEED] = (str(part) for part in record.confirms)
    return tags | _code_tags(record.setting) | _provenance_tags(record.provenance) | trial_state_tags(record)


def trial_state_tags(record: TrialRecord) -> dict[str, str]:
    """Return the tags that change during a trial's life."""
    # When a study grows, its digest changes, on its trials too.
    tags: dict[str, str] = {
        layout.STATE: record.state,
        layout.STUDY: record.study,
        layout.CONFIG_DIGEST: record.provenance.config_digest,
    }
    if record.host:
        tags[layout.HOST] = record.host
    if record.device:
        tags[layout.DEVICE] = record.device
    if record.threads:
        tags[layout.THREADS] = ", ".join(str(number) for number in record.threads)
    if record.parent_model:
        tags[layout.PARENT_MODEL] = record.parent_model
    if record.diverged:
        tags[layout.DIVERGED] = "true"
    if record.error:
        tags[layout.ERROR] = _cut(record.error.strip().splitlines()[0])
        what = "Failed" if record.state == "failed" else "Stopped"
        tags[layout.NOTE] = _cut(f"**{what}.**\n\n```\n{record.error.strip()}\n```")
    if record.breaks:
        tags[layout.BREAKS] = _cut(record.breaks)
    if record.front:
        tags[layout.FRONT] = "true"
    if (flaw := next(_not_finite(record.history), None)) is not None:
        tags[layout.NOT_FINITE] = flaw
    return tags


def study_tags(record: StudyRecord, around: Around | None = None) -> dict[str, str]:
    """Return the tags of a study's parent run; its description has links and pictures where it is known what there is
    around it.
    """
    tags = study_identity(record.sweep.study, record.study_id, record.sweep.label) | _provenance_tags(record.provenance)
    tags |= (
        search_tags(record.sweep)
        | _code_tags(record.sweep)
        | {
            layout.STATE: record.state,
            layout.COMMAND: _cut(record.command),
            layout.NOTE: _cut(study_note(record, around)),
        }
    )
    if record.best_trial is not None:
        tags[layout.BEST_TRIAL] = str(record.best_trial)
    if record.front:
        tags[layout.FRONT] = _cut(", ".join(map(str, record.front)))
    if record.confirmed_trial is not None:
        tags[layout.CONFIRMED_TRIAL] = str(record.confirmed_trial)
    return tags


def study_identity(study: str, study_id: str, stage: str) -> dict[str, str]:
    """Return the tags that a study's parent run is found by."""
    return {layout.KIND: "study", layout.STUDY: study, layout.STUDY_ID: study_id, layout.STAGE: stage}


def source_tags(provenance: Provenance) -> dict[str, str]:
    """Return the user and source tags, which MLflow's fluent interface sets itself but its client does not."""
    tags = {layout.USER: _user(), layout.SOURCE_NAME: "deepcolor", layout.SOURCE_TYPE: "LOCAL"}
    if provenance.git_commit:
        tags[layout.SOURCE_COMMIT] = provenance.git_commit
    return tags


def epoch_points(record: TrialRecord) -> list[Point]:
    """Return the per-epoch metrics at the times they were recorded; step = epoch."""
    readable = record.setting.stage_class.readable
    return [
        Point(name, float(value), row.epoch, row.time_ms)
        for row in record.history
        for name, value in {**readable(row.metrics), **row.values, **_system(row)}.items()
        if math.isfinite(value)
    ]


def _system(row: EpochMetrics) -> dict[str, float]:
    return {f"{layout.SYSTEM_PREFIX}{name}": value for name, value in row.system.items()}


def final_points(record: TrialRecord) -> list[Point]:
    """Return a finished trial's figures: its value, and those of its chosen weights. Step 0 makes the UI draw bars."""
    time_ms = record.ended_ms or record.started_ms
    figures = dict(record.metrics) if record.value is None else {layout.VALUE: record.value, **record.metrics}
    figures = {**_readable_at_best(record), **figures}
    return [Point(name, float(value), 0, time_ms) for name, value in figures.items() if math.isfinite(value)]


def _readable_at_best(record: TrialRecord) -> dict[str, float]:
    """What a stage says more readably, at the epoch whose weights the trial takes."""
    epoch = int(record.metrics.get("best_epoch", 0))
    if not 0 < epoch <= len(record.history):
        return {}
    readable = record.setting.stage_class.readable(record.history[epoch - 1].metrics)
    return {f"{layout.CHOSEN_PREFIX}{name}": value for name, value in readable.items()}


def readable_columns(sweep: Sweep) -> list[str]:
    """Return the names of the figures that a finished trial shows in units that a person can read."""
    stage = sweep.stage_class
    measured = dict.fromkeys(stage.metrics_of(sweep.training), 0.0)
    return [f"{layout.CHOSEN_PREFIX}{name}" for name in stage.readable(measured)]


def best_points(record: StudyRecord) -> list[Point]:
    """Return the best value over time. Steps always rise: MLflow shows the value at the highest step as the latest."""
    points: list[Point] = []
    for number, time_ms, value in record.best:
        if math.isfinite(value):
            step = max(number, points[-1].step + 1) if points else number
            points.append(Point(layout.BEST_VALUE, value, step, time_ms))
    return points


def study_figures(record: StudyRecord) -> list[Point]:
    """Return the summary's figures. Step 0 makes the UI draw bars."""
    time_ms = record.ended_ms or (record.best[-1][1] if record.best else record.started_ms)
    return [
        Point(f"summary/{name}", float(value), 0, time_ms)
        for name, value in record.summary.items()
        if math.isfinite(value)
    ]


def study_views(record: StudyRecord) -> StudyViews:
    """Return what MLflow's pages are to offer of a study."""
    sweep, stage = record.sweep, record.sweep.stage_class
    final = list(sweep.final_metrics)
    judged = [f"{layout.CHOSEN_PREFIX}{name}" for name in figures_needed(sweep.search) if name not in final]
    readable, objective = readable_columns(sweep), sweep.search.objectives[0]
    said = [name.removeprefix(layout.CHOSEN_PREFIX) for name in readable]
    return StudyViews(
        study=sweep.study,
        study_id=record.study_id,
        created_ms=record.started_ms,
        searched=sweep.search_names,
        final=(*judged, *final),
        beside=readable,
        curves=tuple(dict.fromkeys((*said, objective))),
        pictures=tuple(f"{layout.PICTURE_PREFIX}{number}" for number in range(1, MOST_PICTURES + 1) if stage.pictures),
        shown_epoch=_first_pictures(sweep),
        maximized=sweep.objective.maximized,
        confirmed=sweep.search.confirm is not None,
    )


def _first_pictures(sweep: Sweep) -> int:
    """The first epoch of which trials have pictures: their first rung, or the end of the shortest."""
    pruner, most_epochs = sweep.search.pruner, sweep.most_epochs
    ends = [int(value) for value in sweep.values_of("epochs") if isinstance(value, int | float)]
    return min(ends) if pruner.name == "none" else min(*ends, most_epochs, pruner.first_rung(most_epochs=most_epochs))


def study_note(record: StudyRecord, around: Around | None = None) -> str:
    """Write the parent run's description in Markdown: its pictures, what it is about, the best setting, how to run it
    again.
    """
    sweep = record.sweep
    lines = [f"## {sweep.study}", ""]
    if around is not None:
        lines += _pages(record, around)
    if sweep.description:
        lines += [sweep.description.strip(), ""]
    data = f", data set **{sweep.data.title}**" if sweep.data.title else ""
    lines += [f"Stage **{sweep.stage}**{data}, sampler **{sweep.search.sampler}**.", ""]
    if sweep.search.space:
        lines += [f"Searched: {'; '.join(f'{each.name} {_space(each)}' for each in sweep.search.space)}.", ""]
    if record.best:
        number, _, value = record.best[-1]
        objective = sweep.search.objectives[0]
        also = "".join(
            f"; {name} **{each:.4g}**" for name, each in sweep.stage_class.readable({objective: value}).items()
        )
        lines += [f"Best so far: trial **{number}**, value **{value:.4g}** ({objective}){also}.", ""]
    for said in record.judged:
        lines += [said, ""]
    if record.confirmation:
        lines += [record.confirmation, ""]
    if record.summary:
        lines += ["| figure | value |", "| --- | --- |"]
        lines += [f"| {_figure_name(name)} | {value:g} |" for name, value in record.summary.items() if value]
        lines += [""]
    return "\n".join([*lines, "Run it again:", "", "```", record.command, "```"])


_FIGURES = {
    "optimization_history.png": "The best value over the trials",
    "front.png": "The front of the objectives",
    "importances.png": "How much each parameter matters",
    "slices.png": "The value over each parameter",
    "confirmation.png": "The best settings under other seeds",
}
"""Pictures of a report that a description begins with, and what they show."""


def _pages(record: StudyRecord, around: Around) -> list[str]:
    """Links to the study's pages and best trials, and the pictures of its report."""
    experiment, study_id = around.experiment_id, record.study_id
    charts = f"charts of the best {views.BEST_RUNS}"
    links = {
        "best first": views.study_link("", experiment_id=experiment, study_id=study_id),
        charts: views.charts_link("", experiment_id=experiment, study_id=study_id),
    }
    if record.sweep.search.confirm is not None:
        links["under other seeds"] = views.confirmation_link("", experiment_id=experiment, study_id=study_id)
    named = {record.best_trial: "best", record.confirmed_trial: "winner"}
    for number, what in named.items():
        if number is not None and number in around.trials:
            run = views.run_link("", experiment_id=experiment, run_id=around.trials[number])
            links[f"{what}: trial {number}"] = run
    lines = [" · ".join(f"[{what}]({link})" for what, link in links.items()), ""]
    for name, what in _FIGURES.items():
        if name in around.figures:
            lines += [f"![{what}]({views.artifact_url(around.run_id, f'{layout.REPORT_FOLDER}/{name}')})", ""]
    return lines


def _figure_name(name: str) -> str:
    what, _, unit = name.rpartition("_")
    return f"{what.replace('_', ' ')}, seconds" if unit == "s" else name.replace("_", " ")


def _provenance_tags(provenance: Provenance) -> dict[str, str]:
    tags = {layout.DATA_DIGEST: provenance.data_digest, layout.CONFIG_DIGEST: provenance.config_digest}
    if provenance.git_commit:
        tags[layout.GIT_COMMIT] = provenance.git_commit
    if provenance.git_dirty is not None:
        tags[layout.GIT_DIRTY] = str(provenance.git_dirty).lower()
    return tags | {f"{layout.VERSION_PREFIX}{name}": version for name, version in provenance.versions.items()}


def _code_tags(of: Setting | Sweep) -> dict[str, str]:
    """What a user has brought, by content, and the version of the stage."""
    version = of.stage_class.version
    tags = {layout.STAGE_VERSION: str(version)} if version != 1 else {}
    return tags | ({layout.CODE: _cut(json.dumps(dict(of.code)))} if of.code else {})


def _not_finite(history: tuple[EpochMetrics, ...]) -> Iterator[str]:
    for row in history:
        for name, value in row.values.items():
            if not math.isfinite(value):
                yield f"{name}@{row.epoch}"


def _space(dimension: Dimension) -> str:
    conditions = [
        f"{name} is {' or '.join(layout.short(value) for value in values)}" for name, values in dimension.when.items()
    ]
    only = f" (where {' and '.join(conditions)})" if conditions else ""
    if isinstance(dimension, Choices):
        return f"{', '.join(layout.short(value) for value in dimension.values)}{only}"
    how = " log" if dimension.log else f" step {dimension.step:g}" if dimension.step else ""
    digits = f" {counted(dimension.digits, 'digit')}" if dimension.digits is not None else ""
    return f"{dimension.low:g} .. {dimension.high:g}{how}{digits}{only}"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {name: each for name, each in fields.items() if each or name not in _LATER}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user in the password database, as in many containers
        return "unknown"


def _cut(text: str) -> str:
    text = as_unicode(text)
    return text if len(text) <= layout.MAX_TAG_CHARS else text[: layout.MAX_TAG_CHARS - 1] + "…"
