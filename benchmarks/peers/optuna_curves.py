"""Optuna by the book on LCBench's learning curves: its samplers and pruners, as its guides show them.

python benchmarks/peers/optuna_curves.py --data DIR tpe-sha:3945:0 [METHOD:TASK:SEED ...]
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import optuna
from lcbench import EPOCHS, Curves, Spent, main

METHODS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "random": optuna.pruners.NopPruner,
    "tpe": optuna.pruners.NopPruner,
    "tpe-median": optuna.pruners.MedianPruner,
    "tpe-sha": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    "tpe-sha3": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=3, reduction_factor=3),
    "tpe-hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=3),
}


def search(method: str, curves: Curves, seed: int) -> int:
    """Search until the budget is spent; return the trials begun."""
    samplers = optuna.samplers
    sampler = samplers.RandomSampler(seed) if method == "random" else samplers.TPESampler(seed=seed)
    study = optuna.create_study(sampler=sampler, pruner=METHODS[method]())

    def objective(trial: optuna.Trial) -> float:
        setting = {
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
            "batch_size": trial.suggest_int("batch_size", 16, 512, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1e-1),
            "units": trial.suggest_int("units", 64, 512, log=True),
            "layers": trial.suggest_int("layers", 1, 5),
        }
        value = float("inf")
        for epoch, value in curves.train(setting):
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    with suppress(Spent):
        study.optimize(objective)
    return len(study.trials)


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    main(search, methods=list(METHODS), about=__doc__)
