"""Pages as HTML: one file that holds all it needs, its scripts and pictures too."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from deepcolor import __version__
from deepcolor.printable import as_unicode
from deepcolor.report.page.charts import Chart
from deepcolor.report.page.comparing import together_chart
from deepcolor.report.page.study import StudyPage
from deepcolor.report.page.tables import TITLES, Cell, Table, figures_table, value_cell
from deepcolor.report.page.telling import moment
from deepcolor.words import duration, params_line, percent, plus_minus

if TYPE_CHECKING:
    from jinja2 import Environment

_ASSETS = "assets"
_SCRIPTS = ("uPlot.iife.min.js", "page.js")
_STYLES = ("uPlot.min.css", "page.css")
_WITH_EXPONENT = re.compile(r"\d[\d.]*e-\d+")


@dataclass(frozen=True)
class PipelineShown:
    """What a report says of the pipeline that its studies belong to."""

    name: str
    tests: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What each study's registered model is worth on test pictures, by study."""
    outcomes: Mapping[str, str] = field(default_factory=dict)
    """What became of each of these models, by study."""
    before: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The same figures of the model that a transfer started from, on the same pictures, by study."""


def html(pages: Sequence[StudyPage], *, written_ms: int, pipeline: PipelineShown | None = None) -> bytes:
    """Return a page of one study, or of several side by side.

    Args:
        pages: What is shown of each; at least one.
        written_ms: Now, as Unix time in milliseconds.
        pipeline: The one that they belong to.
    """
    names = [page.name for page in pages]
    several = f"{', '.join(names[:-1])} and {names[-1]}"
    title = f"Pipeline {pipeline.name}" if pipeline else f"Study {names[0]}" if len(names) == 1 else several
    library, script = (_asset(name) for name in _SCRIPTS)
    text = (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            about="" if len(names) == 1 else f"{len(names)} studies: {', '.join(names)}.",
            pages=pages,
            together=together(pages, pipeline),
            together_chart=_chart(pages),
            written=moment(written_ms),
            version=__version__,
            style=Markup("\n".join(_asset(name) for name in _STYLES)),  # noqa: S704  # files of our own
            library=Markup(library),  # noqa: S704  # the same
            script=Markup(script),  # noqa: S704  # the same
            script_hashes=" ".join(f"'{_hash(each)}'" for each in (library, script)),
        )
    )
    return as_unicode(text).encode("utf-8", errors="replace")


def comparison(pages: Sequence[StudyPage]) -> Table:
    """The studies side by side: a column each."""
    lines: dict[str, list[Cell]] = {}

    def put(name: str, cells: Sequence[str | Cell]) -> None:
        lines[name] = [cell if isinstance(cell, Cell) else Cell(cell or "-") for cell in cells]

    summaries = [page.summary for page in pages]
    sweeps = [page.study.sweep for page in pages]
    put("stage", [sweep.label for sweep in sweeps])
    put("data", [sweep.data.title for sweep in sweeps])
    put("looked for", [", ".join(sweep.search.objectives) for sweep in sweeps])
    put("sampler", [sweep.search.sampler for sweep in sweeps])
    put("searched", [", ".join(sweep.search_names) for sweep in sweeps])
    put("trials", [f"{one.trials}, {one.complete} complete" for one in summaries])
    put("best value", [value_cell(one.best.value if one.best else None) for one in summaries])
    put("best setting", [params_line(one.best.params) if one.best else "" for one in summaries])
    winners = [one.confirmation.winner if one.confirmation else None for one in summaries]
    if any(winners):
        put("under other seeds", [plus_minus(w.mean, w.std) if w else "" for w in winners])
    put("epochs trained", [f"{one.trained_epochs:,} of {one.requested_epochs:,} asked for" for one in summaries])
    put("epochs saved", [percent(one.saved) for one in summaries])
    put("time", [duration(page.study.spent.wall_s) for page in pages])
    for name in dict.fromkeys(
        n for one in summaries if one.best and one.best.outcome for n in one.best.outcome.metrics
    ):
        known = [one.best.outcome.metrics if one.best and one.best.outcome else {} for one in summaries]
        put(f"best trial: {TITLES.get(name, name)}", [value_cell(metrics.get(name)) for metrics in known])
    rows = tuple((Cell(name), *cells) for name, cells in lines.items())
    return Table("The studies side by side", ("study", *(page.name for page in pages)), rows)


def together(pages: Sequence[StudyPage], pipeline: PipelineShown | None) -> list[Table]:
    """What compares several studies: side by side, and, of a pipeline, what its models are worth."""
    if len(pages) < 2:
        return []
    tables = [comparison(pages)]
    if pipeline is None:
        return tables
    if pipeline.tests:
        shown = {name: pipeline.tests[name] for page in pages if (name := page.name) in pipeline.tests}
        table = figures_table("The registered models on test pictures, which no search has seen", shown)
        outcome = (Cell("registered as"), *(Cell(pipeline.outcomes.get(name, "-")) for name in shown))
        tables.append(Table(table.caption, table.columns, (outcome, *table.rows)))
    for study, before in pipeline.before.items():
        after = {name: value for name, value in pipeline.tests.get(study, {}).items() if name in before}
        caption = f"{study}: the same test pictures before and after fine-tuning"
        tables.append(figures_table(caption, {"before": before, "after": after}))
    return tables


def _chart(pages: Sequence[StudyPage]) -> Chart | None:
    """Their best values in one drawing, where these are of the same stage and data: others are not to be compared."""
    kinds = {(page.study.sweep.label, page.study.sweep.data.title) for page in pages}
    return together_chart([page.pictured for page in pages]) if len(pages) > 1 and len(kinds) == 1 else None


def _hash(script: str) -> str:
    """What a browser is told, so that it runs these scripts and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(_ASSETS, name).read_text(encoding="utf-8").strip()


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader(__package__, _ASSETS), autoescape=True, undefined=StrictUndefined)
    environment.filters["unbroken"] = _unbroken
    return environment


def _unbroken(text: str) -> Markup:
    """Keep numbers such as 6.296e-04 on one line: a browser takes their sign for a hyphen."""
    return Markup(_WITH_EXPONENT.sub(r'<span class="whole">\g<0></span>', str(escape(text))))  # noqa: S704  # escaped
