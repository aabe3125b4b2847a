"""The reports' grid with Optuna and MLflow alone, as their guides show it: what deepcolor's speed is measured against.

A Dataset decodes, crops, converts and augments each picture when it is asked for (with --cache: once, at the start); a
GridSampler walks the grid; each trial is a nested MLflow run with its metrics every epoch, its loss curve, sample sheet
and checkpoint. Nothing of deepcolor is used, so nothing of it can slow this down.

    python benchmarks/peers/plain_grid.py PICTURES OUT --stage regressor --epochs 1 2 3 [--cache]
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import mlflow
import numpy as np
import optuna
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset
from torchvision.transforms import v2

GROWTH = {"constant": (1, 1, 1, 1, 1, 1), "double": (1, 2, 4, 8, 8, 16)}


class Photos(Dataset[tuple[Tensor, Tensor]]):
    """L* in [0, 1], and a*, b* as (value + 128) / 255."""

    def __init__(self, paths: list[Path], *, size: int, transform: Any = None, cache: bool = False) -> None:
        self.paths, self.size, self.transform = paths, size, transform
        self.kept = [self.read(path) for path in paths] if cache else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.read(self.paths[index]) if self.kept is None else self.kept[index]

    def read(self, path: Path) -> tuple[Tensor, Tensor]:
        bgr = cv2.imread(str(path))
        assert bgr is not None, path
        height, width = bgr.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = cv2.resize(bgr[top : top + side, left : left + side], (self.size, self.size))
        rgb = torch.from_numpy(cv2.cvtColor(square, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
        if self.transform is not None:
            rgb = self.transform(rgb)
        lab = cv2.cvtColor(rgb.permute(1, 2, 0).numpy().astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        channels = torch.from_numpy(lab).permute(2, 0, 1)
        return channels[:1] / 100, (channels[1:] + 128) / 255


def network(stage: str, feature_maps: int, growth: str) -> nn.Module:
    widths = [feature_maps * factor for factor in GROWTH[growth]]
    layers: list[nn.Module] = []
    for before, after in zip([1, *widths], widths, strict=False):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.01)]
    if stage == "regressor":
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * 4, 2), nn.Sigmoid())
    narrowing = widths[::-1]
    for before, after in pairwise(narrowing):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(narrowing[-1], 2, 4, 2, 1), nn.Sigmoid())


def run(options: argparse.Namespace) -> dict[str, Any]:
    paths = sorted(path for path in options.pictures.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    order = np.random.RandomState(0).permutation(len(paths))[: options.limit]
    cut = int(0.9 * len(order))
    training, validation = [paths[i] for i in order[:cut]], [paths[i] for i in order[cut:]]
    augment = v2.Compose(
        [
            v2.RandomCrop(options.size, padding=8, padding_mode="reflect"),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.RandomRotation(15),
            v2.RandomAdjustSharpness(2.0),
        ]
    )
    sets = [Photos(training, size=options.size, cache=options.cache)]
    sets += [Photos(training, size=options.size, transform=augment, cache=options.cache) for _ in range(5)]
    train: DataLoader[Any] = DataLoader(ConcatDataset(sets), batch_size=32, shuffle=True)
    val: DataLoader[Any] = DataLoader(Photos(validation, size=options.size, cache=options.cache), batch_size=32)
    space = {"lr": options.lr, "epochs": options.epochs, "weight_decay": options.weight_decay}
    trained = 0

    def target(ab: Tensor) -> Tensor:
        return ab.mean((2, 3)) if options.stage == "regressor" else ab

    def objective(trial: optuna.Trial) -> float:
        nonlocal trained
        params = {name: trial.suggest_categorical(name, values) for name, values in space.items()}
        torch.manual_seed(0)
        model = network(options.stage, options.feature_maps, options.growth)
        optimizer = torch.optim.Adam(model.parameters(), lr=params["lr"], weight_decay=params["weight_decay"])
        curve: list[float] = []
        with mlflow.start_run(run_name=f"trial-{trial.number}", nested=True):
            mlflow.log_params(params)
            for epoch in range(params["epochs"]):
                model.train()
                total = count = 0.0
                for lightness, ab in train:
                    loss = nn.functional.mse_loss(model(lightness), target(ab))
                    optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]  # torch's own
                    optimizer.step()
                    total, count = total + loss.item() * len(ab), count + len(ab)
                model.eval()
                with torch.no_grad():
                    errors = [((model(x) - target(y)) ** 2).mean().item() * len(y) for x, y in val]
                curve.append(sum(errors) / len(validation))
                mlflow.log_metrics({"train_mse": total / count, "val_mse": curve[-1]}, step=epoch)
                trained += 1
            log_artifacts(model, curve, val, options, trial.number)
        return curve[-1]

    mlflow.set_tracking_uri(f"sqlite:///{options.out.resolve()}/mlflow.db")
    mlflow.create_experiment("grid", artifact_location=(options.out / "artifacts").resolve().as_uri())
    mlflow.set_experiment("grid")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{options.out.resolve()}/optuna.db"
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.GridSampler(space))
    started = time.perf_counter()
    with mlflow.start_run(run_name="grid"):
        study.optimize(objective)
    return {
        "wall_s": round(time.perf_counter() - started, 2),
        "trials": len(study.trials),
        "trained_epochs": trained,
        "best_params": study.best_params,
        "best_value": study.best_value,
    }


def log_artifacts(
    model: nn.Module, curve: list[float], val: DataLoader[Any], options: argparse.Namespace, number: int
) -> None:
    folder = options.out / f"trial-{number}"
    folder.mkdir()
    figure = Figure()
    figure.subplots().plot(curve)
    figure.savefig(folder / "loss.png")
    if options.stage == "colorizer":
        lightness, ab = next(iter(val))
        with torch.no_grad():
            guesses = model(lightness[:8])
        rows = [
            np.concatenate([coloured(x, colours) for colours in (torch.full_like(y, 128 / 255), y, guess)], axis=1)
            for x, y, guess in zip(lightness[:8], ab[:8], guesses, strict=True)
        ]
        cv2.imwrite(str(folder / "samples.png"), np.concatenate(rows)[..., ::-1] * 255)
    torch.save(model.state_dict(), folder / "model.pth")
    mlflow.log_artifacts(str(folder))


def coloured(lightness: Tensor, ab: Tensor) -> Any:
    lab = torch.cat([lightness * 100, ab * 255 - 128]).permute(1, 2, 0).numpy()
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--stage", choices=["regressor", "colorizer"], default="regressor")
    parser.add_argument("--lr", type=float, nargs="+", default=[1e-3, 1e-4, 1e-1])
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--weight-decay", type=float, nargs="+", default=[0.0, 1e-5, 1e-6])
    parser.add_argument("--feature-maps", type=int, default=3)
    parser.add_argument("--growth", choices=list(GROWTH), default="constant")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--cache", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True)
    print(json.dumps(run(arguments)))
