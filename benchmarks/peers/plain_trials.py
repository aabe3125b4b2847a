"""Trials of a formula with Optuna and MLflow alone, as their guides show it: what the driver is measured against.

`study.optimize` on an SQLite storage; each trial is a nested MLflow run with its params, and its metrics every epoch.
Nothing of deepcolor is used, so nothing of it can slow this down.

    python benchmarks/peers/plain_trials.py OUT [--trials 100] [--epochs 3] [--sampler random]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import mlflow
import optuna


def run(out: Path, *, trials: int, epochs: int, sampler: str) -> list[float]:
    """Return the seconds after which each trial had ended."""
    mlflow.set_tracking_uri(f"sqlite:///{out.resolve()}/mlflow.db")
    mlflow.create_experiment("formula", artifact_location=(out / "artifacts").resolve().as_uri())
    mlflow.set_experiment("formula")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    study = optuna.create_study(storage=f"sqlite:///{out.resolve()}/optuna.db", sampler=samplers[sampler](seed=0))
    ended: list[float] = []

    def objective(trial: optuna.Trial) -> float:
        params = {
            "lr": trial.suggest_float("lr", 1e-4, 0.3, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-7, 0.1, log=True),
        }
        value = math.inf
        with mlflow.start_run(run_name=f"trial-{trial.number}", nested=True):
            mlflow.log_params(params)
            for epoch in range(1, epochs + 1):
                value = (math.log10(params["lr"]) + 2) ** 2 + params["weight_decay"] + 1 / epoch
                mlflow.log_metrics({"train_mse": value, "val_mse": value}, step=epoch)
        return value

    with mlflow.start_run(run_name="formula"):
        started = time.perf_counter()
        study.optimize(objective, n_trials=trials, callbacks=[lambda *_: ended.append(time.perf_counter() - started)])
    return ended


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--sampler", choices=["random", "tpe"], default="random")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    print(json.dumps(run(options.out, trials=options.trials, epochs=options.epochs, sampler=options.sampler)))
