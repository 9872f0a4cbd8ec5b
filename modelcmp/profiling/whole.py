"""Keeps composite operations whole where autograd would take them apart.

Inference mode hands ``scaled_dot_product_attention``, ``linear``, ``lstm`` and the like to a
dispatch mode in one piece; with gradients their parts arrive, one kernel each, and attention loses
its fused kernel. Kernels registered for autograd's keys pass them on whole, so that totals are
those of inference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

_KEYS = ("AutogradCPU", "AutogradMeta", "AutogradCUDA")

#: Gradients of the first two arguments need only the respective other one.
_PRODUCTS = ("linear",)
_OTHERS = (
    "scaled_dot_product_attention", "bilinear", "rms_norm", "lstm.input", "lstm.data", "gru.input", "gru.data",
    "rnn_tanh.input", "rnn_tanh.data", "rnn_relu.input", "rnn_relu.data",
)  # fmt: skip


@contextmanager
def whole_composites(unrecorded: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Pass composite operations on whole, inside; what backward runs again of forward is ``unrecorded``."""
    library = torch.library.Library("aten", "IMPL")
    try:
        for name in (*_PRODUCTS, *_OTHERS):
            kernel = _kernel(_overload(name), name in _PRODUCTS, unrecorded)
            for key in _KEYS:
                library.impl(name, kernel, key)
        yield
    finally:
        library._destroy()


def _overload(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet), overload or "default")


def _kernel(
    op: Any, product: bool, unrecorded: Callable[[], AbstractContextManager[None]]
) -> Callable[..., Any]:  # fmt: skip
    def kernel(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = tree_flatten((args, kwargs))
        return _Whole.apply(op, product, unrecorded, spec, *leaves)

    return kernel


class _Whole(torch.autograd.Function):
    """One operation with its inputs (and, where the gradient needs them, outputs) kept for backward.

    What a recurrent layer's kernel keeps inside (its gates) is not known and not counted.
    """

    @staticmethod
    def forward(ctx: Any, op: Any, product: bool, unrecorded: Any, spec: TreeSpec, *leaves: Any) -> Any:
        args, kwargs = tree_unflatten(leaves, spec)
        with torch._C._AutoDispatchBelowAutograd():
            result = op(*args, **kwargs)
        ctx.call = (op, unrecorded, spec, leaves)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(*_kept(leaves, result, product))
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Gradients by way of the op's parts; only a forward that differentiates comes here."""
        op, unrecorded, spec, leaves = ctx.call
        nodes = iter(ctx.next_functions)  # one for each tensor
        needed = [isinstance(v, Tensor) and _asked_for(next(nodes)[0]) for v in leaves]
        with torch.enable_grad(), unrecorded():
            leaves = [_fresh(v, need) for v, need in zip(leaves, needed, strict=True)]
            args, kwargs = tree_unflatten(leaves, spec)
            result = op.decompose(*args, **kwargs)
        wanted = [v for v, need in zip(leaves, needed, strict=True) if need]
        results = result if isinstance(result, tuple) else (result,)
        found = iter(torch.autograd.grad(results, wanted, grads, allow_unused=True))
        return None, None, None, None, *(next(found) if need else None for need in needed)


def _asked_for(node: Any) -> bool:
    """Whether the running backward wants this input's gradient."""
    try:
        return node is not None and torch._C._will_engine_execute_node(node)
    except RuntimeError:  # a leaf whose gradient is a result of autograd.grad
        return True


def _kept(leaves: tuple[Any, ...], result: Any, product: bool) -> list[Tensor]:
    if product:
        a, b = leaves[:2]
        return [t for t, other in ((a, b), (b, a)) if other.requires_grad]
    outs = result if isinstance(result, tuple) else (result,)
    return [*(v for v in leaves if isinstance(v, Tensor)), *outs]


def _fresh(value: Any, needed: bool) -> Any:
    return value.detach().requires_grad_(needed) if isinstance(value, Tensor) else value
