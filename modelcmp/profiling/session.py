"""One context in which a forward pass is traced; it restores everything that it touched."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from .tracer import Modules, Tracer
from .whole import whole_composites


@contextmanager
def tracing(modules: Modules, *, train: bool, real: bool, gradients: bool = False) -> Iterator[Tracer]:
    """Trace what the first of ``modules`` (see :func:`walk`) does inside.

    Eval mode runs under inference mode, or with ``gradients`` as a forward that differentiates needs it.

    Restored on leaving, also when forward raises: ``nn.Module.__call__``, training flags, RNG state,
    the fast path of ``nn.MultiheadAttention`` and the grad mode.
    """
    flags = [(m, m.training) for _, m in modules]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    tracer = Tracer(modules, real=real)
    try:
        for module, _ in flags:
            module.training = train
        torch.backends.mha.set_fastpath_enabled(False)
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=_cuda_devices(real)))
            gradients = gradients or train
            stack.enter_context(torch.enable_grad() if gradients else torch.inference_mode())
            if gradients:
                stack.enter_context(whole_composites(tracer.unrecorded))
            stack.enter_context(_eager())
            stack.enter_context(_module_calls(tracer))
            stack.enter_context(tracer)
            yield tracer
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module, flag in flags:
            module.training = flag


def _cuda_devices(real: bool) -> list[int]:
    """Devices whose random state a real run could move."""
    return list(range(torch.cuda.device_count())) if real and torch.cuda.is_initialized() else []


@contextmanager
def _eager() -> Iterator[None]:
    """Compiled functions run as they were written."""
    if "torch._dynamo.eval_frame" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def _module_calls(tracer: Tracer) -> Iterator[None]:
    """Tell the tracer which module is running, on this thread."""
    original: Callable[..., Any] = nn.Module.__call__
    owner = threading.get_ident()

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != owner:
            return original(module, *args, **kwargs)
        outer = tracer.enter(module)
        try:
            return original(module, *args, **kwargs)
        except Exception:
            if tracer.failed is None:
                tracer.failed = (tracer.place, args)
            raise
        finally:
            tracer.place = outer

    nn.Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]
