"""Look at the built site as its readers do: `python -m website.accessibility` opens a page of each kind in Chromium, as
wide as a phone and as a desk, in the dark and in the light, and fails where axe-core finds something serious, where a
page is wider than the screen, or where it complains.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

_SITE = Path(__file__).parent.parent / "build" / "site"
_KINDS = (
    "index.html",  # pictures
    "tutorial.html",  # code and pictures
    "sweep-files.html",  # tables of keys
    "performance.html",  # tables of figures
    "reference/commands.html",
    "reference/python.html",
    "decisions/index.html",
    "404.html",
)
_SCREENS = ((390, "dark"), (1280, "light"))
_GRAVE = frozenset({"serious", "critical"})


def main() -> int:
    """Return 1, and print what is wrong, where a page has a fault."""
    with _served() as url, sync_playwright() as started:
        browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        faults = list(_faults(browser, url))
        browser.close()
    for fault in faults:
        print(fault, file=sys.stderr)  # noqa: T201  # A command.
    return 1 if faults else 0


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _served() -> Iterator[str]:
    """The site over HTTP: axe-core reads style sheets, which a page that was opened from disk must not."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(_SITE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _faults(browser: Any, url: str) -> Iterator[str]:
    for width_px, scheme in _SCREENS:
        page = browser.new_page(viewport={"width": width_px, "height": 844}, color_scheme=scheme)
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        for name in _KINDS:
            page.goto(f"{url}/{name}")
            where = f"{name} ({width_px} px, {scheme})"
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                yield f"{where}: must fit the screen; it is wider."
            for found in Axe().run(page).response["violations"]:
                if found["impact"] in _GRAVE:
                    yield f"{where}: {found['help']}: {found['nodes'][0]['html'][:200]}"
            yield from (f"{where}: the page says: {text}" for text in said)
            said.clear()
        page.close()


if __name__ == "__main__":
    sys.exit(main())
