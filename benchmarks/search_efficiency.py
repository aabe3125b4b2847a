"""How little of an exhaustive grid TPE with ASHA trains until it is as good: the regressor, on real or drawn faces.

The grid (learning rate x weight decay x feature maps x epochs) is trained whole, once. Then TPE searches the same
values with successive halving, until a trial is within 1 % of the grid's best value; under several seeds of the
sampler, each in a workspace of its own, so that every epoch it asks for is really trained. A training is worth its best
epoch: what its last one gives goes up and down by more than 1 %, so that the best of a grid would be a lucky draw.

    python benchmarks/search_efficiency.py [--pictures DIR] [--limit 400] [--seeds 5] [--quick]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from parts.product import choose_pictures, deepcolor

GRID: dict[str, list[float]] = {
    "lr": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    "weight_decay": [1e-7, 1e-6, 1e-5],
    "feature_maps": [3, 6, 9],
    "epochs": [9, 27],
}
QUICK: dict[str, list[float]] = {"lr": [1e-3, 1e-2], "weight_decay": [1e-6], "feature_maps": [3], "epochs": [3, 9]}
COPIES = ("random_crop", "random_horizontal_flip", "random_vertical_flip", "random_rotation", "random_adjust_sharpness")
CLOSE = 1.01
AIM = 0.15


def main() -> None:
    """Train the grid, search under every seed, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, default=None, help="folder of photos; drawn faces if left out")
    parser.add_argument("--limit", type=int, default=400, help="photos to take")
    parser.add_argument("--seeds", type=int, default=5, help="of the sampler")
    parser.add_argument("--quick", action="store_true", help="a tiny grid and two seeds")
    options = parser.parse_args()
    if options.quick:
        options.limit, options.seeds = 40, 2
    with TemporaryDirectory() as folder:
        results = _measured(Path(folder), options)
    print(json.dumps(_report(results, options), indent=2))


def _measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    pictures = choose_pictures(folder / "pictures", options.pictures, limit=options.limit)
    whole = folder / "grid"
    whole.mkdir()
    deepcolor(whole, "data", "prepare", str(pictures), "--name", "faces", "--split", "80/19/1")
    space = QUICK if options.quick else GRID
    grid = _sweep(whole, {"space": space})
    epochs, best = grid["trained_epochs"], grid["best"]["value"]
    print(f"grid: {epochs} epochs, {best:.4g}", file=sys.stderr)
    searches = []
    for seed in range(options.seeds):
        apart = folder / f"seed-{seed}"
        shutil.copytree(whole / "studies" / "datasets", apart / "studies" / "datasets")
        search = {
            "space": space,
            "sampler": "tpe",
            "seed": seed,
            # TPE draws some settings again and again; that costs trials, but no epoch.
            "trials": 12 if options.quick else 1000,
            "pruner": {"name": "asha", "min_epochs": 3},
            "budget": {"target": best * CLOSE, "epochs": epochs},
        }
        searches.append(_sweep(apart, search))
        print(f"seed {seed}: {searches[-1]['trained_epochs']} epochs", file=sys.stderr)
        shutil.rmtree(apart)
    return {"grid": grid, "searches": searches}


def _sweep(workspace: Path, search: dict[str, Any]) -> dict[str, Any]:
    sweep = {
        "study": "s",
        "stage": "regressor",
        # Without copies an epoch is short, and there can be more of them.
        "data": {"name": "faces", "augment": dict.fromkeys(COPIES)},
        "training": {"early_stopping": True, "patience": int(max(GRID["epochs"]))},
        "search": search,
    }
    file = workspace / "sweep.json"
    file.write_text(json.dumps(sweep))
    summary: dict[str, Any] = json.loads(deepcolor(workspace, "sweep", str(file), "--json"))
    return {
        "wall_s": summary["wall_s"],
        "trials": summary["trials"],
        "requested_epochs": summary["requested_epochs"],
        "trained_epochs": summary["trained_now"],
        "stopped_by": summary["stopped_by"],
        "best": {"value": summary["best"]["value"], "params": summary["best"]["params"]} if summary["best"] else None,
    }


def _report(results: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    grid, searches = results["grid"], results["searches"]
    reached = [search for search in searches if search["stopped_by"] == "target"]
    shares = [search["trained_epochs"] / grid["trained_epochs"] for search in reached]
    times = [search["wall_s"] / grid["wall_s"] for search in reached]
    close = f"within 1 % of the grid's best value ({grid['best']['value']:.4g})"
    rows: list[list[Any]] = [
        ["grid: trials, epochs trained", f"{grid['trials']}, {grid['trained_epochs']}", "-"],
        [close, f"{len(reached)} of {len(searches)}", "-"],
    ]
    if reached:
        rows += [
            ["share of the grid's epochs until then, median (range)", _spread(shares), f"at most {AIM:.0%}"],
            ["share of the grid's time until then, median (range)", _spread(times), "-"],
        ]
    return {
        "title": "TPE and ASHA against the whole grid",
        "about": (
            "The regressor: until TPE with ASHA has a trial within 1 % of the best of an exhaustive grid (learning "
            f"rate x weight decay x feature maps x epochs), {len(searches)} seeds of the sampler. The grid's epochs "
            "are counted as trained, each once though trials share them."
        ),
        "table": {"header": ["measured", "value", "aim"], "rows": rows},
        "results": {**results, "shares": shares},
        "options": {"photos": options.pictures is not None, "limit": options.limit, "seeds": options.seeds},
    }


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1%} ({min(values):.1%} to {max(values):.1%})"


if __name__ == "__main__":
    main()
