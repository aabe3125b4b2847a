"""Read sections that another version has stored: they may lack fields that came later, and hold some still unknown.

A field that comes later is left out of what is stored and of what names a training as long as it has the value that its
absence means (`Frozen.identity`). So an unknown field, where there is one, says something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args, get_origin

from deepcolor.config.dimensions import Choices, Range
from deepcolor.config.schema import Setting, Sweep
from deepcolor.config.setting import LENIENT
from deepcolor.config.space import SearchConfig
from deepcolor.errors import CodeError
from deepcolor.fields.frozen import Frozen, absent_value
from deepcolor.stages.contract import Stage, UnknownStage
from deepcolor.stages.finding import stage_of

F = TypeVar("F", bound=Frozen)


@dataclass(frozen=True)
class Stored(Generic[F]):
    """What was read."""

    value: F
    unknown: tuple[str, ...]
    """Dotted names of the fields that this version does not know."""


def read_stored(kind: type[F], content: Mapping[str, Any]) -> Stored[F]:
    """Read a section as it was stored, its parts included: a missing field has what its absence means.

    Where the code of a stage is not at hand, its sections are taken as they are; its study can be looked at then.

    Raises:
        pydantic.ValidationError: A value is none that this version allows.
    """
    unknown: list[str] = []
    tree = _known(kind, content, prefix="", unknown=unknown, stage=_stage_in(kind, content))
    return Stored(kind.model_validate(tree, context={LENIENT: True}), tuple(unknown))


def _stage_in(kind: type[Frozen], content: Mapping[str, Any]) -> type[Stage]:
    if not issubclass(kind, Sweep | Setting):
        return UnknownStage
    try:
        return stage_of(str(content.get("stage")), content.get("code", {}))
    except CodeError:
        return UnknownStage


def _known(
    kind: type[Frozen], content: Mapping[str, Any], *, prefix: str, unknown: list[str], stage: type[Stage]
) -> dict[str, Any]:
    """The fields of a section that this version knows."""
    tree: dict[str, Any] = {}
    open_ = kind.model_config.get("extra") == "allow"
    for name, value in content.items():
        key = f"{prefix}{name}"
        if name not in kind.model_fields and open_:
            tree[name] = value
        elif name not in kind.model_fields:
            unknown.append(key)
        elif issubclass(kind, SearchConfig) and name == "space" and isinstance(value, Mapping):
            tree[name] = {each: _dimension(spec, f"{key}.{each}.", unknown) for each, spec in value.items()}
        elif isinstance(value, Mapping) and (part := _part(kind, name, stage)):
            tree[name] = _known(part, value, prefix=f"{key}.", unknown=unknown, stage=stage)
        else:
            tree[name] = value
    missing = {name: field for name, field in kind.model_fields.items() if name not in tree and not field.is_required()}
    return {**tree, **{name: absent_value(field) for name, field in missing.items()}}


def _dimension(spec: Any, prefix: str, unknown: list[str]) -> Any:
    if not isinstance(spec, Mapping):
        return spec
    known = {**Range.model_fields, **Choices.model_fields}
    unknown.extend(prefix + name for name in spec if name not in known)
    return {name: value for name, value in spec.items() if name in known}


def _part(kind: type[Frozen], name: str, stage: type[Stage]) -> type[Frozen] | None:
    """What a field holds, where that is a section or a part of one."""
    if issubclass(kind, Sweep | Setting) and name in {"data", *stage.sections()}:
        own: type[Frozen] = getattr(stage, name)
        return own
    return next(_parts(kind.model_fields[name].annotation), None)


def _parts(annotation: Any) -> Iterator[type[Frozen]]:
    if get_origin(annotation) is Mapping:
        return  # Its keys are names that a user gives.
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Frozen):
            yield kind
