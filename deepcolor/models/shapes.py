"""Networks of which the shapes alone are needed: no memory is set aside for them, and no weights are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_DRAWING = frozenset({torch.Tensor.normal_, torch.Tensor.uniform_})


@contextmanager
def without_weights() -> Iterator[None]:
    """Build modules on torch's device `meta`, and leave their weights undrawn.

    To draw normal ones there, torch would import its compiler: two seconds, and 160 megabytes.
    """
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Returns tensors as they are where they would be filled with random numbers."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # part of torch's protocol
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init" or func in _DRAWING:
            return args[0] if args else named["tensor"]
        return func(*args, **named)
