"""What a model says about itself, in markdown: the description of its version, the card beside pulled weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepcolor.config.schema import StageName
from deepcolor.models.description import ModelDescription
from deepcolor.registry.evidence import Evidence
from deepcolor.registry.versions import ModelVersion
from deepcolor.stages.finding import stage_named

_UNITS = "MSE in normalised units, (value + 128) / 255; colourfulness relative to the originals."


def version_text(
    stage: StageName,
    description: ModelDescription,
    test: Mapping[str, float],
    *,
    study: str,
    trial: int,
    evidence: Evidence | None = None,
) -> str:
    """Return the description of a version, as the registry's page shows it."""
    lines = [
        stage_named(stage).about,
        "",
        f"Trial **{trial}** of study **{study}**, epoch {description.epoch}.",
        f"Started from **{description.parent}**." if description.parent else "Started from random weights.",
        "",
        "On the test split, which no search has seen:",
        "",
        *_figures(test),
        "",
        *_confirmation(evidence),
        f"Data `{description.data_digest}`, weights `{description.weights_sha256}`.",
    ]
    return "\n".join(lines)


def model_card(version: ModelVersion, description: ModelDescription, *, lineage: Sequence[str]) -> str:
    """Return the README of a pulled model.

    Args:
        version: The version that was pulled.
        description: Of its weights.
        lineage: References from this version back to the first ancestor, such as `transfer@2`, `colorizer@3`.
    """
    settings = {name: value for name, value in version.params.items() if value != "null"}
    lines = [
        f"# deepcolor {version.ref}",
        "",
        stage_named(version.stage).about,
        "",
        "## Use",
        "",
        "```",
        "deepcolor colorize photos/ -o coloured/ --model THIS_FOLDER",
        "```",
        "",
        "```python",
        "import deepcolor",
        "",
        'model = deepcolor.load("THIS_FOLDER")',
        *_python_use(version.stage),
        "```",
        "",
        f"Takes pictures of any size; the network sees their lightness at {description.size_px} px.",
        "",
        "## Test",
        "",
        *_figures(version.test),
        "",
        *(["## Confirmation", ""] if version.evidence else []),
        *_confirmation(version.evidence),
        "## Setting",
        "",
        *_table(("setting", "value"), settings),
        "",
        "## Origin",
        "",
        *_table(("", ""), _origin(version, description, lineage)),
    ]
    return "\n".join(lines) + "\n"


def _python_use(stage: StageName) -> list[str]:
    if not stage_named(stage).colours_pixels:
        return ['a, b = model.mean_ab("photo.jpg")  # mean a*, b*, CIELAB units']
    return ['rgb = model.colorize("photo.jpg")  # numpy array, (H, W, 3)']


def _origin(version: ModelVersion, description: ModelDescription, lineage: Sequence[str]) -> dict[str, str]:
    return {
        "study, trial": f"{version.study}, {version.trial}",
        "MLflow run": version.run_id or "unknown",
        "lineage": " from ".join(lineage),
        "epoch": str(description.epoch),
        "trajectory": description.trajectory,
        "data digest": version.data_digest,
        "weights SHA-256": version.weights_sha256,
        "deepcolor": description.deepcolor_version,
    }


def _confirmation(evidence: Evidence | None) -> list[str]:
    """What other seeds said of the setting; nothing where they were not asked."""
    if evidence is None:
        return []
    rows = {
        f"{evidence.objective}, mean": f"{evidence.mean:.5g}",
        "standard deviation": f"{evidence.std:.2g}",
        "seeds": f"{evidence.seeds}, beside the search's own",
        "found by": f"trial {evidence.trial}",
    }
    if evidence.runner_up is not None:
        spread = f"{evidence.runner_up_mean:.5g} ± {evidence.runner_up_std:.2g}"
        rows["runner-up"] = f"trial {evidence.runner_up}: {spread}"
    if evidence.relative is not None:
        span = f"95 %: {evidence.low:+.1%} to {evidence.high:+.1%}"
        rows["on the test pictures, against it"] = f"{evidence.relative:+.1%} ({span}): {evidence.verdict}"
    words = "Its setting was trained again under other seeds, as were the next best, and had the lowest mean of them."
    return [words, "", *_table(("confirmation", ""), rows), ""]


def _figures(test: Mapping[str, float]) -> list[str]:
    return [*_table(("figure", "value"), {name: f"{value:.5g}" for name, value in test.items()}), "", _UNITS]


def _table(head: tuple[str, str], rows: Mapping[str, str]) -> list[str]:
    return [f"| {head[0]} | {head[1]} |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())]
