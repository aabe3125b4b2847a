"""LCBench's learning curves for the peers of `benchmarks/outside.py`, as `parts/lcbench_stage.py` gives them.

Needs numpy and onnxruntime alone. A peer gets the tasks and seeds it is to run, and prints a line for each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

EPOCHS = 52
_CROSS_ENTROPY = 2


class Spent(Exception):
    """The budget is used up."""


class Curves:
    """The validation cross entropy of settings on one task, epoch by epoch, and the best of all so far."""

    def __init__(self, folder: Path, *, code: int, budget: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self._code, self._budget = code, budget
        self.best: list[float] = []
        """After each epoch trained."""

    def train(self, setting: Mapping[str, float]) -> Iterator[tuple[int, float]]:
        """Yield each epoch, from 1, and its value.

        Raises:
            Spent: After the epoch with which the budget is used up.
        """
        fixed = [setting["batch_size"], setting["learning_rate"], 0.9, setting["weight_decay"]]
        fixed += [setting["layers"], setting["units"], 0.5]
        rows = np.array([[epoch, *fixed] for epoch in range(1, EPOCHS + 1)], np.float32)
        kind, given = self._session.get_inputs()
        codes = np.full((EPOCHS, 1), self._code, np.int32 if kind.type == "tensor(int32)" else np.int64)
        values = self._session.run(None, {kind.name: codes, given.name: rows})[0][:, _CROSS_ENTROPY]
        for epoch, value in enumerate(values.tolist(), 1):
            self.best.append(min(value, self.best[-1]) if self.best else value)
            yield epoch, value
            if len(self.best) >= self._budget:
                raise Spent


def main(search: Callable[[str, Curves, int], int], *, methods: list[str], about: str | None) -> None:
    """Run a peer as its command line asks.

    Args:
        search: Searches by a method (its name, the curves, a seed) until the budget is spent; returns the trials begun.
        methods: Their names.
        about: What `--help` says.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="METHOD:TASK:SEED", help=f"methods: {', '.join(methods)}")
    parser.add_argument("--data", type=Path, required=True, help="folder with model.onnx and tasks.json")
    parser.add_argument("--budget", type=int, default=20 * EPOCHS, help="epochs, over all trials")
    options = parser.parse_args()
    tasks: dict[str, dict[str, Any]] = json.loads((options.data / "tasks.json").read_text())
    for run in options.runs:
        method, task, seed = run.split(":")
        curves = Curves(options.data, code=tasks[task]["code"], budget=options.budget)
        trials = search(method, curves, int(seed))
        line = {"method": method, "task": task, "seed": int(seed), "trials": trials, "best": curves.best}
        print(json.dumps(line), flush=True)
