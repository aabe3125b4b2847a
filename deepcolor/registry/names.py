"""Names of the registry, built and parsed here: registered models, aliases, registry stages, references."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from deepcolor.config.schema import STAGES, Stage
from deepcolor.errors import ModelError

PREFIX = "deepcolor-"
CHAMPION = "champion"
CANDIDATE = "candidate"
PREVIOUS = "previous"
ALIASES = (CHAMPION, CANDIDATE, PREVIOUS)
REGISTRY_STAGES = {CHAMPION: "Production", CANDIDATE: "Staging", PREVIOUS: "Archived"}
"""The registry stage that mirrors each alias, for those who still use them."""
NO_REGISTRY_STAGE = "None"

WEIGHTS_SHA256 = "deepcolor.weights_sha256"
DATA_DIGEST = "deepcolor.data_digest"
STUDY = "deepcolor.study"
TRIAL = "deepcolor.trial"
RUN = "deepcolor.run"
PARENT = "deepcolor.parent"
MODEL = "deepcolor.model"
"""The network's form, as JSON."""
SIZE_PX = "deepcolor.size_px"
PARAM_PREFIX = "deepcolor.param."
TEST_PREFIX = "deepcolor.test."
"""Figures on the test split, such as `deepcolor.test.mse`; repr of a float."""
CONFIRMED_PREFIX = "deepcolor.confirmed."
"""What other seeds said of the setting, such as `deepcolor.confirmed.mean`."""

_ALIAS = r"[A-Za-z][A-Za-z0-9_-]{0,99}"
_OWN_FORM = re.compile(rf"(?P<stage>[a-z]+)(?:@(?:(?P<number>\d{{1,9}})|(?P<alias>{_ALIAS})))?")
_MLFLOW_FORM = re.compile(
    rf"models:/{PREFIX}(?P<stage>[a-z]+)(?:@(?P<alias>{_ALIAS})|/(?P<number>\d{{1,9}})|/(?P<registry_stage>[A-Za-z]+))"
)


@dataclass(frozen=True)
class Ref:
    """What a reference asks for: exactly one of a version number, an alias, or a registry stage."""

    stage: Stage
    number: int | None = None
    alias: str | None = None
    registry_stage: str | None = None

    def __str__(self) -> str:
        if self.registry_stage:
            return f"{self.stage} in {self.registry_stage}"
        return f"{self.stage}@{self.number if self.number is not None else self.alias}"


def registered_name(stage: Stage) -> str:
    """Return the name of a stage's registered model: `deepcolor-colorizer`."""
    return f"{PREFIX}{stage}"


def parse_ref(text: str, *, registry_stage: str | None = None) -> Ref:
    """Parse a reference to a version of a registered model.

    Args:
        text: `colorizer@champion`, `colorizer@3`, `colorizer` (its champion), or MLflow's
            `models:/deepcolor-colorizer@champion`, `models:/deepcolor-colorizer/3`,
            `models:/deepcolor-colorizer/Production`.
        registry_stage: `Production`, `Staging` or `Archived`; then `text` is the stage alone.
    Raises:
        ModelError: It is none of these.
    """
    match = _MLFLOW_FORM.fullmatch(text) or _OWN_FORM.fullmatch(text)
    if match is None or match["stage"] not in STAGES:
        raise ModelError(
            f"model: must be STAGE@ALIAS or STAGE@VERSION, where STAGE is one of {', '.join(STAGES)}; got {text!r}. "
            "For example colorizer@champion, or colorizer@3."
        )
    stage = cast(Stage, match["stage"])
    parts = match.groupdict()
    if registry_stage is not None:
        if parts.get("alias") or parts.get("number"):
            raise ModelError(
                f"model: with a registry stage, name the stage alone; got {text} and {registry_stage}. "
                f"Write {stage} --registry-stage {registry_stage}."
            )
        return Ref(stage, registry_stage=_checked_registry_stage(registry_stage))
    if parts.get("registry_stage"):
        return Ref(stage, registry_stage=_checked_registry_stage(parts["registry_stage"]))
    if parts["number"]:
        return Ref(stage, number=int(parts["number"]))
    return Ref(stage, alias=parts["alias"] or CHAMPION)


def is_ref(text: str) -> bool:
    """Whether a text is meant as a reference to a registered model, and not as a folder."""
    return text.startswith("models:/") or text.partition("@")[0] in STAGES


def _checked_registry_stage(name: str) -> str:
    for known in REGISTRY_STAGES.values():
        if name.lower() == known.lower():
            return known
    raise ModelError(
        f"registry stage: must be one of {', '.join(REGISTRY_STAGES.values())}; got {name!r}. "
        "Production is the champion, Staging the candidate, Archived the previous champion."
    )
