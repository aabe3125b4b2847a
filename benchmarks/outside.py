"""The search on real learning curves, against Optuna by the book and Syne Tune: regret at equal numbers of epochs.

The curves are LCBench's, as a surrogate gives them (`parts/lcbench_stage.py`: a user's own stage in one file). Every
method may train as many epochs as 20 whole trainings take, on every task, under every seed: deepcolor by its driver
with SQLite (`parts/driving.py`), the peers by their own loops (`peers/optuna_curves.py`, `peers/syne_tune_curves.py`).
Regret is (best value seen - best known) / (median of random settings - best known); best known is the best of 4,000
random settings, so that a search may end below it.

    python benchmarks/outside.py --data DIR [--keep FILE] [--syne-tune PYTHON] [--picture FILE] [--quick]

DIR holds the surrogate (model.onnx, from github.com/slds-lmu/yahpo_data, lcbench/) and tasks.json. What has been run is
kept in FILE line by line, and is not run again. Needs onnxruntime here, and for Syne Tune an environment of its own:

    python -m venv peers && peers/bin/pip install syne-tune onnxruntime     # --syne-tune peers/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from parts.driving import drive

EPOCHS = 52
BUDGET = 20 * EPOCHS
POINTS = (BUDGET // 4, BUDGET // 2, BUDGET)
"""The epochs after which regret is measured."""
AIM = 0.8
"""Of the best peer's regret, at each point, in the mean and in the median."""
DEFAULT = "deepcolor tpe, asha"
HERE = Path(__file__).parent
STAGE = HERE / "parts" / "lcbench_stage.py"
SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "batch_size": {"low": 16, "high": 512, "log": True},
    "weight_decay": {"low": 1e-5, "high": 1e-1},
    "units": {"low": 64, "high": 512, "log": True},
    "layers": {"low": 1, "high": 5},
}
OURS: dict[str, dict[str, Any]] = {
    DEFAULT: {"sampler": "tpe", "pruner": "asha"},
    "deepcolor tpe, hyperband": {"sampler": "tpe", "pruner": "hyperband"},
    "deepcolor tpe, no pruner": {"sampler": "tpe"},
    "deepcolor random, asha": {"sampler": "random", "pruner": "asha"},
}
PEERS = {
    "Optuna": ("optuna_curves.py", ("tpe", "tpe-median", "tpe-sha", "tpe-sha3", "tpe-hyperband", "random")),
    "Syne Tune": ("syne_tune_curves.py", ("asha", "hyperband", "bohb", "bohb-hyperband")),
}


@dataclass(frozen=True)
class Run:
    """One search: by a method, on a task, under a seed."""

    method: str
    task: str
    seed: int


