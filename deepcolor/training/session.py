"""One trajectory at one epoch, in memory: the network, its optimizer, the history, the best weights so far.

Everything an epoch computes follows from this state and from (seed, epoch), so it makes no difference where a training
was cut.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import safetensors.torch
import torch
from torch import Tensor

from deepcolor.data.cache.arrays import CachedData
from deepcolor.errors import DataError, ModelError
from deepcolor.models.modelfile import load_model
from deepcolor.models.networks import Network, build, build_from, load_encoder
from deepcolor.plugins import Code
from deepcolor.training.checkpoint import Record
from deepcolor.training.conditions import Conditions
from deepcolor.training.loss import build_loss
from deepcolor.training.metrics import evaluate
from deepcolor.training.optimizer import build_optimizer, lr_at, optimizer_tensors, restore_optimizer, set_lr
from deepcolor.training.trajectory import EpochMetrics, Trajectory

_NETWORK, _OPTIMIZER, _BEST = "network/", "optimizer/", "best/"
_EPOCH_SEED_FACTOR = 1_000_003


class Session:
    """Trains a trajectory epoch after epoch; between two epochs it can go into a checkpoint and come back from one."""

    def __init__(
        self, trajectory: Trajectory, *, network: Network, data: CachedData, device: torch.device, code: Path | None
    ) -> None:
        _check_data(trajectory, data)
        if trajectory.setting.init.freeze == "encoder":
            network.freeze_encoder()
        self.trajectory = trajectory
        self.data = data
        self.device = device
        self.network = network.to(device)
        brought = Code(trajectory.setting.code, code or Path())
        training = trajectory.setting.training
        self.optimizer = build_optimizer(self.network, training, code=brought)
        self.loss = build_loss(training.loss, span=network.span, device=device, code=brought)
        self.history: list[EpochMetrics] = []
        self.best_epoch = 0
        self.threads: set[int] = set()
        """The numbers of CPU threads that its epochs were trained with."""
        self._best: dict[str, Tensor] = {}

    @classmethod
    def begin(cls, trajectory: Trajectory, *, data: CachedData, device: torch.device, code: Path | None = None) -> Self:
        """Start before the first epoch.

        Args:
            trajectory: What is trained.
            data: Of the trajectory.
            device: Where to train.
            code: See `Segment.code`.
        Raises:
            DataError: The data is not that of the trajectory, or is too little.
            ModelError: The weights to start from are not those that were pinned, or do not fit.
            CodeError: Code that the setting names is gone, is not what it was, or does not fit.
        """
        network = initial_network(trajectory, size_px=data.size_px)
        return cls(trajectory, network=network, data=data, device=device, code=code)

    @classmethod
    def resume(
        cls,
        trajectory: Trajectory,
        *,
        record: Record,
        content: bytes,
        data: CachedData,
        device: torch.device,
        code: Path | None = None,
    ) -> Self:
        """Start from a checkpoint; what the training once started from is not needed any more.

        Args:
            trajectory: That the checkpoint belongs to.
            record: Of the checkpoint.
            content: Its safetensors file, checked already.
            data: Of the trajectory.
            device: Where to train.
            code: See `Segment.code`.
        Raises:
            DataError: The data is not that of the trajectory, or is too little.
            CodeError: See `begin`.
        """
        tensors = safetensors.torch.load(content)
        weights = _part(tensors, _NETWORK)
        network = build_from(trajectory.stage, trajectory.model, data.size_px, weights=weights, device=device)
        session = cls(trajectory, network=network, data=data, device=device, code=code)
        restore_optimizer(session.optimizer, network, _part(tensors, _OPTIMIZER))
        session.history, session.best_epoch = list(record.history), record.best_epoch
        session.threads = set(record.threads)
        best = _part(tensors, _BEST) or weights
        session._best = {name: value.to(device, copy=True) for name, value in best.items()}
        return session

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    def train_epoch(self, *, recorded: Sequence[EpochMetrics] = ()) -> EpochMetrics:
        """Train and validate one more epoch.

        Args:
            recorded: The trajectory's epochs as far as they were recorded before; where this one gives the same figures
                again, it keeps its recorded times, so that nothing downstream sees it twice.
        """
        epoch, started = self.epoch + 1, time.perf_counter()
        set_lr(self.optimizer, lr_at(self.trajectory.setting.training, epoch=epoch))
        train_loss = self._train_batches(epoch)
        batch_size = Conditions.of(self.trajectory.setting.training, threads=None).batch_size
        figures = evaluate(self.network, self.data.val, device=self.device, batch_size=batch_size)
        row = EpochMetrics(
            epoch=epoch,
            metrics={
                **self._trained(train_loss),
                **{f"val/{name}": figures[name] for name in ("mse", "mse_a", "mse_b")},
            },
            epoch_s=time.perf_counter() - started,
            time_ms=max(time.time_ns() // 1_000_000, self.history[-1].time_ms if self.history else 0),
        )
        if len(recorded) >= epoch and recorded[epoch - 1].metrics == row.metrics:
            row = recorded[epoch - 1]
        self.history.append(row)
        self.threads.add(torch.get_num_threads())
        self._remember_best()
        return row

    def weights(self, epoch: int) -> dict[str, Tensor] | None:
        """Return the network's state after `epoch` epochs, if it is the present or the best one so far."""
        if epoch == self.epoch:
            return dict(self.network.state_dict())
        return dict(self._best) if epoch == self.best_epoch else None

    def record(self, *, kept: bool) -> Record:
        """What a checkpoint of this state says about itself."""
        return Record(tuple(self.history), self.best_epoch, kept=kept, threads=tuple(sorted(self.threads)))

    def tensors(self) -> bytes:
        """The state as a safetensors file; the same state gives the same bytes."""
        best = self._best if self.best_epoch != self.epoch else {}  # Not twice, where the present weights are the best.
        tensors = {
            **{_NETWORK + name: value for name, value in self.network.state_dict().items()},
            **{_OPTIMIZER + name: value for name, value in optimizer_tensors(self.optimizer, self.network).items()},
            **{_BEST + name: value for name, value in best.items()},
        }
        return safetensors.torch.save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})

    def _train_batches(self, epoch: int) -> float:
        """Train one pass over the training images; return the mean loss in the units of the output."""
        training = self.trajectory.setting.training
        amp = training.mixed_precision and self.device.type == "cuda"
        network, train = self.network.train(), self.data.train
        # Summed where it is computed: asking for the loss of every batch would make the GPU wait each time.
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        with self._random_of(epoch):
            for rows in batches(len(train), batch_size=training.batch_size, seed=training.seed, epoch=epoch):
                lightness_B1HW, ab = train.batch(rows, seed=training.seed, epoch=epoch, target=network.target)
                self.optimizer.zero_grad()
                with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=amp):
                    output = network(lightness_B1HW)
                loss = self.loss(output.float(), network.native_target(ab))
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
                self.optimizer.step()
                total.add_(loss.detach(), alpha=len(rows))
        return float(total.item() / len(train))

    def _trained(self, loss: float) -> dict[str, float]:
        """The metric of the training itself; the squared error has the units of every other one."""
        if self.trajectory.setting.training.loss == "mse":
            return {"train/mse": loss / self.network.span**2}
        return {"train/loss": loss}

    @contextmanager
    def _random_of(self, epoch: int) -> Iterator[None]:
        """Let a user's code draw from torch's generators what follows from (seed, epoch); nothing else draws there."""
        setting = self.trajectory.setting
        if not setting.code:
            yield
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(_epoch_seed(setting.training.seed, epoch))
            yield

    def _remember_best(self) -> None:
        objective = self.trajectory.objective
        best = self.history[self.best_epoch - 1].metrics[objective.metric] if self.best_epoch else objective.worst
        if objective.loss(self.history[-1].metrics[objective.metric]) < objective.loss(best):
            self.best_epoch = self.epoch
            self._best = {key: value.detach().clone() for key, value in self.network.state_dict().items()}


