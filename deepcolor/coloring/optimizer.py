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
from deepcolor.models.networks import Network
from deepcolor.plugins import Code

_SGD_MOMENTUM = 0.9
"""Where none is given."""
_ONE_CYCLE_RISES, _ONE_CYCLE_START, _ONE_CYCLE_END = 0.3, 25.0, 1e4
"""Share of the epochs in which it rises; what it starts with is lr through the first, and it ends at that through the
second."""
_SHIPPED = (Adam, AdamW, SGD, RMSprop)
"""Their groups never change but for the learning rate, so their state is that of the parameters."""


def build_optimizer(network: Network, training: TrainingConfig, *, code: Code) -> Optimizer:
    """Build the optimizer over those parameters of `network` that are not frozen.

    Adam, AdamW and SGD are the fused ones, on the CPU too: one pass over all weights, not hundreds of small operations.

    Args:
        network: On the device where it is trained.
        training: Of the setting.
        code: Holds an optimizer of the user's own.
    Raises:
        CodeError: The user's own cannot be imported, or is none.
    """
    groups = _groups(network, training)
    parameters: Any = groups[0] if len(groups) == 1 else [{"params": group} for group in groups]
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


def lr_at(training: TrainingConfig, *, epoch: int, done: float = 0.0) -> float:
    """Return the learning rate of a step, from its place alone.

    Args:
        training: `cosine` starts at `lr` in epoch 1 and would be 0 in the epoch after the last one; `one_cycle` rises
            from a 25th of `lr` and falls to a ten-thousandth of that.
        epoch: The first one is 1.
        done: How much of the epoch's steps came before, 0 to less than 1; without a warm-up, only `one_cycle` asks.
    Source: Smith and Topin, Super-convergence, 2018; the shape is that of torch's OneCycleLR.
    """
    so_far, lr = epoch - 1 + done, training.lr
    if training.lr_schedule == "one_cycle":
        share = _ONE_CYCLE_RISES * training.epochs
        rise = min(share if training.warmup_epochs is None else training.warmup_epochs, float(training.epochs))
        start = lr / _ONE_CYCLE_START
        if so_far < rise:
            return _eased(start, lr, so_far / rise)
        left = training.epochs - rise
        return _eased(lr, start / _ONE_CYCLE_END, min(1.0, (so_far - rise) / left) if left else 0.0)
    warmup = training.warmup_epochs or 0.0
    if so_far < warmup:
        # The steps before say how high; none of them stands still.
        lr *= (so_far + 1e-3) / (warmup + 1e-3)
    if training.lr_schedule == "constant":
        return lr
    return lr * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / training.epochs))


def changes_within_epochs(training: TrainingConfig) -> bool:
    """Whether the steps of an epoch have learning rates of their own."""
    return training.lr_schedule == "one_cycle" or bool(training.warmup_epochs)


def set_lr(optimizer: Optimizer, lr: float, *, encoder: float | None = None) -> None:
    """Use this learning rate from the next step on.

    Args:
        optimizer: Of `build_optimizer`.
        lr: Of all but the encoder.
        encoder: The encoder's as a factor of it, where it has a group of its own.
    """
    groups = optimizer.param_groups
    for index, group in enumerate(groups):
        group["lr"] = lr * encoder if encoder is not None and index == 0 and len(groups) > 1 else lr


def _eased(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def optimizer_tensors(optimizer: Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """Return the optimizer's state by `<parameter>/<name of the state>`; empty before the first step.

    Raises:
        CodeError: The state of a user's optimizer holds what is neither tensor nor plain value.
    """
    if type(optimizer) not in _SHIPPED:
        return packed(optimizer.state_dict())
    names = _names(optimizer, network)
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
    index_of = {name: index for index, name in enumerate(_names(optimizer, network))}
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        parameter, _, key = name.rpartition("/")
        # A copy, for memory of its own: the optimizer changes its state in place, and goes through it and the weights
        # in the order in which they lie in memory.
        like = parameters[parameter] if value.shape == parameters[parameter].shape else value
        state.setdefault(index_of[parameter], {})[key] = torch.empty_like(like, dtype=value.dtype).copy_(value)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _of_the_user(optimizer: Any, parameters: Any, training: TrainingConfig) -> Optimizer:
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


def _groups(network: Network, training: TrainingConfig) -> list[list[nn.Parameter]]:
    """The trained parameters, those of the encoder first and by themselves where it has a learning rate of its own."""
    trained = _trained(network)
    if training.encoder_lr is None:
        return [list(trained.values())]
    of_encoder = {id(parameter) for parameter in network.encoder_part.parameters()}
    groups = [[p for p in trained.values() if (id(p) in of_encoder) is first] for first in (True, False)]
    return [group for group in groups if group]


def _names(optimizer: Optimizer, network: nn.Module) -> list[str]:
    """The names of the parameters in the optimizer's order, group after group."""
    name_of = {id(parameter): name for name, parameter in _trained(network).items()}
    return [name_of[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]


def _trained(network: nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
