"""What a model says about itself, in markdown: the description of its version, the card beside pulled weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepcolor.models.description import ModelDescription
from deepcolor.registry.evidence import Evidence
from deepcolor.registry.versions import ModelVersion
from deepcolor.stages.contract import Stage


def version_text(
    stage: type[Stage],
    description: ModelDescription,
    test: Mapping[str, float],
    *,
    study: str,
    trial: int,
    evidence: Evidence | None = None,
) -> str:
    """Return the description of a version, as the registry's page shows it."""
    lines = [
        stage.about,
        "",
        f"Trial **{trial}** {_of_study(study)}, epoch {description.epoch}.",
        f"Started from **{description.parent}**." if description.parent else _beginning(stage, description),
        "",
        "On the test split, which no search has seen:",
        "",
        *_figures(test, units=stage.units),
        "",
        *_confirmation(evidence, stage=stage),
        *_credits(stage, description),
        f"Data `{description.data_digest}`, weights `{description.weights_sha256}`.",
    ]
    return "\n".join(lines)


def with_study(text: str, *, before: str, study: str) -> str:
    """Return a version's description (`version_text`) with the present name of its study in place of a former one."""
    return text.replace(_of_study(before), _of_study(study))


def _of_study(study: str) -> str:
    return f"of study **{study}**"


def model_card(
    version: ModelVersion, description: ModelDescription, *, stage: type[Stage] | None, lineage: Sequence[str]
) -> str:
    """Return the README of a pulled model.

    Args:
        version: The version that was pulled.
        stage: Of the version; None for one of somebody's own, of which nothing is run to describe it.
        description: Of its weights.
        lineage: References from this version back to the first ancestor, such as `transfer@2`, `colorizer@3`.
    """
    settings = {name: value for name, value in version.params.items() if value != "null"}
    lines = [
        f"# deepcolor {version.ref}",
        "",
        stage.about if stage else version.about or f"A model of the stage `{description.stage}`.",
        "",
        "## Use",
        "",
        *(["```", "deepcolor colorize photos/ -o coloured/ --model THIS_FOLDER", "```", ""] if version.colours else []),
        *(_code(version) if version.code else []),
        "```python",
        "import deepcolor",
        "",
        'model = deepcolor.load("THIS_FOLDER")',
        *(stage.use if stage else version.use.split("\n") if version.use else Stage.use),
        "```",
        "",
        *_size(description),
        "## Test",
        "",
        *_figures(version.test, units=stage.units if stage else version.units),
        "",
        *(["## Confirmation", ""] if version.evidence else []),
        *_confirmation(version.evidence, stage=stage or Stage),
        "## Setting",
        "",
        *_table(("setting", "value"), settings),
        "",
        "## Origin",
        "",
        *_table(("", ""), _origin(version, description, lineage)),
        *(["", "## Licence", "", *_credits(stage, description)] if stage and stage.credits(description.model) else []),
    ]
    return "\n".join(lines) + "\n"


def _beginning(stage: type[Stage], description: ModelDescription) -> str:
    known = stage.credits(description.model)
    return "Started from published weights, named below." if known else "Started from random weights."


def _credits(stage: type[Stage], description: ModelDescription) -> list[str]:
    return [line for credit in stage.credits(description.model) for line in (credit, "")]


def _size(description: ModelDescription) -> list[str]:
    if description.size_px is None:
        return []
    return [f"Takes pictures of any size; the network sees their lightness at {description.size_px} px.", ""]


def _code(version: ModelVersion) -> list[str]:
    told = ", ".join(f"`{place}`" for place in version.code)
    return [f"It brings code of its own ({told}), which is run when it is loaded: read `code/` before.", ""]


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


def _confirmation(evidence: Evidence | None, *, stage: type[Stage]) -> list[str]:
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
        rows[f"on the test {stage.items}s, against it"] = f"{evidence.relative:+.1%} ({span}): {evidence.verdict}"
    words = "Its setting was trained again under other seeds, as were the next best, and had the best mean of them."
    return [words, "", *_table(("confirmation", ""), rows), ""]


def _figures(test: Mapping[str, float], *, units: str) -> list[str]:
    table = _table(("figure", "value"), {name: f"{value:.5g}" for name, value in test.items()})
    return [*table, *(["", units] if units else [])]


def _table(head: tuple[str, str], rows: Mapping[str, str]) -> list[str]:
    return [f"| {head[0]} | {head[1]} |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())]
