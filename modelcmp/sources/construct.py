"""Building a model without filling its weights.

Parameters are allocated on the meta device and initialisers skip them: on meta they do no useful
work. Small real computations in constructors (``linspace(...).item()``, index tables) still run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar
from unittest import mock

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

T = TypeVar("T")

#: What to allocate on meta: everything; where a constructor mixes that with real numbers only what is
#: filled later; where it looks into its own weights nothing.
_ATTEMPTS = (("empty", "empty_strided", "zeros", "ones", "full", "rand", "randn"), ("empty", "empty_strided"), ())
_INITIALISE = (
    "uniform_", "normal_", "trunc_normal_", "constant_", "ones_", "zeros_", "eye_", "dirac_", "xavier_uniform_",
    "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_", "sparse_",
)  # fmt: skip
_FILLS = ("normal_", "uniform_", "zero_", "fill_", "erfinv_", "clamp_", "mul_", "add_", "div_", "sub_")


def build_without_weights(build: Callable[[], T]) -> T:
    """Build on meta as far as the constructor allows it, else on the CPU, with initialisers skipped.

    Raises what the constructor raises at the last attempt.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _laptop():
        for allocators in _ATTEMPTS[:-1]:
            # What is wrong with the constructor itself, the last attempt shows.
            with suppress(Exception, SystemExit), _hollow(allocators):
                return build()
        with _hollow(_ATTEMPTS[-1]):
            return build()


def build_with_weights(build: Callable[[], T], seed: int = 0) -> T:
    """Build for real, with the seed fixed: for a forward that needs numbers."""
    with torch.random.fork_rng(devices=[]), _laptop():
        torch.manual_seed(seed)
        return build()


def use_own_statistics(model: nn.Module) -> None:
    """Let normalisation layers take their running statistics from what they are given.

    Training leaves them there; without them the activations of a deep random network grow layer by
    layer until every score saturates, and how many boxes survive says nothing.
    """
    for module in model.modules():
        buffers = dict(module.named_buffers(recurse=False))
        if "running_mean" in buffers and "running_var" in buffers:
            module.register_forward_pre_hook(_take_statistics)


def _take_statistics(module: nn.Module, args: tuple[Any, ...]) -> None:
    with _disable_current_modes(), torch.no_grad():
        x = args[0].detach()
        others = [d for d in range(x.dim()) if d != 1]
        module.get_buffer("running_mean").copy_(x.mean(others))
        module.get_buffer("running_var").copy_(x.var(others, correction=0))


@contextmanager
def _laptop() -> Iterator[None]:
    """Parameters are fp32 whatever the default is, and ``.cuda()`` is no error where there is no CUDA."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with ExitStack() as stack:
            if not torch.cuda.is_available():
                for owner in (nn.Module, torch.Tensor):
                    stack.enter_context(mock.patch.object(owner, "cuda", lambda self, *_args, **_kwargs: self))
            yield
    finally:
        torch.set_default_dtype(default)


@contextmanager
def _hollow(allocators: tuple[str, ...]) -> Iterator[None]:
    """Allocate on meta and let initialisers pass; with no allocators skip those of real parameters, too."""
    with ExitStack() as stack:
        for name in allocators:
            stack.enter_context(mock.patch.object(torch, name, _meta_allocator(getattr(torch, name))))
        for name in _INITIALISE:
            skipping = _skipping(getattr(nn.init, name), parameters=not allocators)
            stack.enter_context(mock.patch.object(nn.init, name, skipping))
        for name in _FILLS:
            skipping = _skipping(getattr(torch._C.TensorBase, name), parameters=not allocators)
            stack.enter_context(_method(name, skipping))
        yield


def _meta_allocator(real: Callable[..., Any]) -> Callable[..., Any]:
    def allocate(*args: Any, device: Any = None, **kwargs: Any) -> Any:
        return real(*args, device="meta" if device is None else device, **kwargs)

    return allocate


def _skipping(real: Callable[..., Any], *, parameters: bool) -> Callable[..., Any]:
    """An in-place fill that leaves meta tensors (and parameters) as they are."""

    def fill(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if tensor.is_meta or (parameters and isinstance(tensor, nn.Parameter)):
            return tensor
        return real(tensor, *args, **kwargs)

    return fill


@contextmanager
def _method(name: str, method: Callable[..., Any]) -> Iterator[None]:
    """A method of torch.Tensor before the built-in one."""
    setattr(torch.Tensor, name, method)
    try:
        yield
    finally:
        delattr(torch.Tensor, name)
