"""The optimizer of a setting, its learning rate in each epoch, and its state as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from deepcolor.config.schema import TrainingConfig

_SGD_MOMENTUM = 0.9


def build_optimizer(network: nn.Module, training: TrainingConfig) -> Optimizer:
    """Build the optimizer over those parameters of `network` that are not frozen.

    Adam, AdamW and SGD are the fused ones, on the CPU too: one pass over all weights, not hundreds of small operations.
    """
    parameters = list(_trained(network).values())
    lr, decay = training.lr, training.weight_decay
    match training.optimizer:
        case "adam":
            return Adam(parameters, lr=lr, weight_decay=decay, fused=True)
        case "adamw":
            return AdamW(parameters, lr=lr, weight_decay=decay, fused=True)
        case "sgd":
            return SGD(parameters, lr=lr, weight_decay=decay, momentum=_SGD_MOMENTUM, fused=True)
        case "rmsprop":
            return RMSprop(parameters, lr=lr, weight_decay=decay)


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
    """Return the optimizer's state by `<parameter>/<name of the state>`; empty before the first step."""
    names = list(_trained(network))
    return {
        f"{names[index]}/{key}": value
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }


def restore_optimizer(optimizer: Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put a state back that `optimizer_tensors` gave."""
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


def _trained(network: nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
