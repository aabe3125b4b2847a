"""What one view of a trajectory leaves behind: a model folder with its figures and pictures, whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from deepcolor import __version__
from deepcolor.atomic import write_folder_atomically
from deepcolor.errors import CodeError
from deepcolor.fields.named import named_fields
from deepcolor.models.description import CODE_FOLDER, ModelDescription, model_files
from deepcolor.plugins import kept_at, source_of
from deepcolor.stages.contract import Stage
from deepcolor.stages.finding import STAGES
from deepcolor.stages.session import Arrays, Job, Result, Session
from deepcolor.training.curve import loss_curve
from deepcolor.training.result_files import LOSS_FILE, METRICS_FILE, THREADS
from deepcolor.training.training import numbers_of, session_of, written
from deepcolor.training.trajectory import EpochMetrics, Trajectory, View


def write_result(
    folder: Path,
    trajectory: Trajectory,
    *,
    job: Job,
    view: View,
    history: Sequence[EpochMetrics],
    weights: Arrays,
    session: Session | None = None,
    threads: Sequence[int] = (),
) -> dict[str, float]:
    """Write the result folder of a view: the model, metrics.json, loss.png, and what its stage adds.

    Args:
        folder: `TrajectoryPaths.result(view)`.
        trajectory: What was trained.
        job: Of the trajectory.
        view: Not diverged.
        history: Epochs 1 to `view.end_epoch` at least.
        weights: After `view.chosen_epoch` epochs.
        session: One of the job that is there already; else another one is made.
        threads: The numbers of CPU threads that they were trained with.
    Returns:
        The stage's final metrics.
    Raises:
        CodeError: The stage does not give what it says.
        OSError: The disk is full or the folder is read-only; nothing is left behind.
    """
    stage = trajectory.setting.stage_class
    title = stage.title(job)
    result = (session or session_of(stage, job)).finish(weights, label=_label(title, view))
    _check_result(stage, result)
    final = _checked(stage, result.metrics, trajectory.setting.final_metrics)
    chosen = history[view.chosen_epoch - 1].metrics
    figures = {**{name.replace("/", "_"): value for name, value in chosen.items()}, **final}
    code = _code_of_model(trajectory)
    description = ModelDescription(
        stage=trajectory.setting.stage,
        code=code,
        model=trajectory.model,
        size_px=getattr(job.data, "size_px", None) if stage.pictures else None,
        deepcolor_version=__version__,
        trajectory=trajectory.digest,
        epoch=view.chosen_epoch,
        data_digest=trajectory.data_digest,
        parent=trajectory.init.ref if trajectory.init else None,
        metrics=figures,
    )
    measured = {"end_epoch": view.end_epoch, "chosen_epoch": view.chosen_epoch, "value": view.value, **figures}
    made = {**measured, THREADS: list(threads)}
    files = {
        **result.files,
        **model_files(written(weights), description),
        METRICS_FILE: json.dumps(made, indent=2).encode() + b"\n",
        LOSS_FILE: loss_curve(history, view=view, objective=trajectory.objective, title=title),
        **{
            str(kept_at(Path(CODE_FOLDER), digest, place)): source_of(digest)
            for place, digest in code.items()
            if place.endswith(".py")
        },
    }
    write_folder_atomically(folder, files)
    return final


def samples_of(trajectory: Trajectory, job: Job, *, view: View, weights: Arrays, session: Session) -> bytes | None:
    """Draw the contact sheet of a view that leaves no result; None where its stage draws none.

    Args:
        trajectory: What is being trained.
        job: Of the trajectory.
        view: Not diverged.
        weights: After `view.chosen_epoch` epochs.
        session: Of the training.
    Raises:
        CodeError: The stage does not give what it says.
    """
    stage = trajectory.setting.stage_class
    samples: object = session.samples(weights, label=_label(stage.title(job), view))
    if samples is not None and not isinstance(samples, bytes):
        rule = f"the session of {stage.__name__} must give its samples as the bytes of a WebP file, or None"
        raise CodeError(rule, got=type(samples).__name__, advice="Fix the stage.")
    return samples


def _label(title: str, view: View) -> str:
    return f"{title}   epoch {view.chosen_epoch}"


def _check_result(stage: type[Stage], result: object) -> None:
    rule = f"the session of {stage.__name__} must finish with a deepcolor.stages.Result, whose files are bytes by name"
    if not isinstance(result, Result):
        raise CodeError(rule, got=type(result).__name__, advice="Fix the stage.")
    for name, content in result.files.items():
        known: object = content
        if not isinstance(known, bytes) or Path(name).name != name:
            raise CodeError(rule, got=f"{type(content).__name__} under {name!r}", advice="Fix the stage.")


def _checked(stage: type[Stage], metrics: Mapping[str, float], names: Collection[str]) -> dict[str, float]:
    got = numbers_of(metrics, of=f"{stage.__name__}'s finish")
    if got.keys() != set(names) or not all(map(math.isfinite, got.values())):
        wanted = ", ".join(sorted(names)) or "none"
        rule = f"the session of {stage.__name__} must finish with the stage's final metrics, {wanted}, finite numbers"
        raise CodeError(
            rule, got=", ".join(f"{k}={v:g}" for k, v in sorted(got.items())) or "none", advice="Fix the stage."
        )
    return got


def _code_of_model(trajectory: Trajectory) -> dict[str, str]:
    """The code that a model needs wherever it is used: that of its stage, and what its model section names."""
    setting = trajectory.setting
    named = [(setting.stage, STAGES)]
    named += [(str(getattr(setting.model, field)), entry) for field, entry in named_fields(type(setting.model))]
    used = [reference for value, entry in named if (reference := entry.reference(value)) is not None]
    return {one.place: setting.code[one.place] for one in used if one.place in setting.code}
