"""What of a model and its optimizer goes into a dump, under which names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import BadInput

_PLAIN = (Tensor, nn.Parameter)
#: What wrappers put into names: torch.compile, activation checkpointing, FSDP.
_WRAPPED = ("_orig_mod.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module.")


@dataclass(frozen=True, slots=True)
class Contents:
    """Tensors as they are in training, not copied yet."""

    weights: Mapping[str, Any]  # tensors, and what modules keep besides (``_extra_state``)
    grads: Mapping[str, Tensor] = field(default_factory=dict)
    optimizer: Mapping[str, Any] | None = None  # a state dict of torch's form
    optimizer_name: str | None = None
    names: list[list[str]] = field(default_factory=list)  # of the parameters of each group, in its order


def contents_of(model: nn.Module, optimizer: Any = None) -> Contents:
    """A model's parameters, buffers and gradients and an optimizer's state, under the plain model's names.

    Wrappers of several processes and of the compiler are looked through. Raises BadInput for what is no model, no
    optimizer, or dealt out over processes.
    """
    if not isinstance(model, nn.Module):
        raise BadInput(f"a dump is of a torch.nn.Module, not of {type(model).__name__}")
    inner = plain_optimizer(optimizer) if optimizer is not None else None
    model = plain_model(model)
    named = {plain_name(name): parameter for name, parameter in model.named_parameters()}
    return Contents(  # keep_vars: no detached tensor for each, which none here needs
        weights={plain_name(name): value for name, value in model.state_dict(keep_vars=True).items()},
        grads={name: p.grad for name, p in named.items() if p.grad is not None},
        optimizer=inner.state_dict() if inner is not None else None,
        optimizer_name=type(inner).__name__ if inner is not None else None,
        names=parameter_names(named, inner) if inner is not None else [],
    )


def plain_model(model: nn.Module) -> nn.Module:
    """The model inside DistributedDataParallel, DataParallel and torch.compile."""
    wrappers = (nn.parallel.DistributedDataParallel, nn.DataParallel)
    while True:
        inner = getattr(model, "module", None) if isinstance(model, wrappers) else getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def plain_optimizer(optimizer: Any) -> Optimizer:
    """torch's optimizer inside wrappers such as accelerate's; raises BadInput."""
    inner = optimizer
    while isinstance(getattr(inner, "optimizer", None), Optimizer):
        inner = inner.optimizer
    if not isinstance(inner, Optimizer):
        raise BadInput(f"optimizer is a torch.optim.Optimizer, not {type(optimizer).__name__}")
    return inner


@cache
def plain_name(name: str) -> str:
    """A parameter's name without what wrappers inside the model put into it.

    >>> plain_name("layer1._orig_mod.0.weight")
    'layer1.0.weight'
    """
    for part in _WRAPPED:
        name = name.replace(part, "")
    return name


def parameter_names(named: Mapping[str, Tensor], optimizer: Optimizer) -> list[list[str]]:
    """The names of each group's parameters, found by identity; ``group0.param3`` for one that the model has not."""
    known = {id(parameter): name for name, parameter in named.items()}
    return [
        [known.get(id(parameter), f"group{g}.param{i}") for i, parameter in enumerate(group["params"])]
        for g, group in enumerate(optimizer.param_groups)
    ]


def strided(tensor: Tensor) -> Tensor:
    """A tensor that can be copied as numbers; raises BadInput where this process holds a part of it only."""
    if type(tensor) in _PLAIN and tensor.layout is torch.strided and not tensor.is_quantized:
        if tensor.is_conj() or tensor.is_neg():  # share memory with what they are the conjugate or negative of
            return tensor.detach().resolve_conj().resolve_neg()
        return tensor  # hundreds of them a step
    if hasattr(tensor, "full_tensor"):
        raise BadInput(
            "a parameter is dealt out over processes (DTensor): dump full state dicts, such as those of "
            "torch.distributed.checkpoint.state_dict, or train with `compare-models train`"
        )
    tensor = tensor.detach()
    if tensor.is_quantized:
        return tensor.dequantize()
    tensor = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return tensor.resolve_conj().resolve_neg()


def replaced(value: Any, place: Callable[[Tensor], Any]) -> Any:
    """A copy of nested plain data with something in the place of each tensor."""
    return kept(value, place, None)


def kept(value: Any, place: Callable[[Tensor], Any], left_out: dict[str, str] | None) -> Any:
    """As :func:`replaced`, without the keys whose values are no plain data: these go to ``left_out``, with their types.

    Plain are tensors, numbers, text, truth values and None, and dicts, lists and tuples of them. None: all stays.
    """
    if isinstance(value, Tensor):
        return place(value)
    if isinstance(value, dict | Mapping):  # most are dicts, which is fast to tell
        found = {}
        for key, inner in value.items():
            new = place(inner) if isinstance(inner, Tensor) else kept(inner, place, left_out)
            if type(new) is not _Odd:
                found[key] = new
            elif left_out is not None:
                left_out[str(key)] = new.kind
        return found
    if isinstance(value, list | tuple):
        inner = [kept(item, place, left_out) for item in value]
        odd = next((item for item in inner if type(item) is _Odd), None)
        if odd is not None:
            return odd
        return inner if isinstance(value, list) else tuple(inner)
    if left_out is None or value is None or isinstance(value, bool | int | float | str):
        return value
    return value.item() if isinstance(value, np.bool_ | np.number) and not np.iscomplexobj(value) else _Odd(value)


class _Odd:
    """In the place of what no plain file can hold."""

    def __init__(self, value: Any) -> None:
        self.kind = type(value).__name__
