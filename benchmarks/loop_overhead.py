"""How much slower deepcolor's loop is than a bare PyTorch loop over float32 tensors in memory.

Both train the same network on the same pictures, and validate it, epoch by epoch in turn; what is printed are ratios
measured in the same run. `epoch` is one epoch of `Session.train_epoch` against one of the bare loop; `advance` is a
whole segment, checkpoint included, against as many bare epochs, and the seconds its result folder takes.

    python benchmarks/loop_overhead.py [--pictures 160] [--rounds 7] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from deepcolor.color import normalise_ab
from deepcolor.config.schema import DataConfig, InitConfig, ModelConfig, Setting, Stage, TrainingConfig
from deepcolor.data.cache import CachedData, Split
from deepcolor.data.drawn import draw_set
from deepcolor.data.manifest import prepare
from deepcolor.data.stored import ensure_cache
from deepcolor.models import build
from deepcolor.training.advance import advance
from deepcolor.training.session import Session
from deepcolor.training.trajectory import Segment, Trajectory
from deepcolor.workspace import Workspace

SIZE_PX, BATCH_SIZE, LR = 128, 32, 1e-3
STAGES: tuple[Stage, ...] = ("regressor", "colorizer")


def main() -> None:
    """Measure both stages and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pictures", type=int, default=160, help="drawn; 8 of 10 are trained on, with five copies each"
    )
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each loop, in turn")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with TemporaryDirectory() as folder:
        cache, config = _drawn(Path(folder), pictures=options.pictures)
        report = {stage: _compare(stage, cache, config, Path(folder), rounds=options.rounds) for stage in STAGES}
    print(json.dumps({**vars(options), "torch": torch.__version__, **report}, indent=2))


def _drawn(folder: Path, *, pictures: int) -> tuple[Path, DataConfig]:
    draw_set("faces", folder / "pictures", count=pictures, size_px=SIZE_PX, seed=0)
    workspace = Workspace.at(folder).create()
    manifest = prepare(folder / "pictures", name="faces", workspace=workspace)
    config = DataConfig(name="faces", size_px=SIZE_PX)
    return ensure_cache(workspace, manifest, config), config


def _compare(stage: Stage, cache: Path, config: DataConfig, folder: Path, *, rounds: int) -> dict[str, float]:
    data = CachedData.open(cache)
    setting = Setting(
        stage=stage,
        data=config,
        model=ModelConfig(feature_maps=3),
        training=TrainingConfig(epochs=rounds, lr=LR, batch_size=BATCH_SIZE),
        init=InitConfig(),
    )
    trajectory = Trajectory(setting, data_digest=data.digest)
    session = Session.begin(trajectory, data=data, device=torch.device("cpu"))
    bare = bare_loop(stage, data)
    for warm_up in (bare, session.train_epoch):
        warm_up()
    # In turn, so that whatever else the machine does falls on both alike.
    pairs = [(_seconds(bare), _seconds(session.train_epoch)) for _ in range(rounds)]
    bare_s = statistics.median(pair[0] for pair in pairs)
    # Once outside of the clock: a worker process imports what it needs for pictures and figures only once.
    advance(Segment(trajectory, to_epoch=1, patience=None, store=folder / "warm", cache=cache, device="cpu"))
    segment = Segment(trajectory, to_epoch=rounds, patience=None, store=folder / "store", cache=cache, device="cpu")
    started = time.perf_counter()
    outcome = advance(segment)
    advance_s = time.perf_counter() - started
    return {
        "train_images": len(data.train),
        "bare_epoch_s": round(bare_s, 4),
        "epoch_s": round(statistics.median(pair[1] for pair in pairs), 4),
        "epoch_ratio": round(statistics.median(ours / theirs for theirs, ours in pairs), 3),
        "epoch_ratio_of_fastest": round(min(pair[1] for pair in pairs) / min(pair[0] for pair in pairs), 3),
        "advance_train_ratio": round(outcome.train_s / (bare_s * rounds), 3),
        "advance_result_s": round(advance_s - outcome.train_s, 3),
    }


def bare_loop(stage: Stage, data: CachedData) -> Callable[[], float]:
    """Return one epoch of the plainest loop: all data as float32 tensors in memory, targets scaled beforehand."""
    inputs, targets = _in_memory(stage, data.train)
    val_inputs, val_targets = _in_memory(stage, data.val)
    network = build(stage, ModelConfig(feature_maps=3), SIZE_PX)
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


def _in_memory(stage: Stage, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    ab = split.mean_ab_N2 if stage == "regressor" else split.ab_N2HW.float()
    return split.lightness_N1HW.float(), normalise_ab(ab)


def _seconds(epoch: Callable[[], object]) -> float:
    started = time.perf_counter()
    epoch()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
