"""MLflow's own pages on a study, in a real browser: what is prepared is there, behind every link."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepcolor.app.ui import Pages, find_pages
from deepcolor.coloring.samples import draw_sheet
from deepcolor.coloring.sheet import INPUT, PREDICTION, TRUTH
from deepcolor.config.schema import ConfirmConfig, ParamValue, PrunerConfig, SearchConfig
from deepcolor.tracking.rebuild import rebuild
from deepcolor.tracking.records import StudyRecord, TrialRecord
from deepcolor.workspace import Workspace
from tests.app.test_ui import free_port
from tests.browsing import chromium
from tests.processes import WAIT_S
from tests.reliability.processes import wait_until
from tests.tracking.building import T0_MS, make_sweep, new_store, study_record, trial_record

SWEEP = make_sweep(
    "shades",
    search=SearchConfig(
        space={"lr": [1e-3, 1e-4], "feature_maps": [3, 9]},  # type: ignore[arg-type]  # as in YAML
        pruner=PrunerConfig(name="asha", min_epochs=2),
        confirm=ConfirmConfig(top=1, seeds=2),
    ),
)
RUNG, END = 2, 6
PICTURES = 3
IN_TRAINING_VIEW = "Models"
"""A link beside the runs that only the view of model trainings has; the others have evaluations."""


def sheet(file: Path, *, shade: float) -> Path:
    """A contact sheet of a few pictures."""
    tiles = np.stack([np.full((128, 128, 3), shade + number / 20, np.float32) for number in range(PICTURES)])
    file.parent.mkdir(parents=True, exist_ok=True)
    draw_sheet({INPUT: tiles, TRUTH: tiles, PREDICTION: tiles}, title="drawn").save(file)
    return file


def trials(folder: Path) -> Iterator[TrialRecord]:
    """Two trials that were trained to their end, two that were pruned, and the best one under two other seeds."""
    for number in range(6):
        whole = number not in {2, 3}
        shade = 0.2 + number / 10
        epochs = END if whole else RUNG
        record = trial_record(SWEEP, number, state="complete" if whole else "pruned", epochs=epochs)
        result = sheet(folder / str(number) / "samples.png", shade=shade).parent if whole else None
        rungs = ((RUNG, sheet(folder / f"{number}.webp", shade=shade)),)
        metrics = {"psnr_db": 21.5, "best_epoch": float(epochs)}
        record = dataclasses.replace(record, result=result, rungs=rungs, metrics=metrics)
        if number >= 4:
            params: dict[str, ParamValue] = {"confirms": 0, "seed": number, "lr": 1e-3, "feature_maps": 3}
            record = dataclasses.replace(record, confirms=(0, number), params=params)
        yield record


@pytest.fixture(scope="module")
def pages(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """MLflow's server on a workspace with one study."""
    root = tmp_path_factory.mktemp("pages")
    uri, report = new_store(mlflow_template, root), root / "report"
    report.mkdir()
    for name in ("optimization_history.png", "slices.png"):
        Image.new("RGB", (320, 200), (200, 90, 30)).save(report / name)
    study = study_record(SWEEP, state="complete", best=((0, T0_MS + 1, 5e-3),), best_trial=0, report=report)
    records: list[StudyRecord | TrialRecord] = [study, *trials(root / "store")]
    rebuild(records, tracking_uri=uri, artifact_root=root / "mlruns" / "artifacts")
    found = find_pages(Workspace.at(root), uri, port=free_port())
    assert found.server is not None
    with found.server.running():
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser that has seen MLflow before: its assistant does not open by itself."""
    with chromium() as opened:
        context = opened.new_context(viewport={"width": 1600, "height": 1200})
        context.set_default_timeout(WAIT_S * 1000)
        context.add_init_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
        yield context


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page()
    yield opened
    opened.close()


def assert_is_of_trainings(page: Any) -> None:
    """The page lies in the view "Model training"."""
    page.get_by_role("link", name=IN_TRAINING_VIEW, exact=True).wait_for()
    assert page.get_by_role("link", name="Evaluation runs").count() == 0


def seen(page: Any, selector: str, *, by: str) -> list[str]:
    """The texts of a page's elements in the order in which they are seen, which is not that of the document."""
    script = """([selector, by]) => [...document.querySelectorAll(selector)]
        .map(one => [one.getBoundingClientRect()[by], one.innerText.trim()]).sort((a, b) => a[0] - b[0])"""
    return list(dict.fromkeys(text for _, text in page.evaluate(script, [selector, by])))


