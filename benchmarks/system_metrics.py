"""What it costs a training to look at its machine: a sample of the system metrics against the time between two of them.

A regressor is trained on drawn pictures, a sample taken after every epoch. A sample's cost is measured beside the epoch
that it follows; since a training takes at most one a second, its share of the time is at most the sample's own seconds.

    python benchmarks/system_metrics.py [--quick] [--pictures 160] [--epochs 60]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from deepcolor.coloring.timing import draw_data
from deepcolor.config.schema import DataConfig, InitConfig, ModelConfig, Setting, TrainingConfig
from deepcolor.data.cache.arrays import CachedData
from deepcolor.memory import keep_freed_memory
from deepcolor.training.system_metrics import EVERY_S, SystemMetrics
from deepcolor.training.training import Training, job_of
from deepcolor.training.trajectory import Trajectory

SIZE_PX, FEATURE_MAPS = 128, 3


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=160, help="drawn; 8 of 10 are trained on")
    parser.add_argument("--epochs", type=int, default=60, help="with a sample after each")
    parser.add_argument("--quick", action="store_true", help="few pictures, five epochs")
    options = parser.parse_args()
    if options.quick:
        options.pictures, options.epochs = 30, 5
    keep_freed_memory()
    config = DataConfig(name="faces", size_px=SIZE_PX)
    with TemporaryDirectory() as name:
        cache = draw_data(Path(name), config, pictures=options.pictures)
        epochs_s, samples_s = _measured(config, cache, epochs=options.epochs)
    sample_s, worst_s, epoch_s = statistics.median(samples_s), max(samples_s), statistics.median(epochs_s)
    rows = [
        ["milliseconds of a sample, median", f"{1000 * sample_s:.2f}", "-"],
        ["milliseconds of a sample, worst", f"{1000 * worst_s:.2f}", "-"],
        ["milliseconds of an epoch", f"{1000 * epoch_s:.0f}", "-"],
        ["share of the time, with one sample a second", f"{sample_s / EVERY_S:.3%}", "1 %"],
        ["share of this epoch, with a sample after each", f"{sum(samples_s) / sum(epochs_s):.3%}", "-"],
    ]
    report = {
        "title": "What a training takes of its machine",
        "about": (
            f"The system metrics of a process that trains a regressor of {FEATURE_MAPS} feature maps on "
            f"{options.pictures} drawn portraits, sampled after each of {options.epochs} epochs; a training takes one "
            "sample a second at most."
        ),
        "table": {"header": ["measured", "result", "aim"], "rows": rows},
        "results": {"sample_s": sample_s, "worst_sample_s": worst_s, "epoch_s": epoch_s, "every_s": EVERY_S},
        "options": vars(options),
    }
    print(json.dumps(report, indent=2))


def _measured(config: DataConfig, cache: Path, *, epochs: int) -> tuple[list[float], list[float]]:
    """Seconds of each epoch, and of the sample after it."""
    torch.set_num_threads(1)
    setting = Setting(
        stage="regressor",
        data=config,
        model=ModelConfig(feature_maps=FEATURE_MAPS),
        training=TrainingConfig(epochs=epochs, batch_size=32, lr=1e-3),
        init=InitConfig(),
    )
    trajectory = Trajectory(setting, data_digest=CachedData.open(cache).digest)
    training = Training.begin(trajectory, job_of(trajectory, folder=cache, device="cpu"))
    system = SystemMetrics(every_s=0)
    epochs_s, samples_s = [], []
    for _ in range(epochs):
        epochs_s.append(training.train_epoch().epoch_s)
        started = time.perf_counter()
        assert system.sample()
        samples_s.append(time.perf_counter() - started)
    return epochs_s, samples_s


if __name__ == "__main__":
    main()
