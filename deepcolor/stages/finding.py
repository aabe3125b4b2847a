"""Find a stage by what a sweep calls it: a shipped name, an entry point, or where a user's own lies."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from deepcolor.errors import CodeError
from deepcolor.fields.named import Named
from deepcolor.plugins import Code, Reference
from deepcolor.stages.contract import Stage

SHIPPED = {
    "regressor": "deepcolor.coloring.regressor:Regressor",
    "colorizer": "deepcolor.coloring.colorizer:Colorizer",
    "transfer": "deepcolor.coloring.transfer:Transfer",
}
"""Where the shipped stages are, in the order in which one starts from another. The only place that names them all."""

STAGES = Named("deepcolor.stages", tuple(SHIPPED))
_TAKEN = {"lock"}
"""Labels that stand for something else among registered models."""
_NO_CODE: Mapping[str, str] = MappingProxyType({})
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def stage_of(name: str, code: Mapping[str, str] = _NO_CODE) -> type[Stage]:
    """Return the stage of a name; a user's own is imported for it.

    Args:
        name: `stage` of a sweep.
        code: SHA-256 by place of the code that the sweep names.
    Raises:
        CodeError: There is no such stage, it is not what it was, or cannot be imported.
    """
    if name in SHIPPED:
        return _shipped(name)
    reference = STAGES.reference(name)
    if reference is not None and reference.is_file and reference.place in code:
        return _of_file(name, reference.place, code[reference.place])
    return _checked(name, code)


@cache
def _of_file(name: str, place: str, digest: str) -> type[Stage]:
    # A file of this content is always the same module; asked for of every trial, again and again.
    return _checked(name, {place: digest})


def _checked(name: str, code: Mapping[str, str]) -> type[Stage]:
    found = Code(code).load(name, group=STAGES.group)
    if not isinstance(found, type) or not issubclass(found, Stage):
        rule = f"{name} must be a subclass of deepcolor.stages.Stage"
        raise CodeError(rule, got=getattr(found, "__name__", type(found).__name__), advice="Name another one.")
    found.check_itself()
    return found


def label_of(name: str) -> str:
    """Return what a stage is called in the names of experiments and of registered models: `my_stage` for MyStage.

    Args:
        name: `stage` of a sweep.
    """
    reference = Reference.of(name)
    text = _WORD_START.sub("_", reference.name).lower() if reference else name.lower()
    label = re.sub(r"[^a-z0-9_]+", "_", text).strip("_") or "stage"
    return f"{label}_stage" if label in _TAKEN else label


@cache
def _shipped(name: str) -> type[Stage]:
    module, _, attribute = SHIPPED[name].partition(":")
    found: type[Stage] = getattr(importlib.import_module(module), attribute)
    return found
