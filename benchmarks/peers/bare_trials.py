"""Trials of a formula with Optuna's own loop: what the driver's cost of a trial is measured against.

`study.optimize` with Optuna's sampler and, where rungs are given, its successive halving; values are reported at the
rungs alone. Nothing of deepcolor is used, so nothing of it can slow this down. The formula is that of
`parts/curves.py`.

    python benchmarks/peers/bare_trials.py OUT [--storage memory] [--trials 100] [--sampler tpe] [--rungs 6 18]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import optuna


def loss(epoch: int, *, learning_rate: float, batch_size: int, weight_decay: float, units: int, layers: int) -> float:
    """As in `parts/curves.py`."""
    rate, batch, width = math.log10(learning_rate), math.log2(batch_size), math.log2(units)
    floor = 0.3 + 0.1 * (rate + 2.2) ** 2 + 0.02 * (batch - 6) ** 2 + 0.03 * (width - 8) ** 2
    floor += 0.02 * (layers - 3) ** 2 + 2 * weight_decay
    return floor + 1.5 * math.exp(-epoch * 10 ** (0.5 * rate) * (1 + 64 / batch_size) / 2)


def storage(kind: str, out: Path) -> optuna.storages.BaseStorage | None:
    """Return Optuna's memory, or its SQLite storage: as it opens it, or with a write-ahead log."""
    if kind == "memory":
        return None
    made = optuna.storages.RDBStorage(f"sqlite:///{out.resolve()}/optuna.db")
    if kind == "wal":
        from sqlalchemy import event

        @event.listens_for(made.engine, "connect")
        def configure(connection: object, _: object) -> None:
            connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]
            connection.execute("PRAGMA synchronous=NORMAL")  # type: ignore[attr-defined]

        made.engine.dispose()
    return made


def run(out: Path, *, kind: str, trials: int, sampler: str, rungs: list[int], epochs: int) -> dict[str, list[float]]:
    """Return the seconds after which each trial had ended, and those of processor time."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if rungs:
        factor = rungs[1] // rungs[0] if len(rungs) > 1 else 3
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=rungs[0], reduction_factor=factor)
    study = optuna.create_study(storage=storage(kind, out), sampler=samplers[sampler](seed=0), pruner=pruner)
    ended: list[float] = []
    used: list[float] = []

    def note(*_: object) -> None:
        ended.append(round(time.perf_counter() - started, 4))
        used.append(round(time.process_time() - before, 4))

    def objective(trial: optuna.Trial) -> float:
        params = {
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
            "batch_size": trial.suggest_int("batch_size", 16, 512, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1e-1),
            "units": trial.suggest_int("units", 64, 512, log=True),
            "layers": trial.suggest_int("layers", 1, 5),
        }
        value = math.inf
        for epoch in range(1, epochs + 1):
            value = loss(epoch, **params)  # type: ignore[arg-type]
            if epoch in rungs:
                trial.report(value, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
        return value

    started, before = time.perf_counter(), time.process_time()
    study.optimize(objective, n_trials=trials, callbacks=[note])
    return {"ended": ended, "used": used}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--storage", choices=["memory", "sqlite", "wal"], default="memory")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=52)
    parser.add_argument("--sampler", choices=["random", "tpe"], default="tpe")
    parser.add_argument("--rungs", type=int, nargs="*", default=[])
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    print(
        json.dumps(
            run(
                options.out,
                kind=options.storage,
                trials=options.trials,
                sampler=options.sampler,
                rungs=options.rungs,
                epochs=options.epochs,
            )
        )
    )
