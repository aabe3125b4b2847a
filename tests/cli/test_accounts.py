"""The figures of a study, as a user meets them in a plan and a summary."""

from __future__ import annotations

import pytest

from deepcolor.app.gc import collect_garbage
from deepcolor.app.how import How
from deepcolor.app.plan import estimate
from deepcolor.config.schema import Sweep
from deepcolor.training import calibration
from tests.cli.conftest import run


def sweep_of(study: str) -> Sweep:
    """Two trainings, each looked at twice, with early stops."""
    return Sweep.model_validate(
        {
            "study": study,
            "stage": "regressor",
            "data": {"name": "faces", "size_px": 64},
            "training": {"early_stopping": True, "patience": 2},
            "search": {"space": {"lr": [1e-2, 1e-4], "epochs": [4, 2]}},
        }
    )


def test_what_was_collected_and_is_trained_again_counts_as_trained(how: How, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that asks for trainings whose weights gc removed is planned with the epochs that it then trains, and its
    summary counts them; one that finds all of it there trains and counts none.
    """
    monkeypatch.setattr(calibration, "MEASURE_S", 0.05)
    first = run(sweep_of("first"), how)
    assert (first.requested_epochs, first.trained_epochs, first.trained_now) == (12, 8, 8)
    collect_garbage(how.workspace, how.tracking_uri, keep=1, removing=True)

    (cost,) = estimate((sweep_of("second"),), how)
    second = run(sweep_of("second"), how)
    assert second.trained_now == second.trained_epochs == cost.trained_epochs > 0
    assert second.saved == pytest.approx(1 - second.trained_now / 12)
    assert second.best is not None
    assert first.best is not None
    assert second.best.value == first.best.value

    (cost,) = estimate((sweep_of("third"),), how)
    third = run(sweep_of("third"), how)
    assert third.trained_now == third.trained_epochs == cost.trained_epochs == 0
    assert third.saved == 1.0
