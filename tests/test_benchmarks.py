from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.processes import start_call

ROOT = Path(__file__).parent.parent
SUITE = ROOT / "benchmarks" / "suite.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
DOCUMENT = "# Speed\n\n<!-- results: begin -->\nold tables\n<!-- results: end -->\n\n## Notes\n\nkept by hand\n"
TINY = """
import argparse, json, platform
parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true")
parser.add_argument("--photos", type=int, default=9)
options = parser.parse_args()
table = {"header": ["what", "ratio"], "rows": [["a|b", 2.5 if options.quick else 1.25]]}
results = {"host": platform.node(), "read": "/home/someone/photos/faces"}
print(json.dumps({"title": "Tiny", "about": "As small as can be.", "table": table, "results": results,
                  "options": vars(options)}))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder laid out like the repository, with one benchmark that works."""
    for name in ("benchmarks", "docs"):
        (tmp_path / name).mkdir()
    (tmp_path / "benchmarks" / "tiny.py").write_text(TINY)
    (tmp_path / "docs" / "performance.md").write_text(DOCUMENT)
    return tmp_path


def suite(place: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the suite in a folder, and check its exit code."""
    command = [sys.executable, str(SUITE), "--root", str(place), *words]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def result(place: Path) -> dict[str, object]:
    """What is recorded for the tiny benchmark."""
    return dict(json.loads((place / "benchmarks" / "results" / "tiny.json").read_text()))


def test_a_result_is_recorded_with_its_origin_and_shown_in_the_document(place: Path) -> None:
    """The JSON holds figures, machine, versions and load, and names no host and no path; the document's tables are
    replaced, and what was written by hand stays.
    """
    assert "Tiny" in suite(place).stdout
    record = result(place)
    assert record["results"] == {"host": "this machine", "read": "faces"}
    assert record["table"] == {"header": ["what", "ratio"], "rows": [["a|b", "1.25"]]}
    assert {"machine", "versions", "commit", "date", "load_before", "took_s"} <= record.keys()
    document = (place / "docs" / "performance.md").read_text()
    assert "| a\\|b | 1.25 |" in document
    assert "make bench BENCH=tiny" in document
    assert "old tables" not in document
    assert document.startswith("# Speed\n")
    assert document.endswith("\n\n## Notes\n\nkept by hand\n")
    suite(place, "--document")
    assert (place / "docs" / "performance.md").read_text() == document
    suite(place, "tiny", "--", "--photos", "4")
    assert result(place)["options"] == {"quick": False, "photos": 4}


def test_a_quick_run_does_not_take_the_place_of_a_full_one(place: Path) -> None:
    """A quick result is marked as such, gives way to a full one, and never replaces it."""
    suite(place, "tiny", "--quick")
    assert "(a quick run)" in (place / "docs" / "performance.md").read_text()
    suite(place, "tiny")
    full = result(place)
    assert (full["quick"], full["table"]) == (False, {"header": ["what", "ratio"], "rows": [["a|b", "1.25"]]})
    assert "is kept" in suite(place, "--quick").stderr
    assert result(place) == full


def test_a_benchmark_that_fails_stops_no_other(place: Path) -> None:
    """One that fails and one that prints something else are named; the rest is recorded; the exit code is 1."""
    (place / "benchmarks" / "broken.py").write_text("raise SystemExit(3)")
    (place / "benchmarks" / "chatty.py").write_text("print('hello')")
    said = suite(place, code=1).stderr
    assert "2 of 3 benchmarks failed: broken, chatty" in said
    assert "exit code 0; got 3" in said
    assert "exactly one JSON object" in said
    assert result(place)["title"] == "Tiny"


def test_a_wrong_name_or_document_is_one_line(place: Path) -> None:
    """An unknown benchmark, and a document without its markers, are refused before anything runs."""
    assert "must be one of tiny; got tinny" in suite(place, "tinny", code=2).stderr
    (place / "docs" / "performance.md").write_text("# Speed\n")
    assert "<!-- results: begin -->" in suite(place, code=2).stderr
    assert not (place / "benchmarks" / "results").exists()


def ask_for_help(files: list[str]) -> None:
    """Print of each benchmark whether its help names the quick run: parsing comes before anything is measured."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    for path in files:
        sys.argv, said = [path, "--help"], io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            runpy.run_path(path, run_name="__main__")
        print(path, "--quick" in said.getvalue(), flush=True)


def test_every_benchmark_answers_help(tmp_path: Path) -> None:
    """Each script of the repository says what it measures, and has a quick run."""
    files = sorted(str(path) for path in (ROOT / "benchmarks").glob("*.py"))
    said = start_call(ask_for_help, files, folder=tmp_path).ends(0)
    assert said.splitlines() == [f"{path} True" for path in files]


def test_the_document_shows_the_recorded_results(tmp_path: Path) -> None:
    """docs/performance.md is what `make docs` writes from the results under version control."""
    document = (ROOT / "docs" / "performance.md").read_text()
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "performance.md").write_text(document)
    if (ROOT / "benchmarks" / "results").exists():
        (tmp_path / "benchmarks" / "results").symlink_to(ROOT / "benchmarks" / "results")
    suite(tmp_path, "--document")
    assert (tmp_path / "docs" / "performance.md").read_text() == document
