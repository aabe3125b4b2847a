"""Make the runs of one study match its records. Every step can be repeated; done twice, it changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from deepcolor.tracking import layout, payload, store
from deepcolor.tracking.artifacts import folder_state, stage_result, staged
from deepcolor.tracking.epochs import StoredEpochs
from deepcolor.tracking.pictures import picture_tags, sheets_of, unseen
from deepcolor.tracking.records import Provenance, StudyRecord, TrialRecord
from deepcolor.tracking.views import Around, no_longer_listed

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Change = Literal["made", "updated", "unchanged"]
"""What storing a record did to its run."""

_MOST_METRICS = 1000
_PAGES = 3
"""Raised when the same record is shown otherwise, in description and columns: parents are written again by `sync`."""


@dataclass
class _Known:
    """What this process knows is stored of one run."""

    run_id: str
    status: str
    name: str
    tags: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    """The latest value of each metric."""
    epochs: StoredEpochs | None = field(default_factory=StoredEpochs)
    """None if MLflow has to be asked."""
    digest: str = ""
    params: dict[str, str] = field(default_factory=dict)
    has_inputs: bool = False


class StudyRuns:
    """The runs of one study in one store: the parent, and one child per trial.

    Existing runs are looked up once, by their tags, and continued: no run is created twice, and a run left RUNNING by a
    killed driver gets its true state with the next record of its trial.
    """

    def __init__(
        self,
        client: MlflowClient,
        *,
        stage: str,
        study: str,
        study_id: str,
        provenance: Provenance,
        artifact_root: Path | None,
    ) -> None:
        self._client = client
        self._stage = stage
        self._study = study
        self._study_id = study_id
        self._provenance = provenance
        self._experiment = store.ensure_experiment(client, stage, artifact_root=artifact_root)
        self._parent: _Known | None = None
        self._trials: dict[int, _Known] = {}
        self._study_shown: StudyRecord | None = None
        self._report_stored = ""
        self._views_saved = False
        for run in store.find_runs(client, self._experiment, layout.study_filter(study_id)):
            self._take_over(run)

    @classmethod
    def of(cls, record: StudyRecord | TrialRecord, client: MlflowClient, *, artifact_root: Path | None) -> Self:
        """Look up the runs of the study that a record belongs to."""
        if isinstance(record, StudyRecord):
            stage, study = record.sweep.label, record.sweep.study
        else:
            stage, study = record.setting.label, record.study
        return cls(
            client,
            stage=stage,
            study=study,
            study_id=record.study_id,
            provenance=record.provenance,
            artifact_root=artifact_root,
        )

    def store_study(self, record: StudyRecord) -> Change:
        """Bring the parent run up to date."""
        linked = {number: trial.run_id for number in _named(record) if (trial := self._trials.get(number))}
        reported = folder_state(record.report)
        digest = (
            f"{payload.record_digest(record)}.{reported}.{_PAGES}{''.join(f'.{run[:8]}' for run in linked.values())}"
        )
        self._study_shown, status = record, layout.run_status(record.state)
        known, best = self._parent, payload.best_points(record)
        said = payload.search_tags(record.sweep)
        if known and known.digest == digest and known.status == status and said.items() <= known.tags.items():
            return "unchanged"
        change: Change = "made" if known is None else "updated"
        there = self._best_there(known) if known else []
        if known and (payload.are_outdated(known.params, record.sweep) or not _is_part(there, best)):
            self._parent, there, change = None, [], "made"
        known = self._parent_run(record, instead_of=known)
        self._rename_parent(known, record.sweep.study)
        self._save_views(record)
        if record.state != "running" and self._report_stored != f"{known.run_id}.{reported}":
            self._store_report(known.run_id, record)
            self._report_stored = f"{known.run_id}.{reported}"
        tags = payload.study_tags(record, Around(self._experiment, known.run_id, linked, _figures_in(record)))
        params = {} if known.params else payload.study_params(record.sweep)
        points = best[len(there) :] + self._figures(known, _figures_of(known, record))
        self._drop_tags(known, (layout.SEARCH_PREFIX, layout.SPACE_PREFIX), but=tags)
        self._log(known, points=points, params=params, tags=tags | {layout.STORED_DIGEST: digest})
        self._set_status(known, status, ended_ms=record.ended_ms)
        known.digest = digest
        return change

    def _best_there(self, known: _Known) -> list[tuple[int, float]]:
        """(step, value) of each best value that the parent holds."""
        if layout.BEST_VALUE not in known.figures:
            return []
        return sorted((m.step, m.value) for m in self._client.get_metric_history(known.run_id, layout.BEST_VALUE))

    def _drop_tags(self, known: _Known, prefixes: tuple[str, ...], *, but: Mapping[str, str]) -> None:
        for name in [name for name in known.tags if name.startswith(prefixes) and name not in but]:
            self._client.delete_tag(known.run_id, name)
            del known.tags[name]

    def store_trial(self, record: TrialRecord) -> Change:
        """Bring a trial's run up to date."""
        digest, known = payload.record_digest(record), self._trials.get(record.number)
        if known and self._is_whole(known, record, digest=digest):
            return "unchanged"
        change: Change = "updated"
        if known is None or self._is_false(known, record):
            known, change = self._create_trial(record, instead_of=known), "made"
        if record.state == "running":
            # First of all, because the count of epochs of a run that is not RUNNING is trusted.
            self._set_status(known, layout.run_status(record.state), ended_ms=None)
        if not known.has_inputs:
            self._log_input(known, record)
        self._log_trial(known, record, digest=digest)
        self._rename(known, record)
        self._set_status(known, layout.run_status(record.state), ended_ms=record.ended_ms)
        known.digest = digest
        if change == "made" and self._study_shown and record.number in _named(self._study_shown):
            self.store_study(self._study_shown)  # Its description links to this run.
        return change

    def _log_trial(self, known: _Known, record: TrialRecord, *, digest: str) -> None:
        epochs = self._epochs(known)
        points, tags = epochs.missing(record), payload.trial_state_tags(record)
        tags[layout.PARENT_RUN] = self._parent_run(None, started_ms=record.started_ms).run_id
        epochs.add(points)
        tags[layout.EPOCHS] = str(epochs.count)
        tags |= self._store_files(known, record, is_new=record.state != "running" and known.digest != digest)
        if record.state != "running":
            points += self._figures(known, payload.final_points(record))
            tags[layout.STORED_DIGEST] = digest
            epochs.settle(record)
        self._drop_tags(known, (layout.OLD_EPOCHS, layout.BREAKS, layout.FRONT), but=tags)
        params = {} if known.params else payload.trial_params(record.setting, record.params)
        self._log(known, points=points, params=params, tags=tags)

    def _epochs(self, known: _Known) -> StoredEpochs:
        if known.epochs is None:
            known.epochs = StoredEpochs.look_up(self._client, known.run_id, names=known.figures)
        return known.epochs

    def _is_whole(self, known: _Known, record: TrialRecord, *, digest: str) -> bool:
        """Whether a run holds everything its record says, and its tags say so."""
        if known.digest != digest or known.status != layout.run_status(record.state):
            return False
        if known.tags.get(layout.STUDY) != record.study:
            return False
        if self._parent is None or known.tags.get(layout.PARENT_RUN) != self._parent.run_id:
            return False
        epochs = self._epochs(known)
        said = known.tags.get(layout.EPOCHS) == str(epochs.count)
        if not said or epochs.missing(record) or self._is_false(known, record):
            return False
        return not unseen(record, known.tags)

    def _is_false(self, known: _Known, record: TrialRecord) -> bool:
        """Whether another run must replace it; a run that a registered version refers to is left as it is."""
        return self._epochs(known).contradict(record) and not self._is_registered(known)

    def _is_registered(self, known: _Known) -> bool:
        refers = f"run_id = '{known.run_id}'"
        return layout.REGISTERED_AS in known.tags or bool(self._client.search_model_versions(refers, max_results=1))

    def _take_over(self, run: Run) -> None:
        tags = run.data.tags
        known = _Known(
            run_id=run.info.run_id,
            status=run.info.status,
            name=run.info.run_name,
            tags=dict(tags),
            figures=dict(run.data.metrics),
            epochs=StoredEpochs.trusted(tags, status=run.info.status, names=run.data.metrics),
            digest=tags.get(layout.STORED_DIGEST, ""),
            params=dict(run.data.params),
            has_inputs=bool(run.inputs and run.inputs.dataset_inputs),
        )
        number = tags.get(layout.TRIAL)
        if number is not None:
            self._trials.setdefault(int(number), known)
        elif tags.get(layout.KIND) == "study":
            self._parent = self._parent or known

    def _parent_run(
        self, record: StudyRecord | None, *, started_ms: int | None = None, instead_of: _Known | None = None
    ) -> _Known:
        """Return the parent; create it from what is known if a trial comes before its study."""
        if self._parent is None:
            tags = payload.study_identity(self._study, self._study_id, self._stage)
            tags |= {layout.CONFIG_DIGEST: self._provenance.config_digest}
            tags |= payload.study_tags(record) if record else {}
            name = self._study
            if instead_of is not None:
                self._client.delete_run(instead_of.run_id)
                name = self._study if instead_of.name == instead_of.tags.get(layout.STUDY) else instead_of.name
                tags = layout.own_tags(instead_of.tags) | tags
            run = self._client.create_run(
                self._experiment,
                start_time=record.started_ms if record else started_ms,
                tags=tags | payload.source_tags(self._provenance),
                run_name=name,
            )
            self._parent = _Known(run.info.run_id, run.info.status, run.info.run_name, tags)
        return self._parent

    def _create_trial(self, record: TrialRecord, *, instead_of: _Known | None = None) -> _Known:
        """Create a trial's run, if need be in place of one that is wrong.

        MLflow can add to a metric but remove nothing. It keeps the run that is deleted, and can restore it.
        """
        parent = self._parent_run(None, started_ms=record.started_ms)
        name = layout.run_name(record.number, record.params)
        tags = payload.trial_tags(record, parent_run=parent.run_id) | payload.source_tags(record.provenance)
        if instead_of is not None:
            self._client.delete_run(instead_of.run_id)
            tags = layout.own_tags(instead_of.tags) | tags
            name = name if layout.trial_number(instead_of.name) == record.number else instead_of.name
        run = self._client.create_run(self._experiment, start_time=record.started_ms, tags=tags, run_name=name)
        known = self._trials[record.number] = _Known(run.info.run_id, run.info.status, run.info.run_name, tags)
        return known

    def _figures(self, known: _Known, points: Sequence[payload.Point]) -> list[payload.Point]:
        """Return the figures of a run that are not stored yet, with times that make them the latest."""
        changed = [point for point in points if known.figures.get(point.key) != point.value]
        for index, point in enumerate(changed):
            if point.key in known.figures:
                earlier = self._client.get_metric_history(known.run_id, point.key)
                latest_ms = max([0, *(metric.timestamp for metric in earlier)])
                changed[index] = point._replace(time_ms=max(point.time_ms, latest_ms + 1))
        known.figures |= {point.key: point.value for point in changed}
        return changed

    def _log_input(self, known: _Known, record: TrialRecord) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        provenance = record.provenance
        dataset = Dataset(
            name=record.setting.data.title or record.setting.label,
            digest=provenance.data_digest[:32],
            source_type="local",
            source=json.dumps({"uri": provenance.data_folder}),
            profile=json.dumps({**payload.plain_fields(record.setting.data), "data_digest": provenance.data_digest}),
        )
        tag = InputTag(layout.DATASET_CONTEXT, "training")
        self._client.log_inputs(known.run_id, [DatasetInput(dataset, [tag])])
        known.has_inputs = True

    def _log(
        self, known: _Known, *, points: Sequence[payload.Point], params: dict[str, str], tags: dict[str, str]
    ) -> None:
        """Send everything in as few calls as MLflow's limits allow; tags last, as they say that the rest is there."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(point.key, point.value, point.time_ms, point.step) for point in points]
        while len(metrics) > _MOST_METRICS:
            self._client.log_batch(known.run_id, metrics=metrics[:_MOST_METRICS])
            metrics = metrics[_MOST_METRICS:]
        self._client.log_batch(
            known.run_id,
            metrics=metrics,
            params=[Param(name, value) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in tags.items() if known.tags.get(name) != value],
        )
        known.tags |= tags
        known.params |= params

    def _rename(self, known: _Known, record: TrialRecord) -> None:
        """Let the name say what a grown study searches now; a name that somebody gave it in MLflow is kept."""
        name = layout.run_name(record.number, record.params)
        if name != known.name and layout.trial_number(known.name) == record.number:
            self._client.update_run(known.run_id, name=name)
            known.name = name

    def _rename_parent(self, known: _Known, study: str) -> None:
        """Let the name be that of a renamed study; one that somebody gave it in MLflow is kept."""
        if known.name == known.tags.get(layout.STUDY) != study:
            self._client.update_run(known.run_id, name=study)
            known.name = study

    def _set_status(self, known: _Known, status: str, *, ended_ms: int | None) -> None:
        if status == known.status:
            return
        if status == "RUNNING":
            self._client.update_run(known.run_id, status=status)
        else:
            self._client.set_terminated(known.run_id, status, end_time=ended_ms)
        known.status = status

    def _store_files(self, known: _Known, record: TrialRecord, *, is_new: bool) -> dict[str, str]:
        """Store the trial's files, all of them if they are new, and else pictures that its run lacks.

        Returns:
            Tags that say which pictures there are.
        """
        result = record.result if is_new and record.result is not None and record.result.is_dir() else None
        sheets = sheets_of(record) if is_new else unseen(record, known.tags)
        if result is not None or sheets:
            with staged() as folder:
                if result is not None:
                    stage_result(result, folder)
                for sheet in sheets:
                    sheet.stage(folder, run_id=known.run_id, pictures=record.pictures)
                self._client.log_artifacts(known.run_id, str(folder))
        return picture_tags(record, sheets, before={} if is_new else known.tags)

    def _store_report(self, run_id: str, record: StudyRecord) -> None:
        with staged() as folder:
            (folder / layout.SWEEP_FILE).write_text(record.resolved_yaml, encoding="utf-8")
            if record.report is not None and record.report.is_dir():
                shutil.copytree(record.report, folder / layout.REPORT_FOLDER)
            self._client.log_artifacts(run_id, str(folder))

    def _save_views(self, record: StudyRecord) -> None:
        """Save what the pages offer of the study, and take the views of the oldest studies out of their list."""
        if self._views_saved:
            return
        there = self._client.get_experiment(self._experiment).tags
        ours = payload.study_views(record).tags()
        for name, value in {**ours, **no_longer_listed({**there, **ours})}.items():
            if there.get(name) != value:
                self._client.set_experiment_tag(self._experiment, name, value)
        self._views_saved = True


def _named(record: StudyRecord) -> list[int]:
    """The trials that a study's description links to."""
    return [number for number in dict.fromkeys((record.best_trial, record.confirmed_trial)) if number is not None]


def _figures_in(record: StudyRecord) -> list[str]:
    """The pictures of a report that is stored."""
    if record.state == "running" or record.report is None:
        return []
    return sorted(path.name for path in record.report.glob("*.png"))


def _is_part(there: Sequence[tuple[int, float]], best: Sequence[payload.Point]) -> bool:
    """Whether what a parent holds is the beginning of its best values, each of them once."""
    return list(there) == [(point.step, point.value) for point in best[: len(there)]]


def _figures_of(known: _Known, record: StudyRecord) -> list[payload.Point]:
    """The summary's figures; on a parent whose figures include the best value, also that one as it is now."""
    figures = payload.study_figures(record)
    if layout.OLD_BEST_VALUE in known.figures and record.best and figures:
        figures.append(figures[0]._replace(key=layout.OLD_BEST_VALUE, value=record.best[-1][2]))
    return figures
