"""Objectives, constraints and rules of choice as a sweep file has them, and what is refused of them."""

from __future__ import annotations

from typing import Any

import pytest

from deepcolor.config.aims import figures_needed
from deepcolor.config.load import load_sweep, to_yaml
from deepcolor.config.schema import Sweep
from tests.config.conftest import SWEEP, Write
from tests.config.test_errors import message

TWO = "search.objective=[val/mse, epoch_s]"
SCHEMA = {"study": "s", "stage": "colorizer", "data": {"name": "faces"}}


def sweep(**search: Any) -> Sweep:
    return Sweep.model_validate({**SCHEMA, "search": {"space": {"lr": [0.1, 0.01]}, **search}})


def test_aims_are_read_written_and_stored_alike(write: Write) -> None:
    """What a file says of objectives, constraints and the choice is the same after a way through YAML and JSON."""
    lines = (
        "  objective: [val/mse, epoch_s, psnr_db]\n  constraints: {parameters: 1e6, psnr_db: {at_least: 20}}\n"
        "  choose: {within: 0.05, of: val/mse, lowest: epoch_s}\n  confirm: {seeds: 3}\n"
    )
    read = load_sweep(write("a.yaml", SWEEP + lines))
    assert [objective.direction for objective in read.objectives] == ["minimize", "minimize", "maximize"]
    assert read.objective == read.objectives[0]
    assert str(read.search.choose) == "the lowest epoch_s within 5 % of the best val/mse"
    assert figures_needed(read.search) == ("epoch_s", "psnr_db", "parameters")
    assert read.search.confirm is not None
    assert read.search.confirm.top == 1
    assert load_sweep(write("b.yaml", to_yaml(read))) == read
    assert Sweep.model_validate(read.identity()) == read
    assert sweep(objective=["val/mse"]) == sweep()
    assert str(sweep(objective=["val/mse", "mb"], choose="knee").search.choose) == "the knee of the front"


def test_what_is_not_said_changes_no_identity() -> None:
    """A sweep without constraints and choice is stored as it was before there were any."""
    assert {"constraints", "choose"}.isdisjoint(sweep().identity()["search"])


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["search.constraints={params: 1e6}"],
            (
                "params: must be what is known of a colorizer; got 'params' (-o search.constraints={params: 1e6}). "
                "Did you "
                "mean parameters? Allowed: train/mse, val/mse, val/mse_a, val/mse_b, epoch_s, psnr_db, ssim, "
                "colourfulness, ciede2000, bias_a, bias_b, "
                "parameters, mb."
            ),
        ),
        (
            ["search.constraints={epoch_s: fast}"],
            (
                "epoch_s: must be a number, or at_most/at_least; got 'fast' (-o search.constraints={epoch_s: "
                "fast}). Write a "
                "number, which is the most that is allowed, or {at_least: N}."
            ),
        ),
        (
            ["search.constraints={psnr_db: {at_least: 30, at_most: 20}}"],
            (
                "psnr_db: at_least must not be above at_most; got at_least=30, at_most=20 (-o "
                "search.constraints={psnr_db: "
                "{at_least: 30, at_most: 20}}). Swap them."
            ),
        ),
        (
            [TWO, "search.pruner=asha"],
            (
                "pruner: pruning compares one figure, so it does not go with several objectives; got asha (-o "
                "search.pruner=asha). Leave pruner out, or name one objective."
            ),
        ),
        (
            ["search.objective=[psnr_db, val/mse]"],
            (
                "objective: the first objective must be what a colorizer measures after every epoch, as it decides "
                "which "
                "epoch is taken; got 'psnr_db' (-o search.objective=[psnr_db, val/mse]). Allowed: train/mse, val/mse, "
                "val/mse_a, val/mse_b, epoch_s."
            ),
        ),
        (
            ["search.objective=[val/mse, val/mse]"],
            (
                "objective: objectives must differ from each other; got val/mse twice (-o search.objective=[val/mse, "
                "val/mse]). Leave one out."
            ),
        ),
        (
            ["search.choose=knee"],
            (
                "choose: there is nothing to choose from with one objective; got val/mse (-o search.choose=knee). "
                "Leave "
                "choose out, write the bound as search.constraints, or name several objectives."
            ),
        ),
        (
            [TWO, "search.choose={lowest: epochs_s}"],
            (
                "lowest: must be one of the objectives; got 'epochs_s' (-o search.choose={lowest: epochs_s}). Did "
                "you mean "
                "epoch_s? Objectives: val/mse, epoch_s."
            ),
        ),
        (
            ["search.constraints={epoch_s: {max: 3}}"],
            (
                "max: unknown key (-o search.constraints={epoch_s: {max: 3}}). Did you mean at_most? Allowed: at_most, "
                "at_least."
            ),
        ),
        (
            [TWO, "search.choose={within: 5 %, of: val/mse, lowest: epoch_s}"],
            (
                "within: must be a share; got '5 %' (-o search.choose={within: 5 %, of: val/mse, lowest: "
                "epoch_s}). Write "
                "0.05 for 5 %."
            ),
        ),
        (
            [TWO, "search.choose={within: 0.05, lowest: epoch_s}"],
            (
                "choose: within and of go together; got within (-o search.choose={within: 0.05, lowest: epoch_s}). "
                "Write "
                "{within: 0.05, of: OBJECTIVE, lowest: ANOTHER}."
            ),
        ),
        (
            [TWO, "search.sampler=tpe", "search.trials=9", "search.stop=regret"],
            (
                "stop: what is left to find is told of one figure, so it does not go with several objectives; got "
                "regret (-o search.stop=regret). Leave stop out, or name one objective."
            ),
        ),
        (
            [TWO, "search.choose=elbow"],
            (
                "choose: must be knee, or say lowest or highest; got 'elbow' (-o search.choose=elbow). Write choose: "
                "{lowest: OBJECTIVE}, or choose: knee."
            ),
        ),
        (
            ["search.objective=[val/mse, psnr_db]", "search.choose={lowest: psnr_db}"],
            ("choose: psnr_db is maximized; got lowest: psnr_db (-o search.choose={lowest: psnr_db}). Write highest."),
        ),
        (
            ["search.objective=[val/mse, bias_b]"],
            (
                "objective: an objective must be better the smaller it is, or the larger; got bias_b, which is best at "
                "0 (-o search.objective=[val/mse, bias_b]). Bound it instead: search.constraints: {bias_b: {at_least: "
                "LOW, at_most: HIGH}}."
            ),
        ),
        (
            ["search.objective=[val/mse, colourfulness]", "search.direction=[minimize, maximize]"],
            (
                "objective: an objective must be better the smaller it is, or the larger; got colourfulness, which is "
                "best at 1 (-o search.objective=[val/mse, colourfulness]). Bound it instead: search.constraints: "
                "{colourfulness: {at_least: LOW, at_most: HIGH}}."
            ),
        ),
        (
            [TWO, "search.confirm={top: 3, seeds: 3}"],
            (
                "top: with several objectives the chosen setting alone is trained again; got top=3 (-o "
                "search.confirm={top: 3, seeds: 3}). Leave top out."
            ),
        ),
        (
            [TWO, "search.direction=[minimize, maximize]"],
            (
                "direction: epoch_s is minimized; got maximize (-o search.direction=[minimize, maximize]). Write "
                "minimize "
                "for it."
            ),
        ),
    ],
)
def test_typical_mistakes_are_answered_with_their_remedy(sweep_file: Any, overrides: list[str], expected: str) -> None:
    """Each is refused in one line that names the key, what was written and what to do."""
    assert message(load_sweep, sweep_file, overrides) == expected
