"""What a cell shows of a study, and that nothing of this appears outside a notebook."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from deepcolor.config.constraints import Bound
from deepcolor.config.schema import ParamValue
from deepcolor.fields.objective import Objective
from deepcolor.notebook import SHOWN_TRIALS, study_view, trials_html
from deepcolor.search.rules.summary import RunningTrial, Snapshot
from deepcolor.search.study.aims import Aims
from deepcolor.search.study.trials import Outcome, StoredTrial
from deepcolor.training.trajectory import View

PARAMS: dict[str, ParamValue] = {"lr": 0.00456, "growth": "<double>"}


def trial(number: int, state: str = "complete", **changes: object) -> StoredTrial:
    known = (number, state, dict(PARAMS), 0.001 * (number + 1), 0, 1, None, Outcome(View(9, 8, 0.00123)), None)
    return StoredTrial(*known, **changes)  # type: ignore[arg-type]


def snapshot(**changes: object) -> Snapshot:
    """A study of 9 trials, halfway through."""
    known = {
        "total": 9,
        "complete": 3,
        "failed": 1,
        "running": (RunningTrial(5, dict(PARAMS), 3, 27, 0.25), RunningTrial(6, dict(PARAMS), 0, 27, None)),
        "best": trial(2),
        "trained_epochs": 100,
        "epochs_per_s": 1.25,
        "remaining_s": 75.0,
        "elapsed_s": 34.0,
        "stopping": False,
        "pruned": 1,
    }
    return Snapshot(**{**known, **changes})  # type: ignore[arg-type]


class _Words(HTMLParser):
    """Reads a page: its words, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data + " "


def test_a_running_study_in_a_cell() -> None:
    """A cell shows how much of the total is done, the time left, the best trial, and the running ones with epoch and
    value; the same in a browser as in text, and no setting's value becomes part of the page.
    """
    view = study_view("faces", snapshot())
    assert view.text.splitlines() == [
        "faces: 4/9 trials, 1 pruned, 2 running, 1 failed",
        "1.2 epochs/s, 1 min 15 s left",
        "best val/mse 0.003: trial 2, lr=0.00456 growth=<double>",
        "trial 5  epoch 3/27  val/mse 0.25  lr=0.00456 growth=<double>",
        "trial 6  epoch 0/27    lr=0.00456 growth=<double>",
    ]
    words = " ".join(_Words(view.html).words.split())
    assert words == " ".join(view.text.replace("faces:", "faces").split())
    assert 'value="4" max="9"' in view.html


def test_an_ended_study_in_a_cell() -> None:
    """In the end nothing is running and nothing is left to wait for: the time it took is shown."""
    lines = study_view("faces", snapshot(complete=8), ended=True).text.splitlines()
    assert lines[:2] == ["faces: 9/9 trials, 1 pruned, 1 failed", "took 34 s, 1.2 epochs/s"]
    assert lines[2].startswith("best")
    assert len(lines) == 3


def test_a_study_of_unknown_length_has_a_bar_without_end() -> None:
    """If only a budget ends the search, nobody knows how many trials there will be."""
    view = study_view("faces", snapshot(total=0, best=None, running=()))
    assert "<progress style" in view.html
    assert view.text.startswith("faces: 4 trials, 1 pruned, 1 failed")


def test_the_trials_of_a_study_in_a_table() -> None:
    """One row per trial, with the value a waiting one has at its rung; of many, the best, and where the others are."""
    waiting = trial(3, "waiting", target_epoch=3, reached={3: 0.5})
    few = trials_html("study faces: 3 trials", [trial(0), trial(1, "pruned"), waiting], best=trial(0))
    words = " ".join(_Words(few).words.split())
    assert words.startswith(
        "study faces: 3 trials (1 complete, 1 pruned, 1 waiting) "
        "best: trial 0, 0.001 with lr=0.00456 growth=<double> trial state value lr growth epochs"
    )
    assert re.search(r"3 3 waiting 0\.5 0\.00456 <double>", words)
    many = trials_html("study faces", [trial(number) for number in range(SHOWN_TRIALS + 5)], best=None)
    assert many.count("<tr") == 1 + SHOWN_TRIALS
    assert "and 5 trials more" in many


def test_the_front_of_several_objectives_is_marked_in_the_table() -> None:
    """Each objective has a column of its own; which trials are on the front, which is chosen, and what one breaks."""
    aims = Aims((Objective("val/mse"), Objective("epoch_s")), constraints={"epoch_s": Bound(at_most=3)})
    two = [trial(0, aims=aims, values=(0.001, 2.0)), trial(1, aims=aims, values=(0.002, 1.0))]
    slow = trial(2, aims=aims, values=(0.003, 9.0))
    slow = replace(slow, outcome=replace(slow.outcome, figures={"epoch_s": 9.0}))  # type: ignore[type-var]
    words = " ".join(_Words(trials_html("study", [*two, slow], best=two[1], front=two)).words.split())
    assert "2 trials on the front; chosen: trial 1, val/mse 0.002, epoch_s 1 with" in words
    assert "trial state front breaks val/mse epoch_s lr" in words
    assert "1 0 complete front 0.001 2 0.00456" in words
    assert "2 1 complete chosen 0.002 1 0.00456" in words
    assert "3 2 complete epoch_s 0.003 9 0.00456" in words
    assert "2 trials on the front; none is chosen" in trials_html("study", two, best=None, front=two)


def test_a_script_is_no_notebook(tmp_path: Path) -> None:
    """Outside a kernel IPython is not imported, and the terminal is used; inside IPython on a terminal, too."""
    program = """
import sys
from deepcolor.notebook import told
print(type(told(None)).__name__, "IPython" in sys.modules)
import IPython
print(type(told(None)).__name__)
IPython.InteractiveShell.instance()
print(type(told(None)).__name__)
"""
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["ConsoleReporter", "False", "ConsoleReporter", "ConsoleReporter"]
