"""One photo of 12 megapixels coloured, from file to file: seconds, processor time, memory, and where the time goes.

The photo is a drawn one with grain, as JPEG; the network has 16 feature maps, doubling, at 128 px. deepcolor and a
plain loop of OpenCV and torch (`peers/plain_colouring.py`) run one after the other, twice, each in its own process.

    python benchmarks/colouring.py [--megapixels 12] [--runs 3] [--quick]
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from parts.product import run

PEER = Path(__file__).parent / "peers" / "plain_colouring.py"
_STAGES = ("reading the JPEG", "colouring", "writing the PNG")


def main() -> None:
    """Measure both, and print one JSON object; `--inside` is how the processes of deepcolor's side are started."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--runs", type=int, default=3, help="in each process; the fastest counts")
    parser.add_argument("--quick", action="store_true", help="a photo of one megapixel, once")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is not None:
        print(json.dumps(inside(options.inside, runs=options.runs)))
        return
    if options.quick:
        options.megapixels, options.runs = 1.0, 1
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, megapixels=options.megapixels)
        runs = ["--runs", str(options.runs)]
        ours = [sys.executable, __file__, "--inside", str(folder), *runs]
        theirs = [sys.executable, str(PEER), str(folder / "photo.jpg"), str(folder / "peer.png"), *runs]
        sides = (("we", ours), ("they", theirs)) * 2
        found = [(side, json.loads(run(command))) for side, command in sides]
    print(json.dumps(report(found, megapixels=options.megapixels, options=vars(options)), indent=2, default=str))


def prepare(folder: Path, *, megapixels: float) -> None:
    """Draw the photo, and write a model with random weights: they cost what trained ones cost."""
    import cv2
    import numpy as np

    from deepcolor import __version__
    from deepcolor.config.sections import ModelConfig
    from deepcolor.data.drawn import draw_set
    from deepcolor.models.description import ModelDescription
    from deepcolor.models.modelfile import save_model
    from deepcolor.models.networks import build

    (drawn,) = draw_set("fruit", folder / "drawn", count=1, size_px=1024, seed=0)
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    large = cv2.resize(np.asarray(cv2.imread(str(drawn))), (width, width * 3 // 4), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(0).normal(0, 3, large.shape[:2])[..., None]
    photo = np.clip(large + grain, 0, 255).astype(np.uint8)
    cv2.imwrite(str(folder / "photo.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 92])
    form = ModelConfig(feature_maps=16, growth="double")
    about = ModelDescription(
        stage="colorizer", model=form, size_px=128, trajectory="0" * 32, epoch=0, data_digest="0" * 32,
        deepcolor_version=__version__,
    )  # fmt: skip
    save_model(folder / "model", build("pixels", form, 128), about)


def inside(folder: Path, *, runs: int) -> dict[str, Any]:
    """Colour the photo in this process, and measure it."""
    import time

    import deepcolor
    from deepcolor.coloring.picture import write_pixels
    from deepcolor.data.images import read_picture

    model = deepcolor.load(folder / "model", device="cpu")
    start_cpu_s, times, stages = time.process_time(), [], []
    for _ in range(runs):
        marks = [(time.perf_counter(), time.process_time())]

        def mark(marks: list[tuple[float, float]] = marks) -> None:
            marks.append((time.perf_counter(), time.process_time()))

        picture = read_picture(folder / "photo.jpg")
        mark()
        coloured = model.colorize(picture)
        mark()
        write_pixels(folder / "ours.png", coloured)
        mark()
        times.append(tuple(last - first for first, last in zip(marks[0], marks[-1], strict=True)))
        stages.append([later[0] - earlier[0] for earlier, later in pairwise(marks)])
        del picture, coloured
    best = min(range(runs), key=lambda index: times[index])
    return {"runs": times, "peak_mb": peak_mb(), "start_cpu_s": start_cpu_s, "stages_s": stages[best]}


def peak_mb() -> float:
    """Most memory that this process has had; `getrusage` would count what its parent had before it started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def report(found: list[tuple[str, dict[str, Any]]], *, megapixels: float, options: dict[str, Any]) -> dict[str, Any]:
    """Put the fastest run of each side into a table."""
    best = {
        side: {
            "wall": min(run[0] for name, one in found if name == side for run in one["runs"]),
            "cpu": min(run[1] for name, one in found if name == side for run in one["runs"]),
            "peak": max(one["peak_mb"] for name, one in found if name == side),
        }
        for side in ("we", "they")
    }
    ours = min((one for name, one in found if name == "we"), key=lambda one: min(run[0] for run in one["runs"]))
    we, they = best["we"], best["they"]
    parts = zip(_STAGES, ours["stages_s"], strict=True)
    rows = [
        ["seconds", f"{we['wall']:.2f}", f"{they['wall']:.2f}"],
        ["seconds of processor time", f"{we['cpu']:.2f}", f"{they['cpu']:.2f}"],
        ["peak memory of the process, MB", f"{we['peak']:.0f}", f"{they['peak']:.0f}"],
        *([f"of these: {stage}", f"{took:.2f}", "-"] for stage, took in parts),
        ["before: processor time of start, imports and loading", f"{ours['start_cpu_s']:.1f}", "-"],
    ]
    return {
        "title": f"A photo of {megapixels:g} megapixels",
        "about": (
            "From JPEG to PNG; network of 16 feature maps, doubling, at 128 px, with all threads that torch takes: the "
            "fastest run of each. The plain loop (`benchmarks/peers/plain_colouring.py`) squashes the photo to the "
            "network's square and rounds down."
        ),
        "table": {"header": ["measured", "deepcolor", "plain loop"], "rows": rows},
        "results": {"sides": found},
        "options": options,
    }


if __name__ == "__main__":
    main()
