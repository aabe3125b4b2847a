"""Views of MLflow's pages that are prepared for a study, and links that open them. Pure, and without a client.

    best first     its trials as one sorted table with the useful columns
    charts         the same view with its charts: curves of the best ten, parallel coordinates, parameters, pictures
    confirmation   trainings under other seeds, with the mean of each setting

The pages keep a view in a tag of the experiment, list it by its name, and open it by its key. A link says which kind of
page is meant, too: without that, MLflow opens an overview of traces, or evaluations.
"""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from deepcolor.tracking import layout

VIEW_PREFIX = "mlflow.sharedViewState."
_OURS = f"{VIEW_PREFIX}deepcolor-"
MAX_TAG_CHARS = 5000
"""Of a tag of an experiment, as MLflow's servers had it for long."""
LISTED = 20
"""How many views the pages list at most. They refuse to save one of a user's own once there are 40."""
BEST_RUNS = 10
"""How many trials the charts show; an image grid compares no more."""
_STEPS = {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""}
"""Curves over epochs as they are; left to itself, MLflow smooths them."""
_KIND = {"workflowType": "machine_learning"}
_CHARTS = {"compareRunsMode": "CHART"}
_DEFLATED = "deflate;"


@dataclass(frozen=True)
class Around:
    """What a study's description links to, and shows."""

    experiment_id: str
    run_id: str
    """Of the study's own run, which has the files of its report."""
    trials: Mapping[int, str]
    """Runs of trials by number, as far as they are known."""
    figures: Sequence[str] = ()
    """Pictures in its report, by file name."""


@dataclass(frozen=True)
class StudyViews:
    """What the views of a study show."""

    study: str
    study_id: str
    created_ms: int
    """When the study began, Unix time in milliseconds."""
    searched: Sequence[str]
    """Names of the searched parameters."""
    final: Sequence[str]
    """Names of the metrics that are columns beside the value."""
    beside: Sequence[str] = ()
    """Metrics that say the value in other units; their columns follow it."""
    curves: Sequence[str] = ()
    """Metrics of the epochs that are drawn."""
    pictures: Sequence[str] = ()
    """Keys of the image grid."""
    shown_epoch: int = 0
    """The epoch at which the image grid begins: the first one of which there are pictures, as all trials have them."""
    maximized: bool = False
    """Whether a larger value is better."""
    confirmed: bool = False
    """Whether settings are trained again under other seeds."""

    def tags(self) -> dict[str, str]:
        """Return the tags of the experiment that hold the views."""
        views = {best_key(self.study_id): ("best first", self._best())}
        if self.confirmed:
            views[confirmation_key(self.study_id)] = ("confirmation", self._confirmation())
        return {view_tag(key): self._value(name, state) for key, (name, state) in views.items()}

    def _value(self, name: str, state: Mapping[str, object]) -> str:
        """What a tag holds of a view: without its charts, and in the end without its columns, where it is too long."""
        envelope = {"name": f"{self.study}: {name}", "createdAt": self.created_ms, "updatedAt": self.created_ms}
        facets = {key: state[key] for key in facets_of("", ascending=True)}
        without_charts = {key: each for key, each in state.items() if key not in self._charts()}
        values = (json.dumps({**envelope, "state": _deflated(each)}) for each in (state, without_charts, facets))
        return next((value for value in values if len(value) <= MAX_TAG_CHARS), "")

    def _best(self) -> dict[str, object]:
        return {
            **facets_of(layout.trials_filter(self.study_id), ascending=not self.maximized),
            **self._columns(("best_epoch", *self.final), tags=(layout.STATE,)),
            **self._charts(),
            "runsHiddenMode": f"FIRST_{BEST_RUNS}_RUNS",
        }

    def _confirmation(self) -> dict[str, object]:
        return {
            **facets_of(layout.confirmations_filter(self.study_id), ascending=not self.maximized),
            **self._columns(("best_epoch", *self.final), tags=(layout.SEED, layout.CONFIRMS, layout.STATE)),
            "groupBy": {
                "aggregateFunction": "average",
                "groupByKeys": [{"mode": "tag", "groupByData": layout.CONFIRMS}],
            },
        }

    def _columns(self, metrics: Sequence[str], *, tags: Sequence[str]) -> dict[str, object]:
        columns = [
            *(_column("metrics", name) for name in (layout.VALUE, *self.beside)),
            *(_column("params", name) for name in self.searched),
            *(_column("metrics", name) for name in metrics),
            *(_column("tags", name) for name in tags),
        ]
        name_column = _column("attributes", "Run Name")
        return {
            "selectedColumns": columns,
            # The UI would sort them by group and letter, with the value near the end.
            "columnOrder": [name_column, "runDateAndNestInfo", *columns],
            "columnWidths": {name_column: 300} | dict.fromkeys(columns, 110),
        }

    def _charts(self) -> dict[str, object]:
        best, pictures = self._id("best"), self._id("pictures")
        result = next(iter(self.beside), layout.VALUE)
        cards: list[dict[str, object]] = [
            {"type": "LINE", "metricSectionId": best, "metricKey": name, "selectedMetricKeys": [name], **_STEPS}
            for name in self.curves
        ]
        if self.searched:
            shown = {"selectedParams": list(self.searched), "selectedMetrics": [result], "showAllRuns": True}
            cards.append({"type": "PARALLEL", "metricSectionId": best, **shown})
        for name in self.searched:
            axes = {"xaxis": {"key": name, "type": "PARAM"}, "yaxis": {"key": result, "type": "METRIC"}}
            cards.append({"type": "SCATTER", "metricSectionId": best, **axes})
        for key in self.pictures:
            # One card each: a card of several keys is a table that only fits the full screen. And without the params,
            # which would all stand above each picture.
            shown = {"imageKeys": [key], "step": self.shown_epoch, "showRunParams": False}
            cards.append({"type": "IMAGE", "metricSectionId": pictures, **shown})
        common = {"runsCountToCompare": BEST_RUNS, "deleted": False, "isGenerated": False}
        names = {best: f"Best {BEST_RUNS}", **({pictures: "What they make of the pictures"} if self.pictures else {})}
        return {
            "compareRunCharts": [{"uuid": self._id(str(place)), **common, **card} for place, card in enumerate(cards)],
            "compareRunSections": [
                {"uuid": place, "name": name, "display": True, "isReordered": True} for place, name in names.items()
            ],
            # Else the sections are sorted by name, and what MLflow makes by itself of every metric comes first.
            "isAccordionReordered": True,
            "globalLineChartConfig": _STEPS,
        }

    def _id(self, of: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.study_id}/{of}"))


