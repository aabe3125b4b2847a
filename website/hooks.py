"""What mkdocs calls while it builds the site. A warning here ends a strict build, like those of mkdocs itself."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import deepcolor
from website import commands

_ROOT = Path(__file__).parent.parent
_LOG = logging.getLogger("mkdocs.hooks.website")
_PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "README.md": "index.md"}
"""Files beside the folder of the documentation that are pages of the site."""
_LINK = re.compile(r"(?<=\]\()(?P<to>[^)#\s:]+)(?P<anchor>#[^)\s]*)?(?=\))")
_CODE = re.compile(r"<code>[^<]*</code>")
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["']?(?:https?:)?//[^>]*>|"polyfills":\s*\[[^]]+|class="mermaid\""""
)
"""What a browser would fetch from elsewhere, or the theme's own scripts would; a link that a reader follows is none of
it.
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision below theirs."""
    inside = next(part["Inside"] for part in config.nav or [] if "Inside" in part)
    place = next(index for index, entry in enumerate(inside) if "Decisions" in entry)
    found = sorted((_ROOT / "docs" / "decisions").glob("0*.md"))
    inside[place] = {"Decisions": ["decisions/README.md", *(f"decisions/{path.name}" for path in found)]}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are written from code, those that lie elsewhere, and the files that pages link to."""
    reference = (_ROOT / "website" / "python.md").read_text(encoding="utf-8")
    placed = set(re.findall(r"^::: deepcolor\.(\w+)", reference, re.MULTILINE))
    for name in sorted({*deepcolor.__all__} - placed - {"__version__"}):
        _LOG.warning("deepcolor.%s must have its place in website/python.md", name)
    made = {"reference/commands.md": commands.page(), "reference/python.md": reference}
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        made[_PAGES[name]] = (_ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
    for uri, content in made.items():
        files.append(File.generated(config, uri, content=content))
    for file in list(files.documentation_pages()):
        for link in _LINK.finditer(file.content_string):
            if (outside := _outside(file.src_uri, link["to"])) and outside not in _PAGES:
                uri = f"files/{outside}"
                if uri not in files.src_uris and (_ROOT / outside).is_file():
                    files.append(File.generated(config, uri, abs_src_path=str(_ROOT / outside)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links to files beside the folder of the documentation to where the site has them."""
    here = page.file.src_uri

    def led(link: re.Match[str]) -> str:
        outside = _outside(here, link["to"])
        if outside is None:
            return link[0]
        to = _PAGES.get(outside, f"files/{outside}")
        return relpath(to, Path(here).parent.as_posix()) + (link["anchor"] or "")

    return _LINK.sub(led, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Show a pipe in a table's code as one: the code host wants it escaped there, and Markdown's own tables do not."""
    return _CODE.sub(lambda code: code[0].replace("\\|", "|"), html)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Refuse a page that would fetch anything from elsewhere."""
    for found in _FETCHED.findall(output):
        if 'rel="canonical"' not in found:
            _LOG.warning("%s must fetch nothing from elsewhere; got %s", page.file.src_uri, found)
    return output


def _outside(page: str, to: str) -> str | None:
    """Where a page's link leads, if out of `docs/`: relative to the project's folder."""
    whole = normpath(f"docs/{Path(page).parent.as_posix()}/{to}")
    return None if whole.startswith(("docs/", "/")) else whole
