"""Records and stores for the tests of tracking and registry."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deepcolor.config.schema import DataConfig, ParamValue, SearchConfig, Sweep
from deepcolor.tracking import layout, store
from deepcolor.tracking.records import Provenance, State, StudyRecord, TrialRecord
from deepcolor.training.trajectory import EpochMetrics
from tests.shared import shared

T0_MS = 1_700_000_000_000


def make_sweep(study: str = "grid", *, stage: str = "colorizer", **changes: Any) -> Sweep:
    """A sweep of four points."""
    search = SearchConfig(space={"lr": [1e-3, 1e-4], "feature_maps": [3, 9]})  # type: ignore[arg-type]  # as in YAML
    fields = {"study": study, "stage": stage, "data": DataConfig(name="faces"), "search": search, **changes}
    return Sweep(**fields)


def make_provenance(sweep: Sweep, *, data_digest: str = "d" * 32) -> Provenance:
    """Where its numbers come from."""
    return Provenance(
        data_digest=data_digest,
        data_folder="/photos/faces",
        config_digest=sweep.digest(),
        git_commit="c" * 40,
        git_dirty=True,
        versions={"torch": "2.15.0", "deepcolor": "0.1.0"},
    )


def make_history(epochs: int, *, number: int = 0) -> tuple[EpochMetrics, ...]:
    """A training that gets better."""
    return tuple(
        EpochMetrics(
            epoch=epoch,
            metrics={
                "train/mse": 0.02 / epoch,
                "val/mse": 0.03 / epoch + number * 1e-4,
                "val/mse_a": 0.01 / epoch,
                "val/mse_b": 0.05 / epoch,
            },
            epoch_s=0.5,
            time_ms=T0_MS + number * 1000 + epoch * 10,
        )
        for epoch in range(1, epochs + 1)
    )


def trial_record(
    sweep: Sweep, number: int = 0, *, state: State = "complete", epochs: int = 3, **changes: Any
) -> TrialRecord:
    """A trial of the sweep as it stands after some epochs."""
    study_id = layout.study_id(sweep.study, T0_MS)
    params: dict[str, ParamValue] = {"lr": [1e-3, 1e-4][number // 2 % 2], "feature_maps": [3, 9][number % 2]}
    done = state != "running"
    history = make_history(epochs, number=number)
    record = TrialRecord(
        study=sweep.study,
        study_id=study_id,
        number=number,
        state=state,
        params=params,
        setting=sweep.setting(params),
        trajectory=f"{number:032x}",
        started_ms=T0_MS + number * 1000,
        ended_ms=T0_MS + number * 1000 + 500 if done else None,
        provenance=make_provenance(sweep),
        history=history,
        end_epoch=epochs,
        value=history[-1].metrics["val/mse"] if done and history else None,
        metrics={"psnr_db": 21.5, "ssim": 0.8} if done else {},
        host="here",
        device="cpu",
    )
    return dataclasses.replace(record, **changes)


def study_record(sweep: Sweep, *, state: State = "running", **changes: Any) -> StudyRecord:
    """The study as it stands."""
    record = StudyRecord(
        sweep=sweep,
        study_id=layout.study_id(sweep.study, T0_MS),
        resolved_yaml=f"study: {sweep.study}\n",
        command=f"deepcolor sweep experiments/{sweep.study}.yaml",
        state=state,
        started_ms=T0_MS,
        ended_ms=None if state == "running" else T0_MS + 60_000,
        provenance=make_provenance(sweep),
    )
    return dataclasses.replace(record, **changes)


def make_result(folder: Path) -> Path:
    """A trial's result folder, with pictures but no usable weights."""
    folder.mkdir(parents=True)
    for name, colour in (("samples.png", (200, 90, 30)), ("loss.png", (255, 255, 255))):
        Image.new("RGB", (48, 36), colour).save(folder / name)
    for name in ("model.safetensors", "model.json", "metrics.json"):
        (folder / name).write_text("{}")
    return folder


def template_database(factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, set up once for all tests."""
    folder = shared(factory, "mlflow", lambda folder: _set_up(folder / "mlflow.db"))
    return folder / "mlflow.db"


def _set_up(database: Path) -> None:
    store.open_client(f"sqlite:///{database}")


def new_store(template: Path, folder: Path) -> str:
    """The URI of a new, empty MLflow database; copied, because setting one up takes seconds."""
    (folder / "mlruns").mkdir(parents=True, exist_ok=True)
    shutil.copy(template, folder / "mlruns" / "mlflow.db")
    return f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}"