def best_key(study_id: str) -> str:
    """Name the view of a study's trials, best first, with its charts."""
    return f"deepcolor-{study_id}"


def confirmation_key(study_id: str) -> str:
    """Name the view of a study's trainings under other seeds."""
    return f"deepcolor-{study_id}-confirmation"


def view_tag(key: str) -> str:
    """Return the experiment's tag that holds a saved view of the pages."""
    return f"{VIEW_PREFIX}{key}"


def no_longer_listed(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags that take the oldest of too many views out of the list that the pages offer; their links still work.

    Args:
        tags: All of the experiment.
    """
    listed = {name: said for name, value in tags.items() if name.startswith(_OURS) and (said := _enveloped(value))}
    oldest = sorted(listed, key=lambda name: (listed[name]["createdAt"], name))[: max(0, len(listed) - LISTED)]
    # The pages list what has a name, and open what has none as well.
    return {name: str(listed[name]["state"]) for name in oldest}


def study_link(base_url: str, *, experiment_id: str, study_id: str, has_view: bool = True) -> str:
    """Return the link that opens MLflow's UI on the trials of a study, best first.

    Args:
        base_url: Where the UI is served, such as `http://127.0.0.1:5000`; empty for one in a description, which is
            shown on the same pages, wherever they are.
        experiment_id: MLflow's id of the stage's experiment.
        study_id: Of the study.
        has_view: The study's view is saved in the experiment (`StudyViews`); else the link carries filter and sort.
    """
    if has_view:
        return _runs_link(base_url, experiment_id, {"viewStateShareKey": best_key(study_id)})
    facets = facets_of(layout.trials_filter(study_id), ascending=True).items()
    plain = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in facets if value != []}
    return _runs_link(base_url, experiment_id, plain)


def charts_link(base_url: str, *, experiment_id: str, study_id: str) -> str:
    """Return the link that opens the charts of a study's best trials; its view must be saved."""
    return _runs_link(base_url, experiment_id, {"viewStateShareKey": best_key(study_id), **_CHARTS})


def confirmation_link(base_url: str, *, experiment_id: str, study_id: str) -> str:
    """Return the link that opens a study's trainings under other seeds; its view must be saved."""
    return _runs_link(base_url, experiment_id, {"viewStateShareKey": confirmation_key(study_id)})


def run_link(base_url: str, *, experiment_id: str, run_id: str) -> str:
    """Return the link that opens the page of one run."""
    return f"{_root(base_url)}#/experiments/{experiment_id}/runs/{run_id}?{urlencode(_KIND)}"


def artifact_url(run_id: str, path: str) -> str:
    """Return the address of a run's artifact, for a description that is shown in the pages of the same server."""
    return f"get-artifact?{urlencode({'path': path, 'run_uuid': run_id}, quote_via=quote)}"


def facets_of(search: str, *, ascending: bool) -> dict[str, object]:
    """Return which runs a page lists, and how they are sorted.

    Args:
        search: The filter.
        ascending: Whether the smallest value comes first.
    """
    return {
        "searchFilter": search,
        "orderByKey": _column("metrics", layout.VALUE),
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
    }


def _runs_link(base_url: str, experiment_id: str, query: Mapping[str, str]) -> str:
    words = urlencode({**_KIND, **query}, quote_via=quote)
    return f"{_root(base_url)}#/experiments/{experiment_id}/runs?{words}"


def _root(base_url: str) -> str:
    return f"{base_url.rstrip('/')}/" if base_url else ""


def _column(group: str, name: str) -> str:
    return f"{group}.`{name}`"


def _deflated(state: Mapping[str, object]) -> str:
    packed = zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 9)
    return f"{_DEFLATED}{base64.b64encode(packed).decode()}"


def _enveloped(value: str) -> dict[str, Any] | None:
    """What a tag says of a view that the pages list; None for one that they do not."""
    try:
        said = json.loads(value)
        return said if isinstance(said["createdAt"], int) and isinstance(said["state"], str) else None
    except (ValueError, KeyError, TypeError):
        return None
