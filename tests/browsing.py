"""A real browser, and what it says of how accessible a page is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from tests.needs import CHROMIUM
from tests.processes import WAIT_S

GRAVE = {"serious", "critical"}


@contextmanager
def chromium() -> Iterator[Any]:
    """A real Chromium; the tests that need one are skipped where there is none, except in CI."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None or any(find_spec(name) is None for name in ("playwright", "axe_playwright_python")):
        CHROMIUM.lacking()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=WAIT_S * 1000)
        yield opened
        opened.close()


def assert_accessible(page: Any) -> None:
    """Have axe-core look at a page as it is now; it must find nothing serious."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    grave = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in GRAVE]
    assert not grave, "\n".join(grave)
