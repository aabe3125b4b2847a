"""Hold what lies on disk after a sweep against itself and against an undisturbed training, without deepcolor's code.

Everything is read from outside: the two SQLite databases, the records and results of the trajectory store, the
processes of the machine and the folders they leave. What is found wrong is a sentence; none is the answer wanted.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

EPOCH_KEYS = ("train/mse", "val/mse", "val/mse_a", "val/mse_b", "epoch_s")
"""MLflow's keys of the epochs' figures."""
MEASURED_ANEW = {"epoch_s", "time_ms"}
"""What differs between two trainings of the same epochs."""
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED", "WAITING": "KILLED"}
CUT_OFF = "its start was interrupted"
"""Why a trial fails whose driver was killed while the sampler wrote its parameters; another one takes its place."""
MLFLOW_DIGITS = 1e-12
"""SQLite holds MLflow's and Optuna's values with 15 digits."""


@dataclass(frozen=True)
class Trial:
    """A trial as Optuna's database holds it."""

    number: int
    state: str
    params: tuple[tuple[str, Any], ...]
    value: float | None
    place: dict[str, Any] | None
    outcome: dict[str, Any] | None
    error: str

    @property
    def cut_off(self) -> bool:
        return self.state == "FAIL" and self.error == CUT_OFF


def violations(workspace: Path, *, study: str, reference: Path, grid: int | None, budgeted: bool = False) -> list[str]:
    """Say what is wrong in a workspace whose sweep has come to its end.

    Args:
        workspace: The folder that holds `studies/` and `mlruns/`.
        study: The name of its one study.
        reference: The trajectory store of an undisturbed training of the same settings.
        grid: The number of points, where the study is a grid; each must be complete exactly once.
        budgeted: A budget ends the study: its open trials wait for a larger one.
    """
    leavings = list(_leavings(workspace))  # Before anything is opened: reading a database may put files beside it.
    store = workspace / "studies" / "trajectories"
    trials = read_trials(workspace / "studies" / "optuna.db", study)
    if budgeted:
        trials = [replace(trial, state="WAITING") if trial.state == "RUNNING" else trial for trial in trials]
    return [
        *leavings,
        *_wrong_trials(trials, grid),
        *_wrong_values(trials, store),
        *_wrong_trajectories(store, reference),
        *_wrong_runs(workspace / "mlruns" / "mlflow.db", trials, store),
        *_stray_artifacts(workspace / "mlruns"),
    ]


def read_trials(database: Path, study: str) -> list[Trial]:
    """All trials of a study, by number."""
    with closing(_opened(database)) as db:
        (study_id,) = db.execute("select study_id from studies where study_name = ?", (study,)).fetchone()
        rows = db.execute("select trial_id, number, state from trials where study_id = ? order by number", (study_id,))
        return [_trial(db, *row) for row in rows.fetchall()]


def history_of(store: Path, digest: str) -> list[dict[str, Any]]:
    """The epochs in the furthest record of a trajectory, the first one first."""
    records = sorted((store / digest / "checkpoints").glob("e*.json"))
    if not records:
        return []
    rows = json.loads(records[-1].read_bytes())["record"]["history"]
    # What the machine had to do says nothing of what was learned.
    parts = ("metrics", "system")
    flat = [{**{name: value for name, value in row.items() if name not in parts}, **row["metrics"]} for row in rows]
    return [{name: float(value) for name, value in row.items()} for row in flat]


def _opened(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=30)


def _trial(db: sqlite3.Connection, trial_id: int, number: int, state: str) -> Trial:
    attrs = {
        key: json.loads(text)
        for key, text in db.execute(
            "select key, value_json from trial_user_attributes where trial_id = ?", (trial_id,)
        ).fetchall()
    }
    value = db.execute("select value from trial_values where trial_id = ?", (trial_id,)).fetchone()
    params = []
    for name, internal, text in db.execute(
        "select param_name, param_value, distribution_json from trial_params where trial_id = ? order by param_name",
        (trial_id,),
    ).fetchall():
        distribution = json.loads(text)["attributes"]
        params.append((name, distribution["choices"][int(internal)] if "choices" in distribution else internal))
    if "confirms" in attrs:
        params.append(("confirms", tuple(sorted(attrs["confirms"].items()))))
    return Trial(
        number=number,
        state=state,
        params=tuple(params),
        value=value[0] if value else None,
        place=attrs.get("place"),
        outcome=attrs.get("outcome"),
        error=attrs.get("error", {}).get("reason", ""),
    )


# --- Optuna's database


def _wrong_trials(trials: Sequence[Trial], grid: int | None) -> Iterator[str]:
    for trial in trials:
        if trial.state not in STATUS:
            yield f"trial {trial.number} is {trial.state}"
        if trial.state == "FAIL" and not trial.cut_off:
            yield f"trial {trial.number} failed: {trial.error}"
    complete = Counter(trial.params for trial in trials if trial.state == "COMPLETE")
    if grid is not None:
        twice = [params for params, times in complete.items() if times > 1]
        if twice:
            yield f"points complete more than once: {twice}"
        if len(complete) != grid:
            yield f"{len(complete)} of {grid} points are complete"


def _wrong_values(trials: Sequence[Trial], store: Path) -> Iterator[str]:
    for trial in trials:
        if trial.state == "FAIL" or (trial.state == "WAITING" and trial.outcome is None):
            continue
        if trial.place is None or trial.outcome is None:
            yield f"trial {trial.number} ({trial.state}) has no place or no outcome"
            continue
        view, rows = trial.outcome["view"], history_of(store, trial.place["trajectory"])
        if len(rows) < view["end_epoch"]:
            yield f"trial {trial.number} saw {view['end_epoch']} epochs; its trajectory has {len(rows)}"
            continue
        truth = rows[view["chosen_epoch"] - 1]["val/mse"]
        if view["value"] != truth:
            yield f"trial {trial.number} is worth {truth}; its outcome says {view['value']}"
        if trial.state == "COMPLETE" and (trial.value is None or not _same(trial.value, truth)):
            yield f"trial {trial.number} is worth {truth}; Optuna says {trial.value}"


