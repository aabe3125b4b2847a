from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

from deepcolor.coloring.measuring import measure
from deepcolor.inference.model_code import MODEL_CODE
from deepcolor.registry.evidence import Evidence, read_evidence
from deepcolor.registry.promote import Candidate, Promotion, promote
from deepcolor.registry.versions import resolve
from tests.registry.world import World


def confirmed(world: World, *, runner_up: bool = True) -> Candidate:
    """The best model, of a setting that the two best ones are trainings of; the worst one is the runner-up's."""
    evidence = Evidence(objective="val/mse", seeds=2, trial=0, mean=1e-3, std=1e-4)
    if runner_up:
        evidence = dataclasses.replace(evidence, runner_up=4, runner_up_mean=2e-3, runner_up_std=2e-4)
    return dataclasses.replace(
        world.candidate(0),
        evidence=evidence,
        trainings=world.models[:2],
        runner_up_trainings=world.models[2:3] * 2 if runner_up else (),
    )


def promoted(world: World, candidate: Candidate) -> Promotion:
    return promote(candidate, tracking_uri=world.uri, model_code=MODEL_CODE, device="cpu")


def test_winner_and_runner_up_are_compared_over_all_their_trainings(world: World) -> None:
    """For each test picture the mean error of a setting's trainings counts; the version carries what that says."""
    done = promoted(world, confirmed(world))
    errors = [measure(folder, world.cache, split="test", device="cpu").per_image_mse for folder in world.models]
    ours, theirs = np.mean([errors[0], errors[1]]), np.mean(errors[2])
    evidence = done.version.evidence
    assert evidence is not None
    assert evidence.relative == pytest.approx(ours / theirs - 1)
    assert (evidence.trial, evidence.runner_up, evidence.seeds) == (0, 4, 2)
    assert resolve("colorizer@champion", tracking_uri=world.uri).evidence == evidence
    assert "runner-up (trial 4) 0.002 ± 0.0002" in evidence.sentence
    assert evidence.verdict in evidence.sentence


def test_a_version_learns_what_was_confirmed_later(world: World) -> None:
    """Promoted again after the confirmation, the same version carries it; told again or not told, it stays."""
    assert promoted(world, world.candidate(0)).version.evidence is None
    done = promoted(world, confirmed(world))
    assert (done.registered, done.verdict) == (False, "already champion")
    assert done.version.evidence is not None
    assert promoted(world, world.candidate(0)).version.evidence == done.version.evidence
    assert promoted(world, confirmed(world)).version == done.version
    text = str(MlflowClient(world.uri).get_model_version("deepcolor-colorizer", "1").description)
    assert "| runner-up | trial 4: 0.002 ± 0.0002 |" in text
    alone = promoted(world, confirmed(world, runner_up=False))
    assert alone.version.evidence is not None
    assert (alone.version.evidence.runner_up, alone.version.evidence.relative) == (None, None)
    assert resolve("colorizer@1", tracking_uri=world.uri).evidence == alone.version.evidence


NUMBERS = st.floats(-1e9, 1e9)
EVIDENCE = st.builds(
    Evidence,
    objective=st.sampled_from(["val/mse", "val/mse_a"]),
    seeds=st.integers(2, 99),
    trial=st.integers(0, 9999),
    mean=NUMBERS,
    std=NUMBERS,
    runner_up=st.none() | st.integers(0, 9999),
    runner_up_mean=st.none() | NUMBERS,
    runner_up_std=st.none() | NUMBERS,
    relative=st.none() | NUMBERS,
    low=st.none() | NUMBERS,
    high=st.none() | NUMBERS,
)


@given(evidence=EVIDENCE)
def test_tags_hold_all_of_it(evidence: Evidence) -> None:
    """Written as tags and read back, it is equal; a version without such tags has none."""
    tags = evidence.as_tags("x.")
    assert read_evidence({key.removeprefix("x."): value for key, value in tags.items()}) == evidence
    assert read_evidence({}) is None


def test_tags_of_an_earlier_release_say_what_they_said() -> None:
    """Names and forms of the tags are those that versions registered long ago carry."""
    tags = {
        "objective": "val/mse",
        "seeds": "3",
        "trial": "7",
        "mean": "0.001",
        "std": "0.0001",
        "runner_up": "4",
        "runner_up_mean": "0.002",
        "runner_up_std": "0.0002",
        "relative": "-0.25",
        "low": "-0.3",
        "high": "-0.2",
        "verdict": "other pictures would hardly change that",
    }
    evidence = Evidence("val/mse", 3, 7, 1e-3, 1e-4, 4, 2e-3, 2e-4, -0.25, -0.3, -0.2)
    assert read_evidence(tags) == evidence
    assert evidence.as_tags("") == tags
    assert read_evidence({"mean": "0.1", "std": "0.01", "seeds": "2", "trial": "0"}) == Evidence("", 2, 0, 0.1, 0.01)
