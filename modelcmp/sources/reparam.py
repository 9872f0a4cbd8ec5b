"""The deployed form of a model: what was trained as branches and norms, folded into plain layers.

Modules say themselves how they fold, by a method that needs no arguments: ``fuse`` (the result takes
the module's place), ``reparameterize`` or ``switch_to_deploy`` (both in place), the conventions of
RepVGG, MobileOne, LeViT and of timm's ``reparameterize_model``. Nothing is folded on our own account.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from .subject import Dims, Subject

#: Methods by which a module folds itself, the first that it has.
_METHODS = ("fuse", "reparameterize", "switch_to_deploy")


def deployed(subject: Subject) -> Subject:
    """The same subject, built in its deployed form."""

    def folding(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        return lambda: reparametrised(build())

    def resized(size: Dims) -> Callable[[], nn.Module]:
        assert subject.resized is not None
        return folding(subject.resized(size))

    return replace(subject, build=folding(subject.build), resized=subject.resized and resized)


@torch.no_grad()
def reparametrised(model: nn.Module) -> nn.Module:
    """A folded copy, in eval mode; a model that has nothing to fold is handed back as it is.

    Works on meta tensors inside :func:`~modelcmp.sources.construct.build_without_weights`, whose
    allocations then lie there, too.
    """
    if not any(_method(module) for module in model.modules()):
        return model
    return _folded(copy.deepcopy(model).eval(), {})


def _folded(module: nn.Module, done: dict[nn.Module, nn.Module]) -> nn.Module:
    """The module or its replacement, with its children folded; one used in two places stays one."""
    if module in done:
        return done[module]
    method = _method(module)
    result = method() if method else None
    done[module] = folded = result if isinstance(result, nn.Module) else module
    done[folded] = folded
    for name, child in list(folded._modules.items()):
        if child is not None and (new := _folded(child, done)) is not child:
            setattr(folded, name, new)
    return folded


def _method(module: nn.Module) -> Callable[[], Any] | None:
    """How a module folds itself; a ``fuse`` that wants arguments means something else."""
    for name in _METHODS:
        method = getattr(module, name, None)
        if inspect.ismethod(method) and not _required(method):
            return method
    return None


def _required(method: Callable[..., Any]) -> bool:
    return any(
        p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        for p in inspect.signature(method).parameters.values()
    )
