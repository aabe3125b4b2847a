"""The page of a report: one file that can be mailed, whole without scripts."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deepcolor
from deepcolor.app.how import How
from deepcolor.app.pipeline_report import leave_report
from deepcolor.app.report import MOST_STUDIES, form_of, report_of, write_report
from deepcolor.errors import ConfigError, StudyError
from deepcolor.report.page.rendering import html
from deepcolor.report.page.study import Sources, study_page
from deepcolor.report.page.thinning import MOST_ROWS
from deepcolor.search.study.importances import importance_ranges, importances
from deepcolor.search.study.storage import StudyStorage
from deepcolor.search.upkeep.replay import summary_of
from deepcolor.workspace import Workspace
from tests.browsing import assert_accessible, chromium
from tests.cli.conftest import Cli
from tests.report.reading import Element, read_page
from tests.reporting import Heard
from tests.shared import copied

PARTS = (
    "asked",
    "leaderboard",
    "curves",
    "parallel",
    "importances",
    "slices",
    "pictures",
    "confirmation",
    "cost",
    "reproduce",
    "provenance",
)
MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def painted(reported: Workspace) -> Element:
    """The page of the colorizer's study."""
    return read_page(report_of(reported, ["painted"]))


def section(page: Element, part: str, *, study: int = 1) -> Element:
    (found,) = page.all("section", id=f"s{study}-{part}")
    return found


def test_a_page_has_every_part_without_scripts(painted: Element) -> None:
    """What was asked, the answer, tables, drawings, pictures, cost and provenance are all in the HTML itself."""
    assert [section(painted, part).all("h3")[0].text for part in PARTS]
    (answer,) = painted.all("p", **{"class": "answer"})
    assert re.fullmatch(
        r"The best setting is lr=.* \(trial \d+\), with val/mse .* ± .* over 2 other seeds; .*\.", answer.text
    )
    rows = section(painted, "leaderboard").all("tbody")[0].all("tr")
    assert [row.all("th")[0].text for row in rows] == [str(rank) for rank in range(1, 21)]
    drawn = {part: len(section(painted, part).all("svg")) for part in PARTS}
    assert {part: count for part, count in drawn.items() if count} == {
        "curves": 2,
        "parallel": 1,
        "importances": 1,
        "slices": 3,
        "confirmation": 1,
    }
    assert "The lines are the range over ten resamplings" in section(painted, "importances").text
    assert "20: 20 complete; 4 trainings more to confirm the best" in section(painted, "cost").text
    assert "epochs that trials share" in section(painted, "cost").text
    assert "deepcolor pipeline whole.yaml" in section(painted, "reproduce").text
    assert "study: painted" in section(painted, "reproduce").all("pre")[-1].text
    assert "torch" in section(painted, "provenance").text


def test_several_objectives_come_first(reported: Workspace) -> None:
    """The answer gives the chosen trial's value in each; they stand side by side, and their front is drawn first."""
    page = read_page(report_of(reported, ["moved"]))
    (answer,) = page.all("p", **{"class": "answer"})
    told = r"The one chosen of the front, of 1 complete trial, is trial 0: lr=0.001, with val/mse .*, parameters .*; .*"
    assert re.fullmatch(told, answer.text)
    board = section(page, "leaderboard").all("table")[0]
    assert board.all("caption")[0].text == "Trials by val/mse, those of the front first"
    columns = [cell.text for cell in board.all("thead")[0].all("th")]
    assert columns[:7] == ["rank", "trial", "state", "front", "val/mse", "parameters", "lr"]
    assert columns.count("parameters") == 1
    drawn = section(page, "curves").all("figcaption")
    assert drawn[0].text == "the front of val/mse and parameters"


