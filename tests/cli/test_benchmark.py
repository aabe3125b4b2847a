from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Cli

TINY = ("--size", "64", "--copies", "1", "--feature-maps", "1", "--batch-size", "8", "--seconds", "0")


def test_each_stage_is_timed_on_drawn_pictures(cli: Cli) -> None:
    """Five epochs of each stage, one thread, on the CPU; median, spread and speed fit together, and nothing is left."""
    said = json.loads(cli.run("benchmark", *TINY, "--pictures", "20", "--device", "cpu", "--json").stdout)
    assert (said["epochs"], said["data"], said["pictures"], said["copies"]) == (5, "drawn", 20, 1)
    times = said["times"]
    assert [(time["stage"], time["device"], time["threads"]) for time in times] == [
        ("regressor", "cpu", 1),
        ("colorizer", "cpu", 1),
        ("transfer", "cpu", 1),
    ]
    # 16 of the 20 pictures are trained on, each with a copy.
    assert all(time["images_per_s"] * time["median_s"] == pytest.approx(5 * 32) for time in times)
    assert all(time["runs"] >= 1 and (time["iqr_s"] is None) == (time["runs"] == 1) for time in times)
    assert list(cli.workspace.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--size", "100"], ["--size", "multiple of 64", "100", "128"]),
        (["--data", "faces", "--pictures", "30"], ["--pictures", "faces", "30"]),
        (["--growth", "triple"], ["growth", "triple", "double"]),
    ],
    ids=lambda value: value[0],
)
def test_a_wrong_option_is_one_line(cli: Cli, words: list[str], parts: list[str]) -> None:
    """What cannot be measured is refused with the option's name and what to give instead."""
    (line,) = [line for line in cli.run("benchmark", *words, code=2).stderr.splitlines() if line.startswith("error: ")]
    assert all(part in line for part in parts), line
