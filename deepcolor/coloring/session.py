"""Trains a network that colours: the session of all three stages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.nn.utils import clip_grad_norm_

from deepcolor.coloring.average import Average
from deepcolor.coloring.loss import Criterion, build_criterion
from deepcolor.coloring.measuring import evaluate, image_errors, picture_figures
from deepcolor.coloring.optimizer import (
    build_optimizer,
    changes_within_epochs,
    lr_at,
    optimizer_tensors,
    restore_optimizer,
    set_lr,
)
from deepcolor.coloring.own_metrics import Metric, Sums, load_metrics
from deepcolor.coloring.recording import Gradients, Work
from deepcolor.coloring.samples import contact_sheet, extremes_sheet
from deepcolor.coloring.sheet import webp
from deepcolor.coloring.slices import sliced_epoch_s
from deepcolor.config.sections import DataConfig, InitConfig, ModelConfig, TrainingConfig
from deepcolor.data.cache.arrays import CachedData, Split
from deepcolor.data.geometric import Geometric
from deepcolor.errors import DataError, ModelError
from deepcolor.fields.named import NETWORKS, public_names
from deepcolor.models.encoder_weights import begin_with
from deepcolor.models.modelfile import load_model
from deepcolor.models.networks import Colorizer, Network, Target, build, build_from, load_encoder, put_on
from deepcolor.stages.sections import ModelSection
from deepcolor.stages.session import Arrays, Job, Result, Session
from deepcolor.training.conditions import Conditions
from deepcolor.training.device import computes_in_bfloat16
from deepcolor.training.result_files import CATEGORIES_FILE, EXTREMES_FILE, SAMPLES_FILE

_NETWORK, _OPTIMIZER, _AVERAGE = "network/", "optimizer/", "average/"
_EPOCH_SEED_FACTOR = 1_000_003


class NetworkSession(Session):
    """Trains a network on the pictures of a decoded data set."""

    framework = "torch"
    network: Network
    criterion: Criterion
    average: Average | None
    optimizer: torch.optim.Optimizer
    _own_metrics: dict[str, Metric]
    _gradients: Gradients

    def __init__(self, job: Job, *, target: Target, whole: bool = False) -> None:
        """Take a job.

        Args:
            job: Its sections are those of the shipped stages.
            target: What the network predicts.
            whole: Whether it starts from all weights of its parent, not from its encoder alone.
        """
        super().__init__(job)
        self.target = target
        self.whole = whole
        self.device = torch.device(job.device)
        self.model = cast(ModelConfig, job.model)
        self.training = cast(TrainingConfig, job.training)
        geometry = cast(DataConfig, job.data).augment.geometry
        self._geometric = Geometric(geometry) if geometry is not None else None

    @cached_property
    def data(self) -> CachedData:
        """Opened on first use.

        Raises:
            DataError: It is not that of the job, or is too little.
        """
        data = CachedData.open(self.job.folder, device=str(self.device))
        _check_data(self.job, data)
        return data

    def begin(self) -> None:
        """Build the network from random weights, and then those of its parent."""
        network = initial_network(self.job, target=self.target, size_px=self.data.size_px, whole=self.whole)
        if isinstance(network, Colorizer) and network.bins is not None:
            network.bins.balance(_colours(self.data.train), uniform=self.training.rebalance)
        self._train(put_on(network, self.device), averaged=network.state_dict())

    def restore(self, state: Arrays) -> None:
        """Take network and optimizer out of a checkpoint."""
        weights = _part(state, _NETWORK)
        network = self._built_from(weights)
        self._train(network, averaged=_part(state, _AVERAGE))
        restore_optimizer(self.optimizer, network, _part(state, _OPTIMIZER))

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """Train one pass over the training pictures, copies included, and validate."""
        train_loss = self._train_batches(epoch)
        batch_size = Conditions.of(self.training, threads=None).batch_size
        figures = evaluate(
            self._judged, self.data.val, device=self.device, batch_size=batch_size, metrics=self._own_metrics
        )
        return {**self._trained(train_loss), **{f"val/{name}": value for name, value in figures.items()}}

    def state(self) -> Arrays:
        """Return the weights of the network and what the optimizer remembers."""
        optimizer = optimizer_tensors(self.optimizer, self.network)
        return {
            **{_NETWORK + name: value for name, value in self.network.state_dict().items()},
            **{_OPTIMIZER + name: value for name, value in optimizer.items()},
            **{_AVERAGE + name: value for name, value in (self.average.tensors() if self.average else {}).items()},
        }

    def weights(self) -> Arrays:
        """Return the weights of the network, or their average."""
        return dict(self._judged.state_dict())

    @property
    def _judged(self) -> Network:
        """What is measured and saved."""
        return self.network if self.average is None else self.average.network

    def finish(self, weights: Arrays, *, label: str) -> Result:
        """Compare what these weights make of the validation pictures with the originals, and show some of them."""
        data = self.data
        network = self._built_from(weights)
        measured = picture_figures(network, data.val, device=self.device)
        figures = measured.means()
        own = load_metrics(public_names(self.training.final_metrics, prefix=""), code=self.job.code)
        if own:
            sums = Sums(own, device=self.device)
            image_errors(network, data.val, device=self.device, sums=sums)
            figures |= sums.means()
        files = {
            SAMPLES_FILE: contact_sheet(network, data.val, title=label),
            EXTREMES_FILE: extremes_sheet(network, data.val, psnr_db=measured.psnr_db, title=label),
        }
        table = measured.by_category(data.val.names)
        return Result(figures, files if table is None else {**files, CATEGORIES_FILE: table})

    def samples(self, weights: Arrays, *, label: str) -> bytes:
        """Draw what these weights make of the pictures that every trial shows."""
        return contact_sheet(self._built_from(weights), self.data.val, title=label, encoded=webp)

    def timed_epoch_s(self) -> float:
        """Measure a thin slice of an epoch, the same pictures and copies, fewer of them.

        Where the first epochs are trained at half size it is the mean over all epochs.
        """
        epochs, small = self.training.epochs, self.training.half_size_epochs
        parts = [(1, small), (small + 1, epochs - small)]
        return sum(self._sliced_epoch_s(epoch) * count / epochs for epoch, count in parts if count)

    def _sliced_epoch_s(self, epoch: int) -> float:
        def one_epoch(data: CachedData) -> float:
            before, self.data = self.data, data
            started = time.perf_counter()
            self.train_epoch(epoch)
            self.data = before
            return time.perf_counter() - started

        return sliced_epoch_s(one_epoch, self.data, batch_size=self.training.batch_size)

    def _built_from(self, weights: Arrays) -> Network:
        size_px, code = self.data.size_px, self.job.code
        return build_from(self.target, self.model, size_px, weights=weights, device=self.device, code=code)

    def _train(self, network: Network, *, averaged: Mapping[str, Tensor]) -> None:
        network.dropout = self.training.dropout
        if cast(InitConfig, self.job.init).freeze == "encoder":
            network.freeze_encoder()
        self.network = network
        self.optimizer = build_optimizer(network, self.training, code=self.job.code)
        self._own_metrics = load_metrics(public_names(self.training.metrics, prefix=""), code=self.job.code)
        self.criterion = build_criterion(network, self.training, device=self.device, code=self.job.code)
        keep = self.training.ema
        self.average = Average(self._built_from(averaged), of=network, keep=keep) if keep is not None else None
        on_gpu = self.device.type == "cuda"
        amp = self.training.mixed_precision and computes_in_bfloat16(self.device)
        self._gradients = Gradients(
            _work(network, self.criterion, device=self.device, amp=amp),
            network.parameters(),
            batch_size=self.training.batch_size,
            # What a user's code does is not known, and what is left out at random is drawn anew each time.
            recorded=on_gpu and not self._draws,
        )

    def _train_batches(self, epoch: int) -> float:
        """Train one pass over the training images; return the mean loss in the units of the output."""
        training = self.training
        network, train = self.network.train(), self.data.train
        # Summed where it is computed: asking for the loss of every batch would make the GPU wait each time.
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        parts = batches(len(train), batch_size=training.batch_size, seed=training.seed, epoch=epoch)
        steadily = not changes_within_epochs(training)
        with self._random_of(epoch):
            for step, rows in enumerate(parts):
                if step == 0 or not steadily:
                    lr = lr_at(training, epoch=epoch, done=step / len(parts))
                    set_lr(self.optimizer, lr, encoder=training.encoder_lr)
                lightness_B1HW, ab = self._batch(train, rows, epoch=epoch, target=network.trained_on)
                loss = self._gradients.of(lightness_B1HW, ab)
                if training.clip_norm is not None:
                    clip_grad_norm_(network.parameters(), training.clip_norm)
                self.optimizer.step()
                if self.average is not None:
                    self.average.follow((epoch - 1) * len(parts) + step)
                total.add_(loss, alpha=len(rows))
        return float(total.item() / len(train))

    def _batch(self, train: Split, rows: Tensor, *, epoch: int, target: Target) -> tuple[Tensor, Tensor]:
        seed = self.training.seed
        if self._geometric is None:
            lightness_B1HW, ab = train.batch(rows, seed=seed, epoch=epoch, target=target)
        else:
            lightness_B1HW, ab_B2HW = train.batch(rows, seed=seed, epoch=epoch, target="pixels")
            lightness_B1HW, ab_B2HW = self._geometric.changed(
                lightness_B1HW, ab_B2HW, rows=rows, count=len(train), seed=seed, epoch=epoch
            )
            ab = ab_B2HW.mean((2, 3)) if target == "mean" else ab_B2HW
        if epoch > self.training.half_size_epochs:
            return lightness_B1HW, ab
        return avg_pool2d(lightness_B1HW, 2), ab if target == "mean" else avg_pool2d(ab, 2)

    def _trained(self, loss: float) -> dict[str, float]:
        """The metric of the training itself; the squared error has the units of every other one."""
        if self.training.loss == "mse":
            return {"train/mse": loss / self.network.span**2}
        return {"train/loss": loss}

    @property
    def _draws(self) -> bool:
        """Whether a user's code may draw from torch's generators, or dropout does; nothing else draws there."""
        return bool(self.job.code.digests) or self.training.dropout > 0

    @contextmanager
    def _random_of(self, epoch: int) -> Iterator[None]:
        """Let what draws from torch's generators draw what follows from (seed, epoch)."""
        if not self._draws:
            yield
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(_epoch_seed(self.training.seed, epoch))
            yield


