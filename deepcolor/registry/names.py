"""Names of the registry, built and parsed here: registered models, aliases, registry stages, references."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deepcolor.errors import ModelError
from deepcolor.stages.finding import SHIPPED

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
SPLITS = "deepcolor.splits"
"""Of its pictures and their splits alone."""
DATA = "deepcolor.data"
"""The name of the data set."""
PICTURES = "deepcolor.pictures"
"""Checksums of a few of its pictures, always the same few: two data sets that share none of them are not the same."""
STUDY = "deepcolor.study"
TRIAL = "deepcolor.trial"
RUN = "deepcolor.run"
LOGGED_MODEL = "deepcolor.logged_model"
"""The id of the model that MLflow shows of it among those of its experiment: `m-...`."""
PARENT = "deepcolor.parent"
MODEL = "deepcolor.model"
"""The network's form, as JSON."""
SIZE_PX = "deepcolor.size_px"
STAGE = "deepcolor.stage"
"""The stage as the sweep named it, where it is a user's own."""
CODE = "deepcolor.code"
"""SHA-256 by place of the code that the model needs, as JSON: no other is ever run for it."""
ABOUT, USE, UNITS = "deepcolor.about", "deepcolor.use", "deepcolor.units"
"""What a user's own stage says of its models, for their cards: no code is run to write one."""
COLOURS = "deepcolor.colours"
"""Whether a model of a user's own stage colours pictures."""
PARAM_PREFIX = "deepcolor.param."
TEST_PREFIX = "deepcolor.test."
"""Figures on the test split, such as `deepcolor.test.mse`; repr of a float."""
CONFIRMED_PREFIX = "deepcolor.confirmed."
"""What other seeds said of the setting, such as `deepcolor.confirmed.mean`."""

_ALIAS = r"[A-Za-z][A-Za-z0-9_-]{0,99}"
_LINE = r"(?P<stage>[a-z0-9_]+)(?:-(?P<name>(?![^@/]*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,99}))?"
_LINE_FORM = re.compile(_LINE)
_OWN_FORM = re.compile(rf"{_LINE}(?:@(?:(?P<number>\d{{1,9}})|(?P<alias>{_ALIAS})))?")
_MLFLOW_FORM = re.compile(
    rf"models:/{PREFIX}{_LINE}(?:@(?P<alias>{_ALIAS})|/(?P<number>\d{{1,9}})|/(?P<registry_stage>[A-Za-z]+))"
)


@dataclass(frozen=True)
class Line:
    """The versions that compete for one champion: a registered model of MLflow's."""

    stage: str
    """Label of its stage: `colorizer`, `my_stage`."""
    name: str | None = None
    """Of its own, where one stage has champions of several data sets: `fruits` in `colorizer-fruits`."""

    @property
    def registered_name(self) -> str:
        """MLflow's name of it: `deepcolor-colorizer`, `deepcolor-colorizer-fruits`."""
        return f"{PREFIX}{self}"

    def __str__(self) -> str:
        return f"{self.stage}-{self.name}" if self.name else self.stage


@dataclass(frozen=True)
class Ref:
    """What a reference asks for: exactly one of a version number, an alias, or a registry stage."""

    line: Line
    number: int | None = None
    alias: str | None = None
    registry_stage: str | None = None

    @property
    def stage(self) -> str:
        """The stage of its line."""
        return self.line.stage

    def __str__(self) -> str:
        if self.registry_stage:
            return f"{self.line} in {self.registry_stage}"
        return f"{self.line}@{self.number if self.number is not None else self.alias}"


def line_of(registered_name: str) -> Line | None:
    """Return the line that a registered model is; None for one that is not deepcolor's."""
    match = _LINE_FORM.fullmatch(registered_name.removeprefix(PREFIX))
    if match is None or not registered_name.startswith(PREFIX):
        return None
    return Line(match["stage"], match["name"])


def parse_line(text: str) -> Line:
    """Parse what `deepcolor models` shows before the @: `colorizer`, `colorizer-fruits`.

    Raises:
        ModelError: It is neither.
    """
    line = line_of(f"{PREFIX}{text}")
    if line is None:
        raise ModelError(
            f"stage: must be the name of one, such as {', '.join(SHIPPED)}, or with a name of its own such as "
            f"colorizer-fruits; got {text!r}. See `deepcolor models`."
        )
    return line


def named_line(stage: str, name: str) -> Line:
    """Return the line of a stage that somebody names: `fruits`, `colorizer-fruits`, or `colorizer` for the unnamed one.

    Raises:
        ModelError: It cannot be a registered model's name.
    """
    own = name.removeprefix(f"{stage}-")
    line = Line(stage) if own == stage else line_of(f"{PREFIX}{stage}-{own}")
    if line is None:
        raise ModelError(
            f"--as: must be 1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit; got {name!r}. "
            "The name of the data set is a good one."
        )
    return line


def parse_ref(text: str, *, registry_stage: str | None = None) -> Ref:
    """Parse a reference to a version of a registered model.

    Args:
        text: `colorizer@champion`, `colorizer@3`, `colorizer` (its champion), `colorizer-fruits@champion`, or MLflow's
            `models:/deepcolor-colorizer@champion`, `models:/deepcolor-colorizer/3`,
            `models:/deepcolor-colorizer/Production`.
        registry_stage: `Production`, `Staging` or `Archived`; then `text` is what stands before the @ alone.
    Raises:
        ModelError: It is none of these.
    """
    match = _MLFLOW_FORM.fullmatch(text) or _OWN_FORM.fullmatch(text)
    if match is None:
        raise ModelError(
            f"model: must be STAGE@ALIAS or STAGE@VERSION, where STAGE is {', '.join(SHIPPED)} or one of your own; "
            f"got {text!r}. For example colorizer@champion, or colorizer@3."
        )
    line = Line(match["stage"], match["name"])
    parts = match.groupdict()
    if registry_stage is not None:
        if parts.get("alias") or parts.get("number"):
            raise ModelError(
                f"model: with a registry stage, name the stage alone; got {text} and {registry_stage}. "
                f"Write {line} --registry-stage {registry_stage}."
            )
        return Ref(line, registry_stage=_checked_registry_stage(registry_stage))
    if parts.get("registry_stage"):
        return Ref(line, registry_stage=_checked_registry_stage(parts["registry_stage"]))
    if parts["number"]:
        return Ref(line, number=int(parts["number"]))
    return Ref(line, alias=parts["alias"] or CHAMPION)


def is_ref(text: str) -> bool:
    """Whether a text is meant as a reference to a registered model, and not as a folder."""
    head, at, _ = text.partition("@")
    return text.startswith("models:/") or head in SHIPPED or (bool(at) and _OWN_FORM.fullmatch(text) is not None)


def _checked_registry_stage(name: str) -> str:
    for known in REGISTRY_STAGES.values():
        if name.lower() == known.lower():
            return known
    raise ModelError(
        f"registry stage: must be one of {', '.join(REGISTRY_STAGES.values())}; got {name!r}. "
        "Production is the champion, Staging the candidate, Archived the previous champion."
    )
