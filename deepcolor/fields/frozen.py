"""The base of every section of a sweep file: frozen, strict, and identified by its content."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from deepcolor.fields.refusal import Refusal, written
from deepcolor.workspace import NAME_PATTERN

ParamValue = bool | int | float | str | None
"""What a searched field may hold."""

_ABSENT = "absent"


def introduced(*, absent: Any) -> dict[str, Any]:
    """Say what it means that a record lacks a field that was added later, where that is not the field's default.

    Args:
        absent: The value that describes how things were before the field existed.
    Returns:
        The field's `json_schema_extra`.
    """
    return {_ABSENT: absent}


def absent_value(field: FieldInfo) -> Any:
    """What it means that a record lacks a field."""
    extra = field.json_schema_extra
    known = isinstance(extra, dict) and _ABSENT in extra
    return extra[_ABSENT] if known and isinstance(extra, dict) else field.get_default(call_default_factory=True)


class Frozen(BaseModel):
    """A value object: unknown keys are refused, nothing can be changed after parsing."""

    # What the docstrings of fields say is read where it is shown (`config.reference`): for every command it would take
    # a fifth of a second to take the source apart.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    first_fields: ClassVar[frozenset[str] | None] = None
    """The fields that existed when identities were introduced, which are part of them whatever their value; None: all
    fields. A field that is added later does not belong here."""

    def identity(self) -> dict[str, Any]:
        """Return what this value is named and stored by, as JSON: a field that was added later is left out if it has
        the value that its absence means, so that it changes no earlier identity.
        """
        content = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            later = self.first_fields is not None and name not in self.first_fields
            if later and value == absent_value(field):
                content.pop(name, None)
            elif isinstance(value, Frozen):
                content[name] = value.identity()
        return content

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Pydantic reads true as 1 where a number is due; `epochs: true` is a slip, not one epoch.
        annotation = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and annotation in (int, float, int | None, float | None):
            raise Refusal("must be a number", got=written(value), advice="Write a number.")
        return value


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def config_name(value: str) -> str:
    """Return `value` if it can name a study, a data set or a pipeline.

    Raises:
        Refusal: It cannot be a file name below the workspace.
    """
    if not NAME_PATTERN.fullmatch(value):
        rule = "must be 1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit"
        fit = re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-._")[:100]
        advice = (
            f"Choose another name, such as {fit}."
            if "/" not in value and NAME_PATTERN.fullmatch(fit)
            else "Choose another name."
        )
        raise Refusal(rule, got=written(value), advice=advice)
    return value
