from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deepcolor.cli.app import main
from tests.processes import WAIT_S
from tests.reliability.conftest import EPOCHS, POINTS, Place
from tests.reliability.processes import Faults, Moment, start_call, start_on_terminal, wait_until

SERIAL = ("--executor", "serial")
SLOW = Faults(environment={"TRIVIAL_EPOCH_S": "0.2"})
DRIVER, STUDY = "deepcolor.search.driver.loop:Driver", "deepcolor.search.study.storage:StoredStudy"
TWICE = (signal.SIGINT, signal.SIGINT)
MOMENTS = (
    Moment("deepcolor.app.sweep", "provenance", signals=TWICE),
    Moment(DRIVER, "_trajectory", nth=2, signals=TWICE),
    Moment("deepcolor.search.driver.loop", "offer", signals=TWICE),
    Moment(STUDY, "add", nth=2, after=True, signals=(signal.SIGTERM, signal.SIGTERM)),
    Moment("deepcolor.search.driver.settling:Settling", "settle", nth=2, signals=TWICE),
    Moment(STUDY, "tell", signals=TWICE),
    Moment(STUDY, "tell", after=True, signals=(signal.SIGHUP, signal.SIGTERM)),
    Moment("deepcolor.search.driver.showing:Showing", "trial", nth=3, signals=TWICE),
    Moment("deepcolor.tracking.projection:MlflowTracker", "put_trial", nth=4, signals=TWICE),
    Moment("deepcolor.execution.serial:SerialExecutor", "submit", signals=TWICE),
    Moment("deepcolor.report.writing:ReportFolder", "write", signals=TWICE),
)


def _hear_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # A test that ran before may have left one ignored.
        signal.signal(number, signal.SIG_DFL)


SLOW_IMPORT = """
import pathlib, sys, time
class Slow:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "deepcolor.cli.app":
            pathlib.Path("importing").touch()
            time.sleep(300)
sys.meta_path.insert(0, Slow)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_while_it_is_imported_a_command_says_so(tmp_path: Path, number: int) -> None:
    """Before it can do anything, a command that is asked to end does so with one line and 130."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "deepcolor", "studies"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_signals,  # noqa: PLW1509  # it takes no lock
    )
    wait_until((tmp_path / "importing").exists, "the command is imported")
    process.send_signal(number)
    assert (process.communicate(timeout=WAIT_S)[1], process.returncode) == ("error: interrupted\n", 130)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("owner", "function"),
    [("typer.main", "get_command"), ("deepcolor.scratch", "claim"), ("deepcolor.cli.streams", "check_output")],
)
def test_stopped_before_or_after_its_work_a_command_says_so(
    place: Place, owner: str, function: str, number: int
) -> None:
    """A signal while the words are read, or when all is done, is one line and 130, as it is in between."""
    faults = Faults(dies_at=Moment(owner, function, signals=(number,)))
    text = place.start("studies", faults=faults).ends(130)
    assert text.splitlines()[-1] == "error: interrupted; finished work is kept, and the same command continues"
    assert "Traceback" not in text


def test_stopped_at_once_at_any_moment_no_trial_is_blamed(place: Place) -> None:
    """Two signals at one moment after another end every start with the line that resumes; none is taken for an error
    of a trial, and the last start finds everything as if nobody had stopped anything.
    """
    for moment in MOMENTS:
        text = place.start("sweep", "grid.yaml", *SERIAL, faults=Faults(dies_at=moment)).ends(130)
        assert "Resume with: deepcolor sweep grid.yaml" in text.splitlines()[-1], f"{moment}: {text}"
        assert "failed" not in text, f"{moment}: {text}"
        assert "Traceback" not in text, f"{moment}: {text}"
    done = place.sweep(*SERIAL)
    assert (done["complete"], done["failed"], done["trials"], done["trained_epochs"]) == (POINTS, 0, POINTS, EPOCHS)
    place.assert_whole()


def test_a_closed_terminal_saves_and_ends(place: Place) -> None:
    """Its SIGHUP, and what can no longer be written, stop a sweep as one Ctrl-C does: saved, told to MLflow, and the
    same line goes on; said twice, it is still no reason to stop at once.
    """
    terminal = start_on_terminal(place.root, "sweep", "grid.yaml", *SERIAL, faults=SLOW)
    place.wait_for_trials(1)
    terminal.close()
    terminal.command.signal(signal.SIGHUP)
    assert terminal.command.wait() == 130
    assert {run.info.status for run in place.runs()} <= {"FINISHED", "KILLED"}
    assert not (place.root / "studies" / "grid" / "driver.json").exists()
    assert place.sweep(*SERIAL)["trained_epochs"] == EPOCHS
    place.assert_whole()


def test_nohup_outlives_its_terminal(place: Place) -> None:
    """A sweep started with SIGHUP ignored trains to its end without the terminal it was started on."""
    faults = Faults(environment={"TRIVIAL_EPOCH_S": "0.2"}, ignored=(signal.SIGHUP,))
    terminal = start_on_terminal(place.root, "sweep", "grid.yaml", *SERIAL, faults=faults)
    place.wait_for_trials(1)
    terminal.close()
    terminal.command.signal(signal.SIGHUP)
    assert terminal.command.wait() == 0
    place.assert_whole()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_other_commands_end_as_by_ctrl_c(place: Place, number: int) -> None:
    """A command that trains nothing yet cleans up and says that it was interrupted, whatever asked it to end."""
    moment = Moment("deepcolor.data.drawn", "draw_set", after=True, signals=(number,))
    text = place.start("demo", "--pictures", "60", "--workspace", "demo", faults=Faults(dies_at=moment)).ends(130)
    assert text.splitlines()[-1].startswith("error: interrupted"), text


def test_a_reader_that_is_gone_ends_no_training(place: Place) -> None:
    """What a sweep says into a pipe that nobody reads any more is lost, and nothing else."""
    command = start_call(main_into_a_broken_pipe, ("sweep", "grid.yaml", *SERIAL), folder=place.root)
    assert command.wait() == 0
    place.assert_whole()


def main_into_a_broken_pipe(words: tuple[str, ...]) -> None:
    """Run `deepcolor` with its output and its errors going to a pipe whose reader has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    for standard in (1, 2):
        os.dup2(writer, standard)
    sys.argv = ["deepcolor", *words]
    main()


@pytest.mark.parametrize("keys", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_of_the_live_view_stays_on_the_screen(place: Place, keys: int, columns: int) -> None:
    """After one or two Ctrl-C on a terminal there stand the finished trials, what was said, and the line that resumes:
    no bar, no running trial, and the cursor is shown.
    """
    pyte = pytest.importorskip("pyte")
    terminal = start_on_terminal(place.root, "sweep", "grid.yaml", *SERIAL, faults=SLOW, columns=columns)
    terminal.wait_for(b"trial 1:")
    for _ in range(keys):
        terminal.type(b"\x03")
        terminal.wait_for(b"once more to stop")
    written = terminal.ends(130)
    screen = pyte.Screen(columns, 30)
    pyte.ByteStream(screen).feed(written)
    lines = [line.rstrip() for line in screen.display if line.strip()]
    words = " ".join(lines)
    assert "\u2501" not in words, "a bar"
    assert "/3 " not in words, "a running trial"
    assert "^C" not in words
    assert words.count("once more to stop at once") == 1
    assert "Resumewith:deepcolorsweepgrid.yaml--executorserial" in "".join(words.split())  # folded anywhere
    assert not screen.cursor.hidden
    shown = [line.split()[1] for line in lines if line.startswith("trial ")]
    assert len(shown) == len(set(shown)) >= 2
