"""Syne Tune's schedulers on LCBench's learning curves: asynchronous successive halving with its searchers.

One worker, so no simulated clock is needed: a scheduler is asked for a setting, told of each epoch, and heeded where it
stops one. It needs an environment of its own, as Syne Tune is no dependency of deepcolor:

    python -m venv peers && peers/bin/pip install syne-tune onnxruntime
    peers/bin/python benchmarks/peers/syne_tune_curves.py --data DIR bohb:3945:0 [METHOD:TASK:SEED ...]
"""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np
from lcbench import EPOCHS, Curves, Spent, main
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import lograndint, loguniform, randint, uniform
from syne_tune.optimizer.baselines import ASHA, ASHABORE, ASHACQR, BOHB
from syne_tune.optimizer.scheduler import SchedulerDecision

SPACE = {
    "learning_rate": loguniform(1e-4, 1e-1),
    "batch_size": lograndint(16, 512),
    "weight_decay": uniform(1e-5, 1e-1),
    "units": lograndint(64, 512),
    "layers": randint(1, 5),
}
METHODS: dict[str, tuple[Any, dict[str, int]]] = {
    "asha": (ASHA, {}),
    "hyperband": (ASHA, {"brackets": 3}),
    "bohb": (BOHB, {}),
    "bohb-hyperband": (BOHB, {"brackets": 3}),
    "asha-bore": (ASHABORE, {}),
    "asha-cqr": (ASHACQR, {}),
}


def search(method: str, curves: Curves, seed: int) -> int:
    """Search until the budget is spent; return the trials begun."""
    kind, options = METHODS[method]
    np.random.seed(seed)  # noqa: NPY002  # Syne Tune draws brackets from it.
    scheduler = kind(SPACE, metric="value", time_attr="epoch", max_t=EPOCHS, random_seed=seed, **options)
    trials = 0
    with suppress(Spent):
        while True:
            trial = Trial(trials, scheduler.suggest().config, datetime.now())  # noqa: DTZ005  # its own type
            trials += 1
            scheduler.on_trial_add(trial)
            for epoch, value in curves.train(trial.config):
                told = {"value": value, "epoch": epoch}
                if epoch == EPOCHS:
                    scheduler.on_trial_complete(trial, told)
                elif scheduler.on_trial_result(trial, told) == SchedulerDecision.STOP:
                    scheduler.on_trial_remove(trial)
                    break
    return trials


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    main(search, methods=list(METHODS), about=__doc__)
