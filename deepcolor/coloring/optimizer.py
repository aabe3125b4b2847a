"""The optimizer of a setting, its learning rate in each epoch, and its state as plain tensors."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from deepcolor.coloring.packing import packed, unpacked
from deepcolor.config.schema import TrainingConfig
from deepcolor.errors import CodeError
from deepcolor.fields.named import OPTIMIZERS
from deepcolor.plugins import Code

_SGD_MOMENTUM = 0.9
"""Where none is given."""
_SHIPPED = (Adam, AdamW, SGD, RMSprop)
"""Their groups never change but for the learning rate, so their state is that of the parameters."""


def build_optimizer(network: nn.Module, training: TrainingConfig, *, code: Code) -> Optimizer:
    """Build the optimizer over those parameters of `network` that are not frozen.

    Adam, AdamW and SGD are the fused ones, on the CPU too: one pass over all weights, not hundreds of small operations.

    Args:
        network: On the device where it is trained.
        training: Of the setting.
        code: Holds an optimizer of the user's own.
    Raises:
        CodeError: The user's own cannot be imported, or is none.
    """
    parameters = list(_trained(network).values())
    lr, decay, momentum = training.lr, training.weight_decay, training.momentum
    match training.optimizer:
        case "adam":
            return Adam(parameters, lr=lr, weight_decay=decay, fused=True)
        case "adamw":
            return AdamW(parameters, lr=lr, weight_decay=decay, fused=True)
        case "sgd":
            return SGD(
                parameters,
                lr=lr,
                weight_decay=decay,
                momentum=_SGD_MOMENTUM if momentum is None else momentum,
                fused=True,
            )
        case "rmsprop":
            return RMSprop(parameters, lr=lr, weight_decay=decay, momentum=momentum or 0.0)
        case name:
            return _of_the_user(code.load(name, group=OPTIMIZERS.group), parameters, training)


def lr_at(training: TrainingConfig, *, epoch: int) -> float:
    """Return the learning rate of an epoch, from its number alone.

    Args:
        training: `cosine` starts at `lr` in epoch 1 and would be 0 in the epoch after the last one.
        epoch: The first one is 1.
    """
    if training.lr_schedule == "constant":
        return training.lr
    return training.lr * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / training.epochs))


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Use this learning rate from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def optimizer_tensors(optimizer: Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """Return the optimizer's state by `<parameter>/<name of the state>`; empty before the first step.

    Raises:
        CodeError: The state of a user's optimizer holds what is neither tensor nor plain value.
    """
    if type(optimizer) not in _SHIPPED:
        return packed(optimizer.state_dict())
    names = list(_trained(network))
    return {
        f"{names[index]}/{key}": value
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }


def restore_optimizer(optimizer: Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put a state back that `optimizer_tensors` gave."""
    if type(optimizer) not in _SHIPPED:
        _restore_whole(optimizer, unpacked(tensors))
        return
    parameters = _trained(network)
    index_of = {name: index for index, name in enumerate(parameters)}
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        parameter, _, key = name.rpartition("/")
        # A copy, for memory of its own: the optimizer changes its state in place, and goes through it and the weights
        # in the order in which they lie in memory.
        like = parameters[parameter] if value.shape == parameters[parameter].shape else value
        state.setdefault(index_of[parameter], {})[key] = torch.empty_like(like, dtype=value.dtype).copy_(value)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _of_the_user(optimizer: Any, parameters: list[nn.Parameter], training: TrainingConfig) -> Optimizer:
    try:
        built = optimizer(parameters, lr=training.lr, weight_decay=training.weight_decay)
    except Exception as error:
        rule = f"{training.optimizer} must take (parameters, lr=..., weight_decay=...)"
        raise CodeError(
            rule, got=f"{type(error).__name__}: {error}", advice="Fix it, and give the sweep another study name."
        ) from error
    if not isinstance(built, Optimizer):
        rule = f"{training.optimizer} must give a torch.optim.Optimizer"
        raise CodeError(rule, got=type(built).__name__, advice="Fix it, and give the sweep another study name.")
    packed(built.state_dict())  # What cannot go into a checkpoint is better known before anything is trained.
    return built


def _restore_whole(optimizer: Optimizer, state: Any) -> None:
    """Put the whole state of a user's optimizer back.

    Its own `load_state_dict` comes first, for what it may hold beside torch's; torch's turns every tensor into the
    type of its parameter, so these are put back as they were after it.
    """
    optimizer.load_state_dict(copy.deepcopy(state))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, saved in state["state"].items():
        parameter = parameters[index]
        optimizer.state[parameter] = _as_saved(saved, loaded=optimizer.state[parameter], like=parameter)


def _as_saved(saved: Any, *, loaded: Any, like: Tensor) -> Any:
    """What was saved, on the device it was loaded to, in memory of its own that is laid out as the parameter's."""
    if isinstance(saved, Tensor) and isinstance(loaded, Tensor):
        form = like if saved.shape == like.shape else saved
        return torch.empty_like(form, dtype=saved.dtype, device=loaded.device, requires_grad=False).copy_(saved)
    if isinstance(saved, dict) and isinstance(loaded, dict):
        return {key: _as_saved(value, loaded=loaded.get(key, value), like=like) for key, value in saved.items()}
    if isinstance(saved, list | tuple) and isinstance(loaded, list | tuple) and len(saved) == len(loaded):
        return type(saved)(_as_saved(a, loaded=b, like=like) for a, b in zip(saved, loaded, strict=True))
    return saved


def _trained(network: nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
