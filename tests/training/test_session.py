from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.coloring.optimizer import lr_at
from deepcolor.coloring.session import batches, initial_network
from deepcolor.config.schema import TrainingConfig
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
