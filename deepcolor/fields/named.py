"""Fields that name something: what is shipped by its name, a user's own by where it lies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from deepcolor.fields.refusal import Refusal, nearest, written
from deepcolor.plugins import Reference, offered, resolved

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Named:
    """What a text field may name; it stands in the field's annotation.

    A name that is not shipped may be an entry point of a package. Whether it is there is asked once, when a sweep is
    read from what a user wrote: a stored one stays readable where the package is gone.
    """

    group: str
    """Of entry points."""
    shipped: tuple[str, ...]

    def reference(self, value: object) -> Reference | None:
        """Where a value lies that a user has brought; None for a shipped one, and for one that is not installed."""
        return None if value in self.shipped else resolved(str(value), group=self.group)

    def unknown(self, value: str) -> Refusal:
        """Refuse a name that nothing has."""
        names = [*self.shipped, *offered(self.group)]
        shipped = f"one of {', '.join(names)}, or " if names else ""
        rule = f"must be {shipped}FILE.py:NAME or package.module:NAME of your own"
        near = nearest(value, names)
        return Refusal(rule, got=written(value), advice=f"Did you mean {near}?" if near else _advice(names))

    def _checked(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(self._checked(each) for each in value)
        if value in self.shipped or _NAME.fullmatch(value) or Reference.of(value):
            return value
        raise self.unknown(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))


def _advice(names: list[str]) -> str:
    return "Choose one of them." if names else "Write where it lies."


def named_fields(section: type[BaseModel]) -> Iterator[tuple[str, Named]]:
    """The fields of a section that name something, and what they may name."""
    for name, field in section.model_fields.items():
        yield from ((name, entry) for entry in field.metadata if isinstance(entry, Named))


def public_names(texts: Sequence[str], *, prefix: str) -> dict[str, str]:
    """Return what a sweep names by the name it goes by: `val/hue` for `own/metrics.py:hue`."""
    return {prefix + text.rpartition(":")[2]: text for text in texts}


NETWORKS = Named("deepcolor.networks", ("reports",))
OPTIMIZERS = Named("deepcolor.optimizers", ("adam", "adamw", "sgd", "rmsprop"))
METRICS = Named("deepcolor.metrics", ())
LOSSES = Named("deepcolor.losses", ("mse", "l1", "smooth_l1"))
PRUNERS = Named("deepcolor.pruners", ("none", "asha", "hyperband", "median"))
EXECUTORS = Named("deepcolor.executors", ("serial", "local", "dask", "slurm"))
SAMPLERS = Named("deepcolor.samplers", ("grid", "tpe", "random", "auto", "gp", "qmc", "nsga2"))