def test_the_list_has_the_best_first(pages: Pages, page: Any) -> None:
    """The study's link opens its trials by value, with the searched parameters and the error in CIELAB units; what
    confirms them is not among them.
    """
    page.goto(pages.studies["shades"])
    page.get_by_text("t0000 lr=1e-3 fm=3").wait_for()
    names = ["t0000 lr=1e-3 fm=3", "t0001 lr=1e-3 fm=9", "t0002 lr=1e-4 fm=3", "t0003 lr=1e-4 fm=9"]
    wait_until(
        lambda: [text for text in seen(page, "a", by="y") if text.startswith("t0")] == names, "the best is first"
    )
    columns = ["value", "chosen/val/rmse_ab", "lr", "feature_maps"]
    wait_until(
        lambda: [text for text in seen(page, "[role=columnheader]", by="x") if text in columns] == columns,
        "the columns are in order",
    )
    assert_is_of_trainings(page)


def test_the_charts_show_one_picture_across_trials(pages: Pages, page: Any) -> None:
    """Curves, parallel coordinates and parameters of the best trials, and a card for each picture, in which all of them
    show what they made of it at their first rung.
    """
    page.goto(pages.charts["shades"])
    for title in ("val/rmse_ab", "Parallel Coordinates", "lr vs. chosen/val/rmse_ab", "pictures/1"):
        page.get_by_text(title, exact=True).first.wait_for()
    page.get_by_text("pictures/1", exact=True).scroll_into_view_if_needed()
    shown = page.locator("img[src*='pictures~1'], img[src*='pictures%7E1']")
    shown.nth(3).wait_for()
    loaded = "images => images.every(image => image.complete && image.naturalWidth === 128)"
    wait_until(lambda: shown.evaluate_all(loaded), "the pictures are loaded")
    assert all(f"step%2B{RUNG}%2B" in src for src in shown.evaluate_all("images => images.map(image => image.src)"))
    assert_is_of_trainings(page)


def test_the_confirmation_has_the_mean_of_each_setting(pages: Pages, page: Any) -> None:
    """The trainings under other seeds are grouped by the trial that they confirm."""
    page.goto(pages.confirmations["shades"])
    page.get_by_text("Group: 0").wait_for()
    page.get_by_text("(average)").first.wait_for()
    wait_until(lambda: page.get_by_text("confirms=0 seed=").count() == 2, "both are listed")
    assert_is_of_trainings(page)


def test_a_studys_page_begins_with_its_pictures(pages: Pages, page: Any) -> None:
    """Its description shows the pictures of its report, and links to the charts and to the best trial's own page, each
    of which opens among model trainings.
    """
    page.goto(pages.about["shades"])
    page.get_by_text("Show more").click()
    figures = page.locator("img[src*='get-artifact'][src*='report']")
    figures.nth(1).wait_for()
    page.wait_for_function(
        "() => [...document.querySelectorAll(\"img[src*='report']\")].every(image => image.naturalWidth === 320)"
    )
    assert_is_of_trainings(page)
    for link, there in (("charts of the best 10", "Parallel Coordinates"), ("best: trial 0", "Parent run")):
        with page.context.expect_page() as opened:
            page.get_by_role("link", name=link).click()
        opened.value.get_by_text(there, exact=True).first.wait_for()
        assert_is_of_trainings(opened.value)
        opened.value.close()
