"""Models that are ready to be timed: real seeded weights, sane activations, on their device.

Values matter little to the speed of arithmetic, but zeros, denormals and not-a-numbers do: no weight
is all zero, and normalisation layers hold the statistics of what they are given.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..errors import BuildError
from ..sources import Inputs, Request, Subject
from ..sources.construct import build_with_weights, use_own_statistics
from ..sources.feeding import tensors_of
from ..sources.reparam import deployed
from .machine import tensor_dtype

_SEED = 0
_LIVE_STD = 0.02
_LARGEST_WEIGHT = 1e4  # beyond it is memory that nobody filled


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and in which form a model computes."""

    device: torch.device
    dtype: str
    channels_last: bool = False


def ready_model(subject: Subject, request: Request, placement: Placement) -> nn.Module:
    """A model in eval mode with random weights, none of them all zero; raises BuildError and what forward raises."""
    subject = deployed(subject) if request.reparam else subject
    model = _built(subject)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = _tried(model, subject, request)
        _enliven(model)
        model.eval().requires_grad_(False).to(placement.device)
        wanted = tensor_dtype(placement.dtype)
        if wanted is not torch.float32:
            model.to(wanted)
        if placement.channels_last:
            _channels_last(t for t in (*model.parameters(), *model.buffers()) if not is_lazy(t))
    return model


def ready_inputs(subject: Subject, request: Request, placement: Placement) -> Inputs:
    """Seeded random inputs, none of them all zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        given = copy.deepcopy(subject.inputs(request, "cpu"))  # they may be a file's own
        tensors = tensors_of((given.args, given.kwargs))
        for t in tensors:
            if t.is_floating_point() and not t.any():
                t.uniform_()
            t.data = t.data.to(placement.device)
    if placement.channels_last:
        _channels_last(tensors)
    return given


def _built(subject: Subject) -> nn.Module:
    try:
        model = build_with_weights(subject.build, _SEED)
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError | BuildError):
            raise
        raise BuildError(f"{subject.name} could not be built: {type(error).__name__}: {error}") from error
    # A file may offer a module that exists already: it is not ours to change.
    return copy.deepcopy(model) if subject.source in ("file", "module") else model


def _tried(model: nn.Module, subject: Subject, request: Request) -> nn.Module:
    """The model after one forward pass, where it needs one: to fill its statistics, or to see if it takes the size."""
    sizes = subject.resized if request.input_size is not None else None
    inputs = None
    if sizes is not None or any(_has_statistics(m) for m in model.modules()) or any(map(is_lazy, model.parameters())):
        inputs = subject.inputs(replace(request, dtype="fp32", batch_size=1), "cpu")
        try:
            _settle(model, inputs)
        except Exception:
            if sizes is None or request.input_size is None:
                raise
            model = build_with_weights(sizes(request.input_size), _SEED)
            _settle(model, inputs)
    return model


def _settle(model: nn.Module, inputs: Inputs) -> None:
    """Let normalisation layers take the statistics of one forward pass."""
    _enliven(model)
    with _without_new_hooks(model.eval()):
        use_own_statistics(model)
        model(*inputs.args, **inputs.kwargs)


@contextmanager
def _without_new_hooks(model: nn.Module) -> Iterator[None]:
    """Take away the hooks that were set meanwhile: they would be timed, too."""
    before = {module: set(module._forward_pre_hooks) for module in model.modules()}
    try:
        yield
    finally:
        for module, kept in before.items():
            for key in set(module._forward_pre_hooks) - kept:
                del module._forward_pre_hooks[key]


def _has_statistics(module: nn.Module) -> bool:
    return {"running_mean", "running_var"} <= {name for name, _ in module.named_buffers(recurse=False)}


def _enliven(model: nn.Module) -> None:
    """Random numbers for parameters that are all zero, or that nobody filled."""
    for p in model.parameters():
        if not is_lazy(p) and p.is_floating_point() and p.numel():
            largest = p.abs().max().item()
            if not 0 < largest < _LARGEST_WEIGHT:  # not-a-number, too
                p.normal_(0.0, _LIVE_STD)


def _channels_last(tensors: Iterator[Tensor] | list[Tensor]) -> None:
    """Images and clips, and the kernels for them, with their channels last in memory."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for t in tensors:
        if t.dim() in formats:
            t.data = t.data.contiguous(memory_format=formats[t.dim()])
