"""How much slower deepcolor's loop is than a bare PyTorch loop over float32 tensors in memory.

Both train the same network on the same pictures, and validate it, epoch by epoch in turn; what is printed are ratios
measured in the same run. `epoch` is one epoch of `Session.train_epoch` against one of the bare loop; `advance` is a
whole segment, checkpoint included, against as many bare epochs, and the seconds its result folder takes.

    python benchmarks/loop_overhead.py [--quick] [--pictures 160] [--rounds 7] [--threads 1 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from deepcolor.color import normalise_ab
from deepcolor.coloring.timing import draw_data
from deepcolor.config.schema import DataConfig, InitConfig, ModelConfig, Setting, TrainingConfig
from deepcolor.data.cache.arrays import CachedData, Split
from deepcolor.execution.devices import cores
from deepcolor.memory import keep_freed_memory
from deepcolor.models import build
from deepcolor.training.advance import advance
from deepcolor.training.training import Training, job_of
from deepcolor.training.trajectory import Segment, Trajectory

SIZE_PX, BATCH_SIZE, LR, FEATURE_MAPS = 128, 32, 1e-3, 3
STAGES: tuple[str, ...] = ("regressor", "colorizer")


def main() -> None:
    """Measure both stages and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pictures", type=int, default=160, help="drawn; 8 of 10 are trained on, with five copies each"
    )
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each loop, in turn")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, cores()}), help="of torch, one or several")
    parser.add_argument("--quick", action="store_true", help="few pictures, three rounds")
    options = parser.parse_args()
    if options.quick:
        options.pictures, options.rounds = 30, 3
    keep_freed_memory()  # As a process that trains does; both loops gain by it.
    config = DataConfig(name="faces", size_px=SIZE_PX)
    with TemporaryDirectory() as name:
        folder = Path(name)
        cache = draw_data(folder, config, pictures=options.pictures)
        results = [
            _compare(stage, cache, config, folder / f"{stage}-{threads}", threads=threads, rounds=options.rounds)
            for stage in STAGES
            for threads in options.threads
        ]
    print(json.dumps(_report(results, vars(options)), indent=2))


def _report(results: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
    header = [
        "stage",
        "threads",
        "bare epoch (s)",
        "epoch (s)",
        "ratio",
        "ratio of the fastest",
        "whole segment, ratio",
    ]
    keys = ("stage", "threads", "bare_epoch_s", "epoch_s", "epoch_ratio", "epoch_ratio_of_fastest", "advance_ratio")
    return {
        "title": "The loop against a bare PyTorch loop",
        "about": (
            f"An epoch of the training loop, validation included, against one of a bare loop over float32 tensors in "
            f"memory; same network ({FEATURE_MAPS} feature maps), same {options['pictures']} drawn portraits with five "
            f"copies each, in turn; medians of {options['rounds']}. A whole segment has its checkpoint in it. Below 1 "
            "is faster than bare; the aim is at most 1.05."
        ),
        "table": {"header": header, "rows": [[str(result[key]) for key in keys] for result in results]},
        "results": {"comparisons": results},
        "options": options,
    }


def _compare(stage: str, cache: Path, config: DataConfig, folder: Path, *, threads: int, rounds: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    data = CachedData.open(cache)
    setting = Setting(
        stage=stage,
        data=config,
        model=ModelConfig(feature_maps=FEATURE_MAPS),
        training=TrainingConfig(epochs=rounds, lr=LR, batch_size=BATCH_SIZE),
        init=InitConfig(),
    )
    trajectory = Trajectory(setting, data_digest=data.digest)
    training = Training.begin(trajectory, job_of(trajectory, folder=cache, device="cpu"))
    bare = bare_loop(stage, data)
    for warm_up in (bare, training.train_epoch):
        warm_up()
    # In turn, so that whatever else the machine does falls on both alike.
    pairs = [(_seconds(bare), _seconds(training.train_epoch)) for _ in range(rounds)]
    bare_s = statistics.median(pair[0] for pair in pairs)
    # Once outside of the clock: a worker process imports what it needs for pictures and figures only once.
    advance(Segment(trajectory, to_epoch=1, patience=None, store=folder / "warm", cache=cache, device="cpu"))
    segment = Segment(trajectory, to_epoch=rounds, patience=None, store=folder / "store", cache=cache, device="cpu")
    started = time.perf_counter()
    outcome = advance(segment)
    advance_s = time.perf_counter() - started
    return {
        "stage": stage,
        "threads": threads,
        "train_images": len(data.train),
        "bare_epoch_s": round(bare_s, 4),
        "epoch_s": round(statistics.median(pair[1] for pair in pairs), 4),
        "epoch_ratio": round(statistics.median(ours / theirs for theirs, ours in pairs), 3),
        "epoch_ratio_of_fastest": round(min(pair[1] for pair in pairs) / min(pair[0] for pair in pairs), 3),
        "advance_ratio": round(outcome.train_s / (bare_s * rounds), 3),
        "advance_result_s": round(advance_s - outcome.train_s, 3),
    }


def bare_loop(stage: str, data: CachedData) -> Callable[[], float]:
    """Return one epoch of the plainest loop: all data as float32 tensors in memory, targets scaled beforehand."""
    inputs, targets = _in_memory(stage, data.train)
    val_inputs, val_targets = _in_memory(stage, data.val)
    network = build("mean" if stage == "regressor" else "pixels", ModelConfig(feature_maps=FEATURE_MAPS), SIZE_PX)
    optimizer = torch.optim.Adam(network.parameters(), lr=LR)
    loss_of = nn.MSELoss()

    def epoch() -> float:
        network.train()
        for rows in torch.split(torch.randperm(len(inputs)), BATCH_SIZE):
            loss = loss_of(network(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(val_inputs), BATCH_SIZE):
                end = start + BATCH_SIZE
                total += float(loss_of(network(val_inputs[start:end]), val_targets[start:end])) * len(
                    val_inputs[start:end]
                )
        return total / len(val_inputs)

    return epoch


def _in_memory(stage: str, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    ab = split.mean_ab_N2 if stage == "regressor" else split.ab_N2HW.float()
    return split.lightness_N1HW.float(), normalise_ab(ab)


def _seconds(epoch: Callable[[], object]) -> float:
    started = time.perf_counter()
    epoch()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