def _work(network: Network, criterion: Criterion, *, device: torch.device, amp: bool) -> Work:
    """What is done with every batch. It does not hold the session, whose memory a GPU needs back at once."""

    def work(lightness_B1HW: Tensor, ab: Tensor) -> Tensor:
        network.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=amp):
            output = network.trained(lightness_B1HW)
        value, recorded = criterion(output.float(), ab)
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        return recorded.detach()

    return work


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


def initial_network(job: Job, *, target: Target, size_px: int, whole: bool = False) -> Network:
    """Build the network a training starts from: random weights from the seed, then those of its parent.

    Args:
        job: Its `parent`, if any, names a model folder.
        target: What the network predicts.
        size_px: Side of the training pictures.
        whole: Whether it takes all weights of its parent, or the encoder alone.
    Returns:
        The network, on the CPU.
    Raises:
        ModelError: The parent is not the one that was pinned, or does not fit.
    """
    # Drawn on the CPU, so that a GPU starts from the same weights; the global generator stays as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.training.seed)
        network = build(target, cast(ModelConfig, job.model), size_px, code=job.code)
    if job.parent is not None:
        _load_parent(network, job, whole=whole)
        if cast(InitConfig, job.init).encoder_from == "weights":
            _begin_anew(network, job)
    elif network.model.encoder is not None and network.model.network in NETWORKS.shipped and job.weights is not None:
        begin_with(network.encoder_part, network.model, job.weights)
    return network


