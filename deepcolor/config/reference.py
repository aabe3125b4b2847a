"""Write the reference of every key from the models themselves: `python -m deepcolor.config.reference --write FILE`."""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from deepcolor.config.schema import (
    AugmentConfig,
    Bound,
    BudgetConfig,
    Choice,
    Choices,
    ConfirmConfig,
    DataConfig,
    InitConfig,
    ModelConfig,
    Pipeline,
    PrunerConfig,
    Range,
    SearchConfig,
    StopConfig,
    Sweep,
    TrainingConfig,
)
from deepcolor.config.yamlfile import dump
from deepcolor.fields.contents import Contents
from deepcolor.fields.named import Named
from deepcolor.fields.objective import Direction

_INTRO = """\
# Sweep and pipeline files

Written from the code by `make docs`; `make check` fails when it is out of date.

A **sweep** is one YAML file; it becomes one study. Only `study`, `stage` and `search` are required, and `data.name` by
the shipped stages:

```yaml
study: colorizer-lr
stage: colorizer
data: {name: faces}
training: {epochs: 20}
search:
  sampler: grid
  space:
    lr: [1e-3, 1e-4]
    feature_maps: {low: 3, high: 9, step: 2}
```

Unknown keys, wrong types, empty ranges and impossible combinations are refused with the file, the key and the nearest
valid name. Numbers are read as in YAML 1.2, so `1e-3` is a number. A key may not stand twice. Anchors and aliases
work; merge keys (`<<`) do not.

Any key can be set on the command line: `-o training.epochs=5 -o search.space.lr='[1e-3, 1e-2]'`. Mappings are merged
and everything else is replaced; inside `search.space`, `null` takes a parameter out of the search
(`-o search.space.lr=null`).
"""

_SPACE_INTRO = """\
Every key of `model`, `training`, `init` and `data.augment` can be searched under its own name. A list is a set of
choices, in the order written; a mapping with `low` and `high` is a range of numbers, both ends included. A grid
needs lists, or ranges with a `step`; it may have 10,000 points at most. Of `data.augment`, too, lists and ranges
with a `step` are needed: the pictures are decoded in each form that a trial can ask for, 64 at most.

A parameter may have a condition, and then only the trials have it for which that holds; in the others the field
keeps the value that the sweep gives it. Under a name of your own, a parameter sets several fields at once; it is
shown by its labels, and what a label does not set is as the sweep gives it:

```yaml
search:
  sampler: tpe
  trials: 40
  space:
    optimizer: [adam, sgd, rmsprop]
    momentum: {low: 0.0, high: 0.99, when: {optimizer: [sgd, rmsprop]}}
    size:
      values:
        small: {feature_maps: 3, lr: 1e-3}
        large: {feature_maps: 32, lr: 3e-4}
    batch_size: {values: [16, 32], when: {size: large}}
    random_rotation: [5, 15, null]
  first:
    - {optimizer: sgd, momentum: 0.9, size: small}
```

In place of a list, `first` may name a table (`first: runs.csv`, or `runs.csv#3` for its first three rows): columns
by parameter, an empty cell says nothing, other columns are passed over. A study's `leaderboard.csv` is one.
`first: study:NAME` takes the 5 best settings that the study has when this one begins.
"""

_PIPELINE_INTRO = """\
Each entry of `sweeps` is a whole sweep, the path of a sweep file (relative to the pipeline's own file), or a mapping
with `file` and keys that are laid over that file's:

```yaml
pipeline: first-report
sweeps:
  - report1/regressor.yaml
  - file: report1/colorizer.yaml
    study: colorizer-with-encoder
    init: {init_from: regressor@champion}
```

On the command line, `-o colorizer.training.epochs=5` reaches every sweep of that stage, and
`-o sweeps.0.training.epochs=5` the first sweep; `-o training.epochs=5` is for all of them.
"""

_SECTIONS: tuple[tuple[str, str, str, type[BaseModel]], ...] = (
    ("## A sweep", "", "", Sweep),
    ("### data", "data", "", DataConfig),
    ("### data.augment", "data.augment", "", AugmentConfig),
    ("### model", "model", "", ModelConfig),
    ("### training", "training", "", TrainingConfig),
    ("### init", "init", "", InitConfig),
    ("### search", "search", "", SearchConfig),
    ("### search.space", "search.space.NAME", _SPACE_INTRO, Range),
    ("### search.pruner", "search.pruner", "", PrunerConfig),
    ("### search.budget", "search.budget", "", BudgetConfig),
    ("### search.stop", "search.stop", "", StopConfig),
    ("### search.confirm", "search.confirm", "", ConfirmConfig),
    ("### search.constraints", "search.constraints.NAME", "", Bound),
    ("### search.choose", "search.choose", "", Choice),
    ("## A pipeline", "", _PIPELINE_INTRO, Pipeline),
)


@dataclass(frozen=True)
class Key:
    """A key of a sweep file."""

    key: str
    """With its section: `training.lr`."""
    value: str
    """What it may be."""
    default: str
    """As YAML writes it, or `required`, `empty`, `as below`."""
    meaning: str