def main() -> None:
    """Run what has not been run, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = os.environ.get("DEEPCOLOR_LCBENCH")
    parser.add_argument("--data", type=Path, default=given, help="folder of the surrogate; else DEEPCOLOR_LCBENCH")
    parser.add_argument("--keep", type=Path, default=None, help="JSON lines of all runs; those in it are not run again")
    parser.add_argument("--syne-tune", default=None, metavar="PYTHON", help="of the environment that has Syne Tune")
    parser.add_argument("--picture", type=Path, default=None, help="PNG of mean regret against epochs")
    parser.add_argument("--methods", nargs="+", default=None, metavar="METHOD", help="these alone")
    parser.add_argument("--tasks", nargs="+", default=None, help="these alone")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="one task, one seed, a quarter of the budget")
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data: where the surrogate lies")
    tasks: dict[str, dict[str, Any]] = json.loads((options.data / "tasks.json").read_text())
    chosen = options.tasks or list(tasks)
    budget = BUDGET
    if options.quick:
        chosen, options.seeds, budget = chosen[:1], 1, POINTS[0]
    methods = options.methods or [*OURS, *_peer_methods(syne_tune=options.syne_tune is not None)]
    with TemporaryDirectory() as folder:
        keep = options.keep or Path(folder) / "runs.jsonl"
        # By seed first: whenever this is stopped, what there is can be compared.
        for seed in range(options.seeds):
            wanted = [Run(method, task, seed) for method in methods for task in chosen]
            done = {run for run, _ in _kept(keep)}
            for line in _lines([run for run in wanted if run not in done], options, budget=budget):
                with keep.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(
                    f"{line['method']}, task {line['task']}, seed {line['seed']}: {line['best'][-1]:.4g}",
                    file=sys.stderr,
                )
        runs = [(run, best) for run, best in _kept(keep) if run.task in chosen and run.method in methods]
    regrets = _regrets([each for each in runs if each[0].seed < options.seeds], tasks)
    if options.picture:
        _draw(regrets, options.picture)
    print(json.dumps(_report(regrets, chosen, quick=options.quick), indent=2))


def _peer_methods(*, syne_tune: bool) -> Iterator[str]:
    for peer, (_, methods) in PEERS.items():
        if peer != "Syne Tune" or syne_tune:
            yield from (f"{peer} {method}" for method in methods)


def _kept(file: Path) -> Iterator[tuple[Run, list[float]]]:
    if file.exists():
        for line in map(json.loads, file.read_text().splitlines()):
            yield Run(line["method"], line["task"], line["seed"]), line["best"]


# --- the searches


def _lines(runs: Sequence[Run], options: argparse.Namespace, *, budget: int) -> Iterator[dict[str, Any]]:
    """Run searches, and yield what each has seen."""
    tasks = json.loads((options.data / "tasks.json").read_text())
    for run in runs:
        if run.method in OURS:
            best = _ours(run, options.data, code=tasks[run.task]["code"], budget=budget)
            yield {**vars(run), "best": best}
    for peer, (script, _) in PEERS.items():
        asked = [run for run in runs if run.method.startswith(f"{peer} ")]
        if asked:
            python = options.syne_tune if peer == "Syne Tune" else sys.executable
            names = [f"{run.method.removeprefix(f'{peer} ')}:{run.task}:{run.seed}" for run in asked]
            command = [python, str(HERE / "peers" / script), "--data", str(options.data), "--budget", str(budget)]
            with subprocess.Popen([*command, *names], stdout=subprocess.PIPE, text=True) as process:
                for line in map(json.loads, process.stdout or ()):
                    yield {"method": f"{peer} {line['method']}", **{k: line[k] for k in ("task", "seed", "best")}}
            if process.returncode:
                sys.exit(f"{' '.join(command)} ended with exit code {process.returncode}")


def _ours(run: Run, data: Path, *, code: int, budget: int) -> list[float]:
    """Search with deepcolor, and return the best value seen after each epoch, in the order they were trained."""
    sweep = {
        "study": "outside",
        "stage": f"{STAGE}:Curve",
        "data": {"folder": str(data.resolve()), "code": code},
        # A training is worth its best epoch, as for the peers, and none is cut short.
        "training": {"epochs": EPOCHS, "early_stopping": True, "patience": EPOCHS},
        "search": {"space": SPACE, "seed": run.seed, "budget": {"epochs": budget}, **OURS[run.method]},
    }
    with TemporaryDirectory() as folder:
        values = [row.metrics["val/cross_entropy"] for row in drive(sweep, Path(folder))]
    return [float(best) for best in np.minimum.accumulate(values[:budget])]


# --- what came of them


def _regrets(
    runs: Iterable[tuple[Run, list[float]]], tasks: dict[str, dict[str, Any]]
) -> dict[str, dict[str, dict[int, np.ndarray]]]:
    """Normalised regret after every epoch: by method, task and seed."""
    found: dict[str, dict[str, dict[int, np.ndarray]]] = {}
    for run, best in runs:
        low, high = tasks[run.task]["best_known"], tasks[run.task]["random_median"]
        regret = (np.array(best) - low) / (high - low)
        found.setdefault(run.method, {}).setdefault(run.task, {})[run.seed] = regret
    return found


def _report(
    regrets: dict[str, dict[str, dict[int, np.ndarray]]], tasks: Sequence[str], *, quick: bool
) -> dict[str, Any]:
    points = POINTS[:1] if quick else POINTS
    columns = [(kind, index) for kind in ("median", "mean") for index in range(len(points))]
    figures = {method: _figures(by_task, points) for method, by_task in regrets.items()}
    rows = [
        [method, *(_with_error(found[index], kind) for kind, index in columns), str(_count(regrets[method]))]
        for method, found in figures.items()
    ]
    peers = [found for method, found in figures.items() if method not in OURS]
    if peers and DEFAULT in figures:
        best = [min(found[index][kind] for found in peers) for kind, index in columns]
        shares = [figures[DEFAULT][index][kind] / least for (kind, index), least in zip(columns, best, strict=True)]
        rows.append(["the best of the peers", *(f"{value:.3f}" for value in best), "-"])
        rows.append([f"{DEFAULT}: share of that (aim: {AIM})", *(f"{share:.2f}" for share in shares), "-"])
    header = ["method", *(f"{kind} after {point}" for kind in ("median", "mean") for point in points), "runs"]
    return {
        "title": "The search on LCBench's learning curves",
        "about": (
            f"Normalised regret after {', '.join(map(str, points))} epochs (a whole training takes {EPOCHS}), median "
            f"and mean over {len(tasks)} tasks and the seeds, with standard errors (seeds drawn again within each "
            "task). 0 is the best of 4,000 random settings trained to their end. Five parameters are searched; "
            "deepcolor runs by its driver with SQLite, Optuna by the book, Syne Tune by its schedulers."
        ),
        "table": {"header": header, "rows": rows},
        "results": {"figures": figures, "runs": _points_of(regrets, points)},
        "options": {"tasks": list(tasks), "budget": points[-1]},
    }


def _figures(by_task: dict[str, dict[int, np.ndarray]], points: Sequence[int]) -> list[dict[str, float]]:
    draw = np.random.default_rng(0)
    found = []
    for point in points:
        values = [np.array([regret[point - 1] for regret in seeds.values()]) for seeds in by_task.values()]
        whole = np.concatenate(values)
        again = [np.concatenate([draw.choice(each, len(each)) for each in values]) for _ in range(1000)]
        kinds: dict[str, Callable[[Any], Any]] = {"median": np.median, "mean": np.mean}
        found.append(
            {
                name: float(value)
                for kind, of in kinds.items()
                for name, value in ((kind, of(whole)), (f"{kind}_se", np.std([of(each) for each in again])))
            }
        )
    return found


def _with_error(figure: dict[str, float], kind: str) -> str:
    return f"{figure[kind]:.3f} ± {figure[f'{kind}_se']:.3f}"


def _count(by_task: dict[str, dict[int, np.ndarray]]) -> int:
    return sum(map(len, by_task.values()))


def _points_of(regrets: dict[str, dict[str, dict[int, np.ndarray]]], points: Sequence[int]) -> dict[str, Any]:
    return {
        method: {
            task: {
                str(seed): [round(float(regret[point - 1]), 4) for point in points]
                for seed, regret in sorted(seeds.items())
            }
            for task, seeds in by_task.items()
        }
        for method, by_task in regrets.items()
    }


def _draw(regrets: dict[str, dict[str, dict[int, np.ndarray]]], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for method, by_task in sorted(regrets.items(), key=lambda item: item[0] not in OURS):
        curves = [regret for seeds in by_task.values() for regret in seeds.values()]
        shortest = min(map(len, curves))
        mean = np.mean([regret[:shortest] for regret in curves], axis=0)
        own = method in OURS
        line: dict[str, Any] = {"linewidth": 1.2, "linestyle": "-" if own else "--"}
        if method == DEFAULT:
            line = {"linewidth": 3.0, "color": "black"}
        axes.plot(np.arange(1, shortest + 1), mean, label=method, **line)
    # Regret can fall below 0, the best of the random settings; near it the axis is linear.
    axes.set_yscale("symlog", linthresh=0.1, linscale=0.8)
    axes.set(xlabel="epochs trained, over all trials", ylabel="mean normalised regret", xlim=(EPOCHS, None))
    axes.set_yticks([-0.05, 0, 0.05, 0.1, 0.2, 0.5, 1], labels=["-0.05", "0", "0.05", "0.1", "0.2", "0.5", "1"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", ncols=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