def _colours(train: Split) -> Iterator[Tensor]:
    """a*, b* of the training pictures, without their copies, in parts."""
    for ab_B2HW in torch.split(train.ab_N2HW[: len(train.names)], _COUNTED_AT_ONCE):
        yield ab_B2HW.float()


_COUNTED_AT_ONCE = 64


def _load_parent(network: Network, job: Job, *, whole: bool) -> None:
    pinned = job.parent
    assert pinned is not None
    parent, description = load_model(pinned.folder)
    where = f"{pinned.ref} ({pinned.folder})"
    if description.weights_sha256 != pinned.sha256:
        raise ModelError(
            f"init_from: the weights must be those the training was planned with, SHA-256 {pinned.sha256[:12]}...; "
            f"got {description.weights_sha256[:12]}... in {where}. Start the sweep again."
        )
    if not whole:
        load_encoder(network, parent)
    elif parent.target != network.target or _form_of(description.model) != _form_of(job.model):
        raise ModelError(
            f"init_from: a {job.stage} must have the form of the model it starts from, {description.stage} "
            f"{_form(parent)}; got {_form(network)}; {where}. Leave the model section out to take it over."
        )
    else:
        network.load_state_dict(parent.state_dict())


def _begin_anew(network: Network, job: Job) -> None:
    if network.model.encoder is None or network.model.network not in NETWORKS.shipped:
        raise ModelError(
            "init.encoder_from: weights needs a known encoder; got the reports' or one of your own, in a model that "
            f"starts from {job.parent.ref if job.parent else 'none'}. Leave encoder_from out."
        )
    if job.weights is not None:
        begin_with(network.encoder_part, network.model, job.weights)


def _form_of(model: ModelSection) -> dict[str, Any]:
    """Where the encoder's weights once came from is no part of the form."""
    return {key: value for key, value in model.model_dump().items() if key != "encoder_weights"}


def _form(network: Network) -> str:
    return " ".join(f"{key}={value}" for key, value in network.model.model_dump().items())


def _check_data(job: Job, data: CachedData) -> None:
    size_px = cast(DataConfig, job.data).size_px
    if data.digest != job.data_digest or data.size_px != size_px:
        raise DataError(
            f"data cache: must hold the data of the training, digest {job.data_digest[:12]}, "
            f"{size_px} px; got {data.digest[:12]}, {data.size_px} px. "
            "Prepare the data set again."
        )
    if len(data.train) < 2 or len(data.val) < 1:
        raise DataError(
            f"data: training needs at least 2 training images and 1 validation image; got {len(data.train)} and "
            f"{len(data.val)}. Add pictures, or change the splits."
        )


def _part(tensors: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