# --- the trajectory store


def _wrong_trajectories(store: Path, reference: Path) -> Iterator[str]:
    for folder in sorted(store.iterdir()):
        digest = folder.name
        if not (reference / digest).is_dir():
            yield f"trajectory {digest} is none of the sweep's"
            continue
        rows, wanted = history_of(store, digest), history_of(reference, digest)
        for number, (row, true) in enumerate(zip(rows, wanted, strict=False), start=1):
            wrong = [key for key in true if key not in MEASURED_ANEW and row.get(key) != true[key]]
            if wrong or row["epoch"] != number:
                yield f"trajectory {digest} epoch {number} differs in {wrong or 'its number'}"
                break
        for pattern in ("checkpoints/e*.safetensors", "results/*/model.safetensors"):
            for file in sorted(folder.glob(pattern)):
                same = reference / digest / file.relative_to(folder)
                if same.exists() and _sha256(same) != _sha256(file):
                    yield f"weights differ: {digest}/{file.relative_to(folder)}"


# --- MLflow's database


def _wrong_runs(database: Path, trials: Sequence[Trial], store: Path) -> Iterator[str]:
    with closing(_opened(database)) as db:
        active = dict(db.execute("select run_uuid, status from runs where lifecycle_stage = 'active'").fetchall())
        tags: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for run, key, value in db.execute("select run_uuid, key, value from tags"):
            tags[run][key] = value
        parents = [run for run in active if tags[run].get("deepcolor.kind") == "study"]
        if [active[run] for run in parents] != ["FINISHED"]:
            yield f"parent runs: {[active[run] for run in parents]}"
        children: defaultdict[int, list[str]] = defaultdict(list)
        for run in active.keys() - set(parents):
            children[int(tags[run].get("deepcolor.trial", -1))].append(run)
        for trial in trials:
            runs = children.pop(trial.number, [])
            if [active[run] for run in runs] != [STATUS.get(trial.state)] and (runs or not trial.cut_off):
                yield f"trial {trial.number} ({trial.state}) has the runs {[active[run] for run in runs]}"
            for run in runs:
                yield from _wrong_metrics(db, run, trial, store)
        if children:
            yield f"runs of trials that are not there (-1: of none): {sorted(children)}"


def _wrong_metrics(db: sqlite3.Connection, run: str, trial: Trial, store: Path) -> Iterator[str]:
    if trial.outcome is None or trial.place is None:
        return
    end = trial.outcome["view"]["end_epoch"]
    rows = history_of(store, trial.place["trajectory"])[:end]
    for key in EPOCH_KEYS:
        found = db.execute(
            "select step, value from metrics where run_uuid = ? and key = ? order by step", (run, key)
        ).fetchall()
        times = Counter(step for step, _ in found)
        missing = [epoch for epoch in range(1, end + 1) if epoch not in times]
        if missing:
            yield f"trial {trial.number}: {key} is missing at {missing} of {end}"
        if twice := [step for step, count in times.items() if count > 1]:
            yield f"trial {trial.number}: {key} is there twice at {twice}"
        if beyond := [step for step in times if not 1 <= step <= end]:
            yield f"trial {trial.number}: {key} goes beyond {end}: {beyond}"
        # Of an epoch that is trained again, because its worker was lost, the first time's seconds stay.
        if key in MEASURED_ANEW:
            continue
        wrong = [step for step, value in found if 1 <= step <= len(rows) and not _same(value, rows[step - 1][key])]
        if wrong:
            yield f"trial {trial.number}: {key} is another one than the record's at {wrong}"
    stored = db.execute("select value from metrics where run_uuid = ? and key = 'value'", (run,)).fetchall()
    if trial.state == "COMPLETE" and [_same(value, trial.value or 0.0) for (value,) in stored] != [True]:
        yield f"trial {trial.number}: MLflow says {stored}, Optuna {trial.value}"


def _stray_artifacts(mlruns: Path) -> Iterator[str]:
    with closing(_opened(mlruns / "mlflow.db")) as db:
        runs = {run for (run,) in db.execute("select run_uuid from runs")}
    for folder in sorted((mlruns / "artifacts").glob("*/*")):
        if folder.name not in runs and folder.name != "models":
            yield f"artifacts of no run: {folder.relative_to(mlruns)}"


# --- what is left lying about


def _leavings(workspace: Path) -> Iterator[str]:
    for path in sorted(workspace.rglob("*")):
        name = path.name
        if (
            name.startswith(".tmp-")
            or name.endswith((".unfinished", "-wal", "-shm", "-journal"))
            or name in {"stop", "driver.json"}
        ):
            yield f"left lying about: {path.relative_to(workspace)}"


def processes_of(mark: str, home: Path) -> dict[int, str]:
    """The living processes of a round, with their command lines.

    Args:
        mark: In the environment of each one that has been started as a program.
        home: The present folder of each one that has been forked.
    """
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if mark.encode() not in (folder / "environ").read_bytes() and (folder / "cwd").readlink() != home:
                continue
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if state not in "ZX":
            found[int(folder.name)] = words.strip()
    return found


def _same(stored: float, true: float) -> bool:
    return math.isclose(stored, true, rel_tol=MLFLOW_DIGITS)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
