"""Seconds for 5 epochs of each stage on each device of this machine: the first report's table.

The same measurement as `deepcolor benchmark`: the one training loop, validation included, under PyTorch's benchmark
timer, on drawn portraits. The transfer starts from a colorizer's weights. One CPU thread; a GPU is measured too.

    python benchmarks/stages.py [--quick] [--pictures 100] [--seconds 20]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deepcolor.coloring.timing import EPOCHS, StageTime, draw_data, time_stages, timed_devices
from deepcolor.config.schema import DataConfig, ModelConfig
from deepcolor.memory import keep_freed_memory

SIZE_PX, BATCH_SIZE = 128, 32
FORMS = (ModelConfig(feature_maps=3), ModelConfig(feature_maps=16, growth="double"))
"""The first report's networks, and those of the second."""


def main() -> None:
    """Measure every stage on every device, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pictures", type=int, default=100, help="drawn; 8 of 10 are trained on, with five copies each"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="time for one stage on one device, about")
    parser.add_argument("--threads", type=int, default=1, help="of torch, on the CPU")
    parser.add_argument("--quick", action="store_true", help="few pictures, one run, the smaller networks")
    options = parser.parse_args()
    if options.quick:
        options.pictures, options.seconds = 20, 0.0
    print(json.dumps(_report(_measured(options), vars(options)), indent=2))


def _measured(options: argparse.Namespace) -> list[tuple[ModelConfig, StageTime]]:
    keep_freed_memory()
    config = DataConfig(name="faces", size_px=SIZE_PX)
    with TemporaryDirectory() as folder:
        cache = draw_data(Path(folder), config, pictures=options.pictures)
        return [
            (form, measured)
            for form in (FORMS[:1] if options.quick else FORMS)
            for measured in time_stages(
                cache,
                config,
                model=form,
                batch_size=BATCH_SIZE,
                devices=timed_devices("auto"),
                threads=options.threads,
                most_s=options.seconds,
            )
        ]


def _report(times: list[tuple[ModelConfig, StageTime]], options: dict[str, Any]) -> dict[str, Any]:
    header = ["stage", "feature maps", "device", "threads", f"{EPOCHS} epochs (s)", "IQR (s)", "images/s"]
    return {
        "title": f"{EPOCHS} epochs of each stage, on each device",
        "about": (
            f"`deepcolor benchmark` on {options['pictures']} drawn portraits of {SIZE_PX} px, 8 of 10 trained on with "
            f"five copies each, batches of {BATCH_SIZE}: median of whole runs of {EPOCHS} epochs, validation included."
        ),
        "table": {"header": header, "rows": [_row(form, time) for form, time in times]},
        "results": {"times": [{"model": form.model_dump(mode="json"), **asdict(time)} for form, time in times]},
        "options": options,
    }


def _row(form: ModelConfig, time: StageTime) -> list[str]:
    widths = f"{form.feature_maps}{', doubling' if form.growth == 'double' else ''}"
    spread = "-" if time.iqr_s is None else f"{time.iqr_s:.2g}"
    device = f"{time.device} ({time.device_name})"
    return [time.stage, widths, device, str(time.threads), f"{time.median_s:.3g}", spread, f"{time.images_per_s:.0f}"]


if __name__ == "__main__":
    main()
