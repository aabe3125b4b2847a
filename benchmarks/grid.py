"""The reports' grid (27 points, epochs 1 2 3 in place of 100 200 300): deepcolor against Optuna and MLflow by the book.

Same pictures, network, copies and batch size; each side is a whole process, its start and its decoding included. The
two run one after the other in one go, so the ratio holds on a noisy machine. Without --pictures it draws some.

    python benchmarks/grid.py [--pictures DIR] [--limit 150] [--stage colorizer] [--feature-maps 16 --growth double]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PEER = Path(__file__).parent / "peers" / "plain_grid.py"
GRID = {"lr": [1e-3, 1e-4, 1e-1], "weight_decay": [0.0, 1e-5, 1e-6], "epochs": [1, 2, 3]}


def main() -> None:
    """Run deepcolor, the peer, and the peer with its cache; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, default=None, help="folder of photos; drawn faces if left out")
    parser.add_argument("--limit", type=int, default=150, help="photos to take")
    parser.add_argument("--stage", choices=["regressor", "colorizer"], default="regressor")
    parser.add_argument("--feature-maps", type=int, default=3)
    parser.add_argument("--growth", choices=["constant", "double"], default="constant")
    parser.add_argument("--skip-uncached", action="store_true", help="leave out the peer that decodes every epoch")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        pictures = _pictures(Path(folder), options)
        results = {"deepcolor": _deepcolor(Path(folder) / "ours", pictures, options)}
        results["peer_cached"] = _peer(Path(folder) / "cached", pictures, options, "--cache")
        if not options.skip_uncached:
            results["peer"] = _peer(Path(folder) / "plain", pictures, options)
    ours = results["deepcolor"]["process_s"]
    ratios = {name: round(result["process_s"] / ours, 2) for name, result in results.items() if name != "deepcolor"}
    shown = {name: str(value) for name, value in vars(options).items()}
    print(json.dumps({"options": shown, "times_faster_than": ratios, **results}, indent=2))


def _pictures(folder: Path, options: argparse.Namespace) -> Path:
    """A folder with the pictures both sides read: some of those given, or drawn ones."""
    chosen = folder / "pictures"
    if options.pictures is None:
        from deepcolor.data.drawn import draw_set

        draw_set("faces", chosen, count=options.limit, seed=0)
        return chosen
    chosen.mkdir()
    paths = sorted(path for path in options.pictures.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    step = max(1, len(paths) // options.limit)
    for index, path in enumerate(paths[::step][: options.limit]):
        (chosen / f"{index:05d}{path.suffix}").write_bytes(path.read_bytes())
    return chosen


def _deepcolor(workspace: Path, pictures: Path, options: argparse.Namespace) -> dict[str, Any]:
    workspace.mkdir()
    sweep = {
        "study": "grid",
        "stage": options.stage,
        "data": {"name": "photos"},
        "model": {"feature_maps": options.feature_maps, "growth": options.growth},
        "training": {"early_stopping": False},
        "search": {"space": GRID},
    }
    file = workspace / "grid.yaml"
    file.write_text(json.dumps(sweep))
    base = [sys.executable, "-m", "deepcolor"]
    prepare = [*base, "data", "prepare", str(pictures), "--name", "photos", "--split", "90/9/1"]
    started = time.perf_counter()
    _run([*prepare, "--workspace", str(workspace), "--quiet"])
    summary = json.loads(_run([*base, "sweep", str(file), "--workspace", str(workspace), "--json"]))
    return {
        "process_s": round(time.perf_counter() - started, 2),
        "trials": summary["complete"],
        "requested_epochs": summary["requested_epochs"],
        "trained_epochs": summary["trained_epochs"],
        "best_params": summary["best"]["params"],
        "best_value": summary["best"]["value"],
    }


def _peer(out: Path, pictures: Path, options: argparse.Namespace, *words: str) -> dict[str, Any]:
    command = [sys.executable, str(PEER), str(pictures), str(out), "--stage", options.stage]
    command += ["--feature-maps", str(options.feature_maps), "--growth", options.growth, *words]
    started = time.perf_counter()
    result: dict[str, Any] = json.loads(_run(command).strip().splitlines()[-1])
    return {"process_s": round(time.perf_counter() - started, 2), **result}


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