def test_a_page_needs_nothing_beside_it(reported: Workspace, painted: Element) -> None:
    """It loads nothing, lets no script run but its own two, and is small."""
    content = report_of(reported, ["painted"])
    assert len(content) < MOST_BYTES
    everything = painted.all("html")[0]
    for attribute in ("src", "href", "srcset", "data", "action", "poster"):
        found = {one.attributes[attribute] for one in _flat(everything) if attribute in one.attributes}
        assert all(uri.startswith(("data:", "#")) for uri in found)
    assert not re.search(rb"@import|url\((?!data:)", content)
    assert not painted.all("link")
    policy = painted.all("meta", **{"http-equiv": "Content-Security-Policy"})[0].attributes["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    scripts = [one for one in painted.all("script") if "type" not in one.attributes]
    hashes = [base64.b64encode(hashlib.sha256("".join(one.own).encode()).digest()).decode() for one in scripts]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert len(hashes) == 2


def test_what_is_drawn_is_printed(painted: Element) -> None:
    """The key stands above what is drawn, and a dot that is a square has a length, without which it is not printed."""
    confirmed = section(painted, "confirmation").all("svg")[0]
    top = float(confirmed.attributes["viewbox"].split()[1])
    said = [text for text in confirmed.all("text") if text.text in ("under other seeds", "mean ± std")]
    assert [float(text.attributes["y"]) < 0 for text in said] == [True, True]
    assert all(float(text.attributes["y"]) > top for text in said)
    squares = [one for one in confirmed.all("path") if one.attributes.get("stroke-linecap") == "square"]
    assert squares
    assert all(re.search(r"h\.\d", one.attributes["d"]) for one in squares)


def test_what_users_write_stays_text(painted: Element) -> None:
    """A description that looks like HTML is read as it was written, and makes no element."""
    (told,) = painted.all("p", **{"class": "description"})
    assert told.text == '<script>alert("told")</script> & <b>more</b>'
    assert not told.children


def test_numbers_are_never_broken(painted: Element) -> None:
    """A number such as 5.6e-05 is on one line wherever it stands: in a column of numbers, or marked in a text."""
    with_exponent = re.compile(r"\de-\d")
    told = [one for one in _flat(painted) if any(with_exponent.search(text) for text in one.own)]
    broken = [one for one in told if one.tag not in ("script", "style", "text", "title", "code", "pre")]
    assert broken
    assert {one.attributes.get("class") for one in broken} <= {"n", "whole"}


def test_a_page_is_made_for_all_readers(painted: Element) -> None:
    """Every picture and drawing says what it shows, what scrolls can be reached by keyboard, ids are not repeated."""
    pictures = painted.all("img")
    assert pictures
    assert all(picture.attributes["alt"] for picture in pictures)
    assert all(one.attributes["role"] == "img" and one.attributes["aria-label"] for one in painted.all("svg"))
    scrolling = [one for one in _flat(painted) if "scrolls" in one.attributes.get("class", "").split()]
    assert all(one.attributes["tabindex"] == "0" and one.attributes["aria-label"] for one in scrolling)
    ids = [one.attributes["id"] for one in _flat(painted) if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    assert all(named in ids for one in painted.all("section") for named in one.attributes["aria-labelledby"].split())
    assert [one.attributes["lang"] for one in painted.all("html")] == ["en"]
    links = [one.attributes["href"].removeprefix("#") for one in painted.all("a")]
    assert set(links) <= set(ids)
    assert [f"s1-{part}" for part in PARTS] == links[-len(PARTS) :]


def test_a_browser_finds_nothing_serious(reported: Workspace, tmp_path: Path) -> None:
    """In Chromium without a network, as wide as a desk and as a phone: the pages of a study and of a pipeline make no
    complaint, fit the screen, and pass an accessibility check.
    """
    (tmp_path / "painted.html").write_bytes(report_of(reported, ["painted"]))
    shutil.copy(reported.pipeline_page("whole"), tmp_path / "whole.html")
    said: list[str] = []
    with chromium() as browser:
        for name, width in (("painted", 390), ("whole", 1280)):
            context = browser.new_context(viewport={"width": width, "height": 800}, offline=True)
            page = context.new_page()
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.goto((tmp_path / f"{name}.html").as_uri())
            page.locator(".zoomable button").first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert said == []
            assert_accessible(page)
            context.close()


def test_charts_can_be_zoomed_and_pictures_compared(painted: Element) -> None:
    """The curves come with their points for the script, and each tile with the same picture grey, coloured and true."""
    curves = [json.loads("".join(one.own)) for one in painted.all("script", type="application/json")]
    assert [(one["x_name"], one["y_name"]) for one in curves] == [("trial", "val/mse"), ("epoch", "val/mse")]
    assert all(len(series["values"]) == len(one["x"]) for one in curves for series in one["series"])
    assert curves[1]["x"] == [1, 2]
    tiles = section(painted, "pictures").all("figure", **{"class": "sheet slides"})[0].all("div", **{"class": "tile"})
    kinds = [[layer.attributes["class"] for layer in tile.all("img")] for tile in tiles]
    assert kinds == [["grey", "coloured", "truth"]] * len(tiles)
    assert tiles
    shown = [
        Image.open(io.BytesIO(base64.b64decode(layer.attributes["src"].partition(",")[2])))
        for layer in tiles[0].all("img")
    ]
    assert {picture.size for picture in shown} == {(128, 128)}
    saturation = [int(np.asarray(picture.convert("HSV"))[..., 1].max()) for picture in shown]
    assert saturation[0] < 30 < saturation[2]


def test_a_pipeline_is_its_studies_and_what_fine_tuning_changed(reported: Workspace) -> None:
    """Its page has all its studies, side by side first, and the same test pictures before and after."""
    content = report_of(reported, ["whole"])
    page = read_page(content)
    assert len(content) < MOST_BYTES
    assert page.all("h1")[0].text == "Pipeline whole"
    assert [one.all("h2")[0].text for one in page.all("article")] == ["painted", "moved"]
    tables = {table.all("caption")[0].text: table for table in page.all("section", id="together")[0].all("table")}
    assert [cell.text for cell in tables["The studies side by side"].all("thead")[0].all("th")][1:] == [
        "painted",
        "moved",
    ]
    changed = tables["moved: the same test pictures before and after fine-tuning"]
    assert [cell.text for cell in changed.all("thead")[0].all("th")] == ["figure", "before", "after"]
    assert {"mse", "PSNR dB"} <= {row.all("th")[0].text for row in changed.all("tbody")[0].all("tr")}


def test_the_sweep_itself_leaves_the_page(reported: Workspace) -> None:
    """It lies in the study's report, and with its run in MLflow."""
    page = reported.report("painted") / "report.html"
    assert read_page(page.read_bytes()).all("h1")[0].text == "Study painted"
    kept = [file.read_bytes() for file in reported.artifacts.rglob("report/report.html")]
    assert page.read_bytes() in kept


def test_the_pipeline_itself_leaves_the_page(reported: Workspace, tmp_path: Path) -> None:
    """It lies in the pipeline's folder, and with the run of its last study in MLflow; a second time, and where MLflow
    does not answer, nothing is lost.
    """
    page = reported.pipeline_page("whole")
    assert read_page(page.read_bytes()).all("h1")[0].text == "Pipeline whole"
    assert page.read_bytes() in [file.read_bytes() for file in reported.artifacts.rglob("report/pipeline-whole.html")]
    copied(reported.root, tmp_path / "copy")
    copy = Workspace.at(tmp_path / "copy")
    (tmp_path / "file").touch()
    heard = Heard()
    how = How(copy, f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}", reporter=heard)
    leave_report("whole", how)
    assert copy.pipeline_page("whole").read_bytes() == page.read_bytes()
    copy.pipeline_page("whole").unlink()
    leave_report("whole", how)
    assert read_page(copy.pipeline_page("whole").read_bytes()).all("h1")[0].text == "Pipeline whole"
    (warning,) = heard.warnings
    assert warning.startswith("moved: the pipeline's report is not in MLflow yet. deepcolor sync brings it there. ")


def test_tables_come_in_other_forms(reported: Workspace, tmp_path: Path) -> None:
    """As comma-separated values, JSON or Markdown; a file's ending says which."""
    rows = list(csv.DictReader(io.StringIO(report_of(reported, ["painted", "moved"], form="csv").decode())))
    assert [row["study"] for row in rows] == ["painted"] * 20 + ["moved"]
    content = json.loads(report_of(reported, ["whole"], form="json"))
    assert [study["study"] for study in content["studies"]] == ["painted", "moved"]
    assert content["studies"][0]["summary"]["complete"] == 20
    assert content["before"].keys() == {"moved"}
    study = deepcolor.open_study("painted", workspace=reported.root)
    told = study.report(tmp_path / "painted.md").read_text()
    assert told.startswith("# painted\n\n\\<script>")
    assert "| rank | trial | state | val/mse | lr | epochs | optimizer |" in told
    assert form_of(None, to=Path("a.CSV")) == "csv"
    assert form_of(None, to=Path("report")) == "html"


def test_the_command_writes_prints_and_refuses(reported: Workspace, tmp_path: Path) -> None:
    """Tables are printed where no file is named; a wrong name, form or folder is one line and exit code 2."""
    cli = Cli(tmp_path)
    where = ("--workspace", str(reported.root))
    assert "the report of painted is in p.html" in cli.run("report", "painted", "-o", "p.html", *where).stdout
    assert read_page((tmp_path / "p.html").read_bytes()).all("article")
    printed = cli.run("report", "moved", "--format", "csv", *where).stdout
    assert len(list(csv.reader(io.StringIO(printed)))) == 2
    for words, said in (
        (("report", "paintet"), "did you mean painted"),
        (
            ("report", "painted", "--format", "htm"),
            "--format: must be one of html, csv, json, md; got htm. Did you mean html?",
        ),
        (("report", "painted", "-o", "no/where.html"), "there is no folder no"),
    ):
        refused = cli.run(*words, *where, code=2)
        assert said in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1


def test_too_many_studies_are_refused(reported: Workspace, tmp_path: Path) -> None:
    """More than fit beside each other are refused, and so is a folder in the place of a file."""
    names = [f"s{number}" for number in range(MOST_STUDIES + 1)]
    workspace = Workspace.at(tmp_path).create()
    _copy_study(reported, workspace)
    with sqlite3.connect(workspace.optuna_db) as database:
        (number,) = database.execute("select max(study_id) from studies").fetchone()
        for study, name in enumerate(names, start=number + 1):
            database.execute("insert into studies values (?, ?)", (study, name))
    with pytest.raises(StudyError, match=f"must be of at most {MOST_STUDIES} studies.* got {len(names)}"):
        report_of(workspace, names)
    with pytest.raises(ConfigError, match="which is a folder"):
        write_report(workspace, ["painted"], to=tmp_path)


def test_a_page_of_ten_thousand_trials_is_small(reported: Workspace, tmp_path: Path) -> None:
    """However many trials there are, the page says how many of them it shows, and stays within its limit."""
    workspace = Workspace.at(tmp_path).create()
    _copy_study(reported, workspace)
    _multiply_trials(workspace.optuna_db, study="painted", times=500)
    (tmp_path / "studies" / "trajectories").rmdir()
    (tmp_path / "studies" / "trajectories").symlink_to(reported.trajectories)
    study = StudyStorage(workspace).load("painted")
    trials = study.trials()
    assert len(trials) == 10_004
    sources = Sources(workspace.study("painted"), workspace.trajectories)
    # Without importances: they are as large for any number of trials, and take longer than all else.
    content = html(
        [study_page(study, summary_of(study, trials, histories={}), sources=sources, shares={})], written_ms=0
    )
    assert len(content) < MOST_BYTES
    page = read_page(content)
    assert len(section(page, "leaderboard").all("tbody")[0].all("tr")) == MOST_ROWS
    assert f"The best {MOST_ROWS} of 10,000 trials" in section(page, "leaderboard").text
    assert "1,500 of 10,000 trials are drawn" in section(page, "curves").text


def test_the_range_of_an_importance_holds_it(reported: Workspace) -> None:
    """Resampled, shares differ; the range that is told has the share of all trials in it, and is the same each time."""
    study = StudyStorage(reported).load("painted")
    shares = importances(study, ["lr", "epochs", "optimizer"])
    ranges = importance_ranges(study, shares)
    assert {name: list(each) for name, each in ranges.items()} == {name: list(each) for name, each in shares.items()}
    every = [one for each in ranges.values() for one in each.values()]
    assert all(0 <= one.low <= one.share <= one.high <= 1 for one in every)
    assert any(one.low < one.high for one in every)
    assert importance_ranges(study, shares) == ranges


def _copy_study(source: Workspace, target: Workspace) -> None:
    """Copy the database of studies, and what the colorizer's folder says of its start."""
    with sqlite3.connect(source.optuna_db) as database, sqlite3.connect(target.optuna_db) as copy:
        database.backup(copy)
    target.study("painted").mkdir(parents=True, exist_ok=True)
    target.trajectories.mkdir(parents=True, exist_ok=True)
    (target.study("painted") / "start.json").write_bytes((source.study("painted") / "start.json").read_bytes())


def _multiply_trials(path: Path, *, study: str, times: int) -> None:
    """Let a study have each of its search's trials so many times, in a statement for each table."""
    with sqlite3.connect(path) as database:
        (study_id,) = database.execute("select study_id from studies where study_name = ?", (study,)).fetchone()
        (step,) = database.execute("select max(trial_id) from trials").fetchone()
        count = 20
        first = f"select trial_id from trials where study_id = {study_id} and number < {count}"
        copies = f"with recursive n(k) as (select 1 union all select k + 1 from n where k < {times} - 1)"
        skip = 4  # those that confirm come between
        database.execute(
            f"{copies} insert into trials (trial_id, number, study_id, state, datetime_start, datetime_complete) "
            f"select trial_id + k * {step}, number + k * {count} + {skip}, study_id, state, datetime_start, "
            f"datetime_complete from trials, n where study_id = {study_id} and number < {count}"
        )
        for table in ("trial_params", "trial_values", "trial_user_attributes", "trial_system_attributes"):
            names = [row[1] for row in database.execute(f"pragma table_info({table})")]
            kept = [name for name in names[1:] if name != "trial_id"]
            listed = ", ".join(kept)
            database.execute(
                f"{copies} insert into {table} (trial_id, {listed}) select trial_id + k * {step}, {listed} "
                f"from {table}, n where trial_id in ({first})"
            )


def _flat(element: Element) -> list[Element]:
    return [element, *(one for child in element.children for one in _flat(child))]
