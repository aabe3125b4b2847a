"""A tree of tensors and plain values as named tensors, which is what a checkpoint holds, and back, to the last bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from deepcolor.errors import CodeError

_TREE = "tree"
"""The tree itself, as JSON in bytes: its tensors are named by the number under which they stand beside it."""


def packed(tree: Any) -> dict[str, Tensor]:
    """Return a tree as tensors by name; equal trees give equal bytes.

    Args:
        tree: Of dicts (keys of text or whole numbers), lists, tuples, tensors, numbers, text and None.
    Raises:
        CodeError: It holds something else.
    """
    tensors: dict[str, Tensor] = {}
    content = json.dumps(_written(tree, "", tensors)).encode()
    return {**tensors, _TREE: torch.frombuffer(bytearray(content), dtype=torch.uint8)}


def unpacked(tensors: Mapping[str, Tensor]) -> Any:
    """Return the tree that `packed` was given."""
    return _read(json.loads(bytes(tensors[_TREE].tolist())), tensors)


def _written(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # A number of the tree's own: two names for one memory are refused by the file's format.
        tensors[name] = value.detach().clone()
        return {"tensor": name}
    if isinstance(value, dict) and all(type(key) in {int, str} for key in value):
        items = sorted(value.items(), key=lambda item: (isinstance(item[0], str), item[0]))
        return {"dict": [[key, _written(each, f"{path}.{key}", tensors)] for key, each in items]}
    if type(value) in {list, tuple}:
        parts = [_written(each, f"{path}.{index}", tensors) for index, each in enumerate(value)]
        return parts if isinstance(value, list) else {"tuple": parts}
    if value is None or type(value) in {bool, int, float, str}:
        return value
    rule = "an optimizer's state must be of tensors, numbers, text, lists and dicts"
    got = f"{type(value).__name__} at {path.removeprefix('.')}"
    raise CodeError(rule, got=got, advice="Keep what it needs in these.")


def _read(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_read(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    match kind:
        case "tensor":
            return tensors[content]
        case "tuple":
            return tuple(_read(each, tensors) for each in content)
        case _:
            return {key: _read(each, tensors) for key, each in content}