def keys_of(section: type[BaseModel], prefix: str) -> list[Key]:
    """Return the keys of a section and of those below it, as the reference tells of them.

    Args:
        section: A stage's, or any other.
        prefix: The section's own key.
    """
    found, meanings = [], _meanings(section)
    for name, field in section.model_fields.items():
        found.append(_key(f"{prefix}.{name}", field, meaning=meanings.get(name, "")))
        if isinstance(field.default, BaseModel):
            found += keys_of(type(field.default), f"{prefix}.{name}")
    return found


def reference() -> str:
    """Return the reference as Markdown: every key with its type, default and meaning, taken from the models."""
    return "\n".join([_INTRO, *(_section(*section) for section in _SECTIONS)])


def main() -> int:
    """Print the reference, write it to a file, or check that a file holds it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write it here")
    parser.add_argument("--check", type=Path, metavar="FILE", help="fail unless this file holds it")
    arguments = parser.parse_args()
    if arguments.check:
        if arguments.check.read_text(encoding="utf-8") == reference():
            return 0
        sys.stderr.write(f"error: {arguments.check} is out of date. Run: make docs\n")
        return 1
    if arguments.write:
        arguments.write.write_text(reference(), encoding="utf-8")
    else:
        sys.stdout.write(reference())
    return 0


def _section(title: str, prefix: str, intro: str, model: type[BaseModel]) -> str:
    summary = inspect.cleandoc(model.__doc__ or "")
    head = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    meanings = _meanings(model)
    rows = [
        _row(_key(f"{prefix}.{name}" if prefix else name, field, meaning=meanings.get(name, "")))
        for name, field in model.model_fields.items()
        if not (model in (Range, Choices) and name == "name")
    ]
    paragraphs = [title, "", intro.rstrip() or summary, "", *head, *rows, ""]
    return "\n".join(paragraphs)


def _key(key: str, field: FieldInfo, *, meaning: str) -> Key:
    return Key(key, _value(field), _default(field), " ".join((field.description or meaning).split()))


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """What stands below the fields of a model and of its bases, by field; nothing where their source is not at hand."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not issubclass(each, BaseModel) or each is BaseModel:
            continue
        try:
            (kind,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        except (OSError, TypeError, SyntaxError):
            continue
        assert isinstance(kind, ast.ClassDef)
        for field, below in pairwise(kind.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                found[field.target.id] = _text(below)
    return found


def _text(statement: ast.stmt) -> str:
    said = statement.value if isinstance(statement, ast.Expr) else None
    return said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else ""


def _row(one: Key) -> str:
    default = one.default if one.default in _IN_WORDS else f"`{one.default}`"
    cells = (f"`{one.key}`", one.value, default, one.meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


_IN_WORDS = {"required", "as below", "empty"}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if isinstance(default, BaseModel) or field.validate_default:
        return "as below"
    if default is PydanticUndefined or default in ((), ""):
        return "empty"
    return dump([default]).strip()[1:-1]


def _value(field: FieldInfo) -> str:
    for entry in field.metadata:
        if isinstance(entry, Named):
            shipped = ", ".join(f"`{name}`" for name in entry.shipped)
            return f"{shipped}, or your own" if shipped else "a list of your own"
        if isinstance(entry, Contents):
            return f"{', '.join(f'`{name}`' for name in entry.shipped)}, or a file"
    kinds = list(_kinds(field.annotation))
    named = [kind for kind in kinds if kind != "null"]
    text = " or ".join(named) + _bounds(field)
    return f"{text}, or null" if "null" in kinds else text


def _bounds(field: FieldInfo) -> str:
    limits: dict[str, Any] = {}
    for entry in field.metadata:
        limits |= {
            name: getattr(entry, name) for name in ("ge", "gt", "le", "lt", "multiple_of") if hasattr(entry, name)
        }
    if "ge" in limits and "le" in limits:
        text = f" from {limits['ge']} to {limits['le']}"
    else:
        words = {"ge": "at least", "gt": "above", "lt": "below", "le": "at most"}
        text = " and".join(f" {words[name]} {limits[name]}" for name in words if name in limits)
    return text + (f", a multiple of {limits['multiple_of']}" if "multiple_of" in limits else "")


def _kinds(annotation: Any) -> Iterator[str]:
    names = {int: "whole number", float: "number", str: "text", bool: "true or false", NoneType: "null"}
    if get_origin(annotation) is Literal:
        yield ", ".join(f"`{choice}`" for choice in get_args(annotation))
    elif get_origin(annotation) in (Union, UnionType):
        parts = get_args(annotation)
        # A whole number is a number already.
        yield from (kind for part in parts if not (part is int and float in parts) for kind in _kinds(part))
    elif get_origin(annotation) is tuple:
        yield "list" if get_args(annotation)[0] in (Sweep, str, Direction, Mapping[str, Any]) else "mapping"
    else:
        yield names.get(annotation, "mapping")


if __name__ == "__main__":
    sys.exit(main())
