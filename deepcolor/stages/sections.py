"""What every stage's sections of a sweep file have in common. A stage extends the ones that it needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, field_validator

from deepcolor.fields.frozen import Frozen
from deepcolor.fields.refusal import Refusal, written

INIT_REF = re.compile(
    r"(?P<stage>[a-z][a-z0-9_]*)(?:-(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*))?@(?P<version>[A-Za-z0-9_-]+)"
    r"|study:(?P<study>[A-Za-z0-9._-]+)"
)


class _Section(Frozen):
    """A section whose fields its stage knows."""

    if TYPE_CHECKING:
        # What a stage adds cannot be told by a type checker where any stage will do.
        def __getattr__(self, name: str) -> Any: ...


class DataSection(_Section):
    """What is trained on. Empty: a stage that brings its own data."""

    @property
    def title(self) -> str:
        """What the data is called, in tables and in MLflow; empty where it has no name."""
        return str(getattr(self, "name", ""))

    @property
    def form(self) -> str:
        """What tells it from other sections: the data of one name may be asked for in several forms."""
        return self.model_dump_json()


class ModelSection(_Section):
    """The form of the model."""


class TrainingSection(_Section):
    """How the model is trained."""

    epochs: int = Field(default=100, ge=1, le=100_000)
    """Passes over the training data."""
    early_stopping: bool | None = None
    """End after `patience` epochs without a better objective, taking the best. null: as the stage says."""
    patience: int = Field(default=5, ge=1, le=100_000)
    """Epochs without a better objective before an early stop."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of everything random in the training."""

    @property
    def knows_its_end(self) -> bool:
        """Whether what an epoch computes depends on the number of epochs, so that trials that differ in it share none.

        A schedule that ends at zero does.
        """
        return False

    @property
    def reduced_precision(self) -> bool:
        """Whether a GPU may round what it multiplies (TF32)."""
        return False


class InitSection(_Section):
    """What a training starts from."""

    init_from: str | None = None
    """`STAGE@ALIAS` or `STAGE@VERSION` (a registered model; `STAGE-NAME@ALIAS` where it was promoted with `--as NAME`),
    or `study:NAME` (its confirmed winner, or else its best trial). null: from nothing."""

    @field_validator("init_from")
    @classmethod
    def _ref(cls, value: str | None) -> str | None:
        if value is not None and not INIT_REF.fullmatch(value):
            rule = "must be STAGE@ALIAS, STAGE@VERSION or study:NAME"
            raise Refusal(rule, got=written(value), advice="Write it like colorizer@champion.")
        return value


_ANYTHING = ConfigDict(extra="allow")
"""Take whatever is written, where the stage that could check it is not at hand."""


class UnknownData(DataSection):
    """The data section of a stage that is not at hand."""

    model_config = _ANYTHING


class UnknownModel(ModelSection):
    """The model section of a stage that is not at hand."""

    model_config = _ANYTHING


class UnknownTraining(TrainingSection):
    """The training section of a stage that is not at hand."""

    model_config = _ANYTHING


class UnknownInit(InitSection):
    """The init section of a stage that is not at hand."""

    model_config = _ANYTHING
