"""From the two places of truth (Optuna's storage, the trajectory store) to the records that tracking shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from deepcolor.config.load import to_yaml
from deepcolor.config.schema import ParamValue, Sweep
from deepcolor.search.rules.confirmation import confirmation_line
from deepcolor.search.rules.front import front_of
from deepcolor.search.rules.judging import judged_lines
from deepcolor.search.rules.summary import Summary, best_of, improvements
from deepcolor.search.study.storage import Outcome, Place, StoredStudy, StoredTrial
from deepcolor.tracking import layout
from deepcolor.tracking.records import Provenance, State, StudyRecord, TrialRecord
from deepcolor.training.early_stopping import view_of
from deepcolor.training.trajectory import EpochMetrics, TrajectoryPaths


@dataclass(frozen=True)
class Projection:
    """Builds the records of one study; holds what all of them share."""

    study: StoredStudy
    provenance: Provenance
    command: str
    """The command line that reproduces the study."""
    store: Path
    report: Path
    pictures: int = 8
    """See `TrialRecord.pictures`."""

    @property
    def sweep(self) -> Sweep:
        return self.study.sweep

    @cached_property
    def _study_id(self) -> str:
        # Read once: how a study was first called, and when, is in Optuna's database, and never changes.
        return self.study.study_id

    def trial(
        self,
        trial: StoredTrial,
        history: Sequence[EpochMetrics],
        *,
        state: State | None = None,
        front: bool = False,
    ) -> TrialRecord:
        """Return the record of a trial as it stands.

        Args:
            trial: A trial that has a place: one that failed before it had a training has nothing to show.
            history: The epochs of its trajectory, without gaps; those beyond the trial's own end are left out.
            state: Replaces the stored state, for a trial that its driver is training now.
            front: Whether it is on the front of several objectives.
        """
        if trial.place is None:
            raise ValueError(f"trial {trial.number} of {self.study.name} has no training")
        outcome, end_epoch, setting = trial.outcome, self._end_epoch(trial, history), trial.setting(self.sweep)
        return TrialRecord(
            study=self.study.name,
            study_id=self._study_id,
            number=trial.number,
            state=state or _STATES[trial.state],
            params={**_confirms(trial), **trial.params},
            setting=setting,
            trajectory=trial.place.trajectory,
            started_ms=trial.started_ms,
            ended_ms=trial.ended_ms,
            provenance=self._provenance_of(trial.place),
            history=tuple(history[:end_epoch]),
            end_epoch=end_epoch,
            value=trial.value,
            metrics=_measured(outcome) if outcome else {},
            result=self.store / outcome.result if outcome and outcome.result else None,
            rungs=self._rungs(trial, trial.place, history[:end_epoch], patience=setting.patience),
            pictures=self.pictures,
            error=trial.error,
            diverged=trial.diverged,
            parent_model=trial.place.parent,
            host=outcome.host if outcome else "",
            device=outcome.device if outcome else "",
            threads=outcome.threads if outcome else (),
            confirms=(trial.confirms.trial, trial.confirms.seed) if trial.confirms else None,
            breaks=trial.breaks_text,
            front=front,
        )

    def _rungs(
        self, trial: StoredTrial, place: Place, history: Sequence[EpochMetrics], *, patience: int | None
    ) -> tuple[tuple[int, Path], ...]:
        """Where the contact sheets of the rungs are that a trial has reached."""
        if not self.pictures:
            return ()
        paths, objective = TrajectoryPaths(self.store, place.trajectory), self.sweep.objective
        views = [view_of(history, epochs=at, patience=patience, objective=objective) for at in sorted(trial.reached)]
        return tuple((view.end_epoch, paths.sheet(view)) for view in views if view is not None)

    def _provenance_of(self, place: Place) -> Provenance:
        return replace(self.provenance, data_digest=place.data) if place.data else self.provenance

    def _end_epoch(self, trial: StoredTrial, history: Sequence[EpochMetrics]) -> int:
        """The last epoch that a trial may look at as it stands: others on its trajectory may have gone further."""
        if trial.outcome is not None:
            return trial.outcome.view.end_epoch
        setting = trial.setting(self.sweep)
        target = min(trial.target_epoch or setting.training.epochs, setting.training.epochs)
        if trial.state == "failed":
            known = trial.failed_at
            if known is None:
                known = sum(row.time_ms <= (trial.ended_ms or 0) for row in history)
            return min(target, known)
        objective = self.sweep.objective
        view = view_of(history, epochs=target, patience=setting.patience, objective=objective)
        return view.end_epoch if view else target

    def parent(
        self, trials: Sequence[StoredTrial], summary: Summary | None, *, state: State, ended_ms: int | None
    ) -> StudyRecord:
        """Return the record of the study; the report is part of it once there is a summary."""
        steps = improvements(trials)
        confirmation = summary.confirmation if summary else None
        winner = confirmation.winner if confirmation else None
        several = self.study.aims.several
        best = best_of(trials) if several else next((t for t in trials if steps and t.number == steps[-1][0]), None)
        return StudyRecord(
            sweep=self.sweep,
            study_id=self._study_id,
            resolved_yaml=to_yaml(self.sweep),
            command=self.command,
            state=state,
            started_ms=self.study.started_ms,
            ended_ms=ended_ms,
            provenance=self.provenance,
            best=steps,
            summary=_figures(summary) if summary else {},
            best_trial=best.number if best else None,
            report=self.report if summary else None,
            confirmed_trial=winner.trial if winner else None,
            confirmation=confirmation_line(confirmation) if confirmation else "",
            front=tuple(trial.number for trial in front_of(trials)),
            judged=judged_lines(trials) if summary else (),
        )


_STATES: dict[str, State] = {"waiting": "waiting", "complete": "complete", "pruned": "pruned", "failed": "failed"}


def _measured(outcome: Outcome) -> dict[str, float]:
    """The figures of the weights that a trial takes."""
    shown = {**outcome.watched, **outcome.figures}
    watched = {f"{layout.CHOSEN_PREFIX}{name}": value for name, value in shown.items() if name not in outcome.metrics}
    return {**outcome.metrics, **watched, "best_epoch": float(outcome.view.chosen_epoch)}


def _confirms(trial: StoredTrial) -> dict[str, ParamValue]:
    """What distinguishes a trial from the one it confirms, in addition to the parameters that both have."""
    return {"confirms": trial.confirms.trial, "seed": trial.confirms.seed} if trial.confirms else {}


def _figures(summary: Summary) -> dict[str, float]:
    figures = {
        "trials": summary.trials,
        "complete": summary.complete,
        "failed": summary.failed,
        "pruned": summary.pruned,
        "waiting": summary.waiting,
        "diverged": summary.diverged,
        **({"broken": summary.broken} if summary.broken else {}),
        **({"front": len(summary.front)} if summary.front else {}),
        "requested_epochs": summary.requested_epochs,
        "trained_epochs": summary.trained_epochs,
        "saved_share": summary.saved,
        "saved_s": summary.saved_s,
    }
    confirmation = summary.confirmation
    if confirmation is not None and confirmation.winner is not None:
        figures |= {"confirmed_mean": confirmation.winner.mean, "confirmed_std": confirmation.winner.std}
        figures["confirmed_seeds"] = len(confirmation.winner.values)
    if confirmation is not None and confirmation.runner_up is not None and confirmation.difference is not None:
        low, high = confirmation.difference.interval
        figures |= {"runner_up_mean": confirmation.runner_up.mean, "difference_low": low, "difference_high": high}
    return {key: float(value) for key, value in figures.items()}