def batches(count: int, *, batch_size: int, seed: int, epoch: int) -> tuple[Tensor, ...]:
    """Shuffle the rows of the training images into batches, from (seed, epoch) alone.

    Args:
        count: Training images, augmented copies included.
        batch_size: Of each batch but the last; one left-over image joins the batch before it, as batch norm needs two.
        seed: Of the setting.
        epoch: The first one is 1.
    Returns:
        int64 tensors on the CPU, each row once.
    """
    generator = torch.Generator().manual_seed(_epoch_seed(seed, epoch))
    parts = torch.split(torch.randperm(count, generator=generator), batch_size)
    if len(parts) > 1 and len(parts[-1]) == 1:
        return (*parts[:-2], torch.cat(parts[-2:]))
    return parts


def _epoch_seed(seed: int, epoch: int) -> int:
    return seed * _EPOCH_SEED_FACTOR + epoch


def initial_network(trajectory: Trajectory, *, size_px: int) -> Network:
    """Build the network a trajectory starts from: random weights from the seed, then those of its `init`.

    Args:
        trajectory: Its `init`, if any, names a model folder.
        size_px: Side of the training pictures.
    Returns:
        The network, on the CPU.
    Raises:
        ModelError: The model of `init` is not the one that was pinned, or does not fit.
    """
    setting = trajectory.setting
    # Drawn on the CPU, so that a GPU starts from the same weights; the global generator stays as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.training.seed)
        network = build(setting.stage, setting.model, size_px)
    if trajectory.init is not None:
        _load_init(network, trajectory)
    return network


def _load_init(network: Network, trajectory: Trajectory) -> None:
    init = trajectory.init
    assert init is not None
    parent, description = load_model(init.folder)
    where = f"{init.ref} ({init.folder})"
    if description.weights_sha256 != init.sha256:
        raise ModelError(
            f"init_from: the weights must be those the training was planned with, SHA-256 {init.sha256[:12]}...; "
            f"got {description.weights_sha256[:12]}... in {where}. Start the sweep again."
        )
    if trajectory.stage != "transfer":
        load_encoder(network, parent.state_dict())
    elif description.stage == "regressor" or description.model != trajectory.model:
        raise ModelError(
            f"init_from: a transfer must have the form of the model it starts from, {description.stage} "
            f"{_form(parent)}; got {_form(network)}; {where}. Leave the model section out to take it over."
        )
    else:
        network.load_state_dict(parent.state_dict())


def _form(network: Network) -> str:
    return " ".join(f"{key}={value}" for key, value in network.model.model_dump().items())


def _check_data(trajectory: Trajectory, data: CachedData) -> None:
    if data.digest != trajectory.data_digest or data.size_px != trajectory.setting.data.size_px:
        raise DataError(
            f"data cache: must hold the data of the training, digest {trajectory.data_digest[:12]}, "
            f"{trajectory.setting.data.size_px} px; got {data.digest[:12]}, {data.size_px} px. "
            "Prepare the data set again."
        )
    if len(data.train) < 2 or len(data.val) < 1:
        raise DataError(
            f"data: training needs at least 2 training images and 1 validation image; got {len(data.train)} and "
            f"{len(data.val)}. Add pictures, or change the splits."
        )


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
