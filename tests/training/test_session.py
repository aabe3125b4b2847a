from __future__ import annotations

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from deepcolor.coloring.optimizer import build_optimizer, lr_at, optimizer_tensors, restore_optimizer, set_lr
from deepcolor.coloring.session import batches, initial_network
from deepcolor.config.schema import ModelConfig, TrainingConfig
from deepcolor.models.networks import build
from deepcolor.plugins import Code
from deepcolor.training.training import job_of
from deepcolor.training.trajectory import Trajectory
from tests.training.conftest import Prepared

counts = st.integers(min_value=2, max_value=200)
sizes = st.integers(min_value=2, max_value=70)
seeds = st.integers(min_value=0, max_value=2**31 - 1)
epochs = st.integers(min_value=1, max_value=100_000)


@given(count=counts, batch_size=sizes, seed=seeds, epoch=epochs)
def test_batches_hold_each_row_once(count: int, batch_size: int, seed: int, epoch: int) -> None:
    """Every row is in exactly one batch, no batch is a single image, and only the last one differs in size."""
    parts = batches(count, batch_size=batch_size, seed=seed, epoch=epoch)

    assert sorted(torch.cat(parts).tolist()) == list(range(count))
    assert min(len(part) for part in parts) >= 2
    assert all(len(part) == batch_size for part in parts[:-1])
    assert len(parts[-1]) <= batch_size + 1


@given(seed=seeds, epoch=epochs)
def test_shuffling_is_a_function_of_seed_and_epoch(seed: int, epoch: int) -> None:
    """The order depends on (seed, epoch) and on nothing else, and differs between epochs."""
    first = torch.cat(batches(60, batch_size=7, seed=seed, epoch=epoch))
    torch.rand(3)
    assert first.equal(torch.cat(batches(60, batch_size=7, seed=seed, epoch=epoch)))
    assert not first.equal(torch.cat(batches(60, batch_size=7, seed=seed, epoch=epoch + 1)))


def test_initial_weights_depend_on_the_seed_alone(prepared: Prepared) -> None:
    """A seed gives the same weights whatever was drawn before; the global generator is not touched."""
    trajectory = prepared.segment(prepared.cache, stage="colorizer", seed=3).trajectory
    other = prepared.segment(prepared.cache, stage="colorizer", seed=4).trajectory

    def initial(trajectory: Trajectory) -> dict[str, torch.Tensor]:
        job = job_of(trajectory, folder=prepared.cache, device="cpu")
        return initial_network(job, target="pixels", size_px=64).state_dict()

    one = initial(trajectory)
    before = torch.get_rng_state()
    two = initial(trajectory)

    assert before.equal(torch.get_rng_state())
    assert all(value.equal(two[name]) for name, value in one.items())
    weight = "encoder.blocks.0.conv.weight"
    assert not one[weight].equal(initial(other)[weight])


def test_cosine_falls_from_lr_to_nearly_nothing() -> None:
    """The cosine schedule starts at lr, falls in every epoch, is half way in the middle, and ends above 0."""
    training = TrainingConfig(epochs=10, lr=0.2, lr_schedule="cosine")
    rates = [lr_at(training, epoch=epoch) for epoch in range(1, 11)]

    assert rates[0] == 0.2
    assert rates == sorted(rates, reverse=True)
    assert abs(rates[5] - 0.1) < 1e-12
    assert 0 < rates[-1] < 0.01
    assert lr_at(TrainingConfig(lr=0.2), epoch=77) == 0.2


@given(epochs=st.integers(2, 50), warmup=st.none() | st.floats(0, 5))
def test_one_cycle_rises_to_lr_and_falls_to_nothing(epochs: int, warmup: float | None) -> None:
    """The rate rises from step to step to lr, at three tenths of the epochs unless told otherwise, and ends near 0."""
    training = TrainingConfig(epochs=epochs, lr=0.2, lr_schedule="one_cycle", warmup_epochs=warmup)
    rise = 0.3 * epochs if warmup is None else warmup
    assume(rise <= 0.8 * epochs)
    steps = [(epoch, step / 10) for epoch in range(1, epochs + 1) for step in range(10)]
    rates = [lr_at(training, epoch=epoch, done=done) for epoch, done in steps]
    top = rates.index(max(rates))

    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert abs(top / 10 - rise) <= 0.1 + 1e-9
    assert 0 < rates[-1] < 0.2 * 0.9


def test_a_warm_up_rises_to_what_would_be_without_it() -> None:
    """Within its epochs the rate rises from step to step, and from then on it is that of the schedule."""
    warm = TrainingConfig(epochs=10, lr=0.2, lr_schedule="cosine", warmup_epochs=2)
    plain = warm.model_copy(update={"warmup_epochs": None})
    rates = [lr_at(warm, epoch=1 + step // 4, done=step % 4 / 4) for step in range(8)]
    assert rates[:5] == sorted(rates[:5])
    assert 0 < rates[0] < 0.001
    assert abs(rates[4] - 0.5 * lr_at(plain, epoch=2)) < 1e-3
    assert lr_at(warm, epoch=3, done=0.5) == lr_at(plain, epoch=3)


def test_the_encoder_has_a_learning_rate_of_its_own() -> None:
    """With encoder_lr the encoder's weights alone move by that factor, and each keeps its name in the state."""
    training = TrainingConfig(lr=0.5, optimizer="sgd", encoder_lr=0.25)
    network = build("pixels", ModelConfig(feature_maps=1), 64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = build_optimizer(network, training, code=Code({}))
    set_lr(optimizer, 0.5, encoder=training.encoder_lr)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        moved = float((before[name] - parameter.detach()).mean())
        assert abs(moved - (0.125 if name.startswith("encoder.") else 0.5)) < 1e-6, name
    state = optimizer_tensors(optimizer, network)
    assert {name.rpartition("/")[0] for name in state} == {name for name, _ in network.named_parameters()}
    other = build_optimizer(network, training, code=Code({}))
    restore_optimizer(other, network, state)
    assert all(value.equal(state[name]) for name, value in optimizer_tensors(other, network).items())
