"""The reports' grid (27 points, epochs 1 2 3 in place of 100 200 300): deepcolor against Optuna and MLflow by the book.

Same pictures, networks, copies and batch size; each side is a whole process, its start and its decoding included. They
run one after the other in one go, so the ratios hold on a noisy machine. The peer decodes in every epoch; with its
cache, once at its start. Without --pictures some are drawn.

    python benchmarks/grid.py [--pictures DIR] [--limit 675] [--uncached regressor] [--quick]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from parts.product import choose_pictures, deepcolor, run

PEER = Path(__file__).parent / "peers" / "plain_grid.py"
GRID = {"lr": [1e-3, 1e-4, 1e-1], "weight_decay": [0.0, 1e-5, 1e-6], "epochs": [1, 2, 3]}


@dataclass(frozen=True)
class Network:
    """One of the networks the grid is run with, and the aims against the peer and the peer with its cache."""

    stage: str
    feature_maps: int
    growth: str
    aim: str
    aim_cached: str

    @property
    def name(self) -> str:
        return f"{self.stage}, {self.feature_maps} feature maps{' doubling' if self.growth == 'double' else ''}"


NETWORKS = {
    "regressor": Network("regressor", 3, "constant", "15", "4"),
    "colorizer": Network("colorizer", 3, "constant", "15", "4"),
    "double": Network("colorizer", 16, "double", "-", "2.5"),
}


def main() -> None:
    """Run deepcolor and the peers with every network asked for; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, default=None, help="folder of photos; drawn faces if left out")
    parser.add_argument("--limit", type=int, default=675, help="photos to take")
    parser.add_argument("--double-limit", type=int, default=60, help="photos to take for the doubling network")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument(
        "--uncached",
        nargs="*",
        choices=list(NETWORKS),
        default=["regressor"],
        help="also against the peer without cache",
    )
    parser.add_argument("--quick", action="store_true", help="the regressor on a few pictures")
    options = parser.parse_args()
    if options.quick:
        options.limit, options.networks, options.uncached = 30, ["regressor"], ["regressor"]
    results = {name: _compare(NETWORKS[name], options, uncached=name in options.uncached) for name in options.networks}
    print(json.dumps(_report(results, options), indent=2))


def _compare(network: Network, options: argparse.Namespace, *, uncached: bool) -> dict[str, Any]:
    limit = options.double_limit if network.growth == "double" else options.limit
    with TemporaryDirectory() as name:
        folder = Path(name)
        pictures = choose_pictures(folder / "pictures", options.pictures, limit=limit)
        sides = {"deepcolor": _deepcolor(folder / "ours", pictures, network)}
        _tell(network, sides)
        sides["peer_cached"] = _peer(folder / "cached", pictures, network, "--cache")
        _tell(network, sides)
        if uncached:
            sides["peer"] = _peer(folder / "plain", pictures, network)
            _tell(network, sides)
    return {"photos": limit, **sides}


def _tell(network: Network, sides: dict[str, dict[str, Any]]) -> None:
    seconds = ", ".join(f"{name} {side['process_s']} s" for name, side in sides.items())
    print(f"{network.name}: {seconds}", file=sys.stderr)


def _deepcolor(workspace: Path, pictures: Path, network: Network) -> dict[str, Any]:
    workspace.mkdir()
    sweep = {
        "study": "grid",
        "stage": network.stage,
        "data": {"name": "photos"},
        "model": {"feature_maps": network.feature_maps, "growth": network.growth},
        "training": {"early_stopping": False},
        "search": {"space": GRID},
    }
    file = workspace / "grid.yaml"
    file.write_text(json.dumps(sweep))
    started = time.perf_counter()
    deepcolor(workspace, "data", "prepare", str(pictures), "--name", "photos", "--split", "90/9/1")
    summary = json.loads(deepcolor(workspace, "sweep", str(file), "--json"))
    return {
        "process_s": round(time.perf_counter() - started, 2),
        "trials": summary["complete"],
        "requested_epochs": summary["requested_epochs"],
        "trained_epochs": summary["trained_epochs"],
        "best_params": summary["best"]["params"],
        "best_value": summary["best"]["value"],
    }


def _peer(out: Path, pictures: Path, network: Network, *words: str) -> dict[str, Any]:
    command = [sys.executable, str(PEER), str(pictures), str(out), "--stage", network.stage]
    command += ["--feature-maps", str(network.feature_maps), "--growth", network.growth, *words]
    started = time.perf_counter()
    result: dict[str, Any] = json.loads(run(command).strip().splitlines()[-1])
    return {"process_s": round(time.perf_counter() - started, 2), **result}


def _report(results: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    rows = [
        [
            NETWORKS[name].name,
            sides["photos"],
            f"{sides['deepcolor']['trained_epochs']} of {sides['deepcolor']['requested_epochs']}",
            _times(sides, "peer"),
            NETWORKS[name].aim,
            _times(sides, "peer_cached"),
            NETWORKS[name].aim_cached,
            round(sides["deepcolor"]["best_value"] / sides["peer_cached"]["best_value"], 2),
        ]
        for name, sides in results.items()
    ]
    header = ["network", "photos", "epochs trained", "times faster than the peer", "aim"]
    header += ["than the peer with its cache", "aim", "best value against the peer's"]
    return {
        "title": "The reports' grid against Optuna and MLflow by the book",
        "about": (
            "27 points, epochs 1 2 3, five copies; whole processes, start and decoding included. The peer "
            "(`benchmarks/peers/plain_grid.py`) decodes in every epoch; with its cache, once."
        ),
        "table": {"header": header, "rows": rows},
        "results": results,
        "options": {"photos": options.pictures is not None, "limit": options.limit},
    }


def _times(sides: dict[str, Any], peer: str) -> float | str:
    return round(sides[peer]["process_s"] / sides["deepcolor"]["process_s"], 2) if peer in sides else "not run"


if __name__ == "__main__":
    main()
