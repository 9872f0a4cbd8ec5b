"""The two functions that most people need: :func:`profile` one model, :func:`compare` several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..comparison import Comparison
from ..errors import ModelcmpError, UsageError
from ..metrics import find
from ..records import ModelFailure, ModelProfile
from ..sources import Inputs, Request, as_inputs, identify, resolve
from ..sources.images import parse_size

if TYPE_CHECKING:
    from torch import nn

Size = int | str | tuple[int, ...] | None


def profile(
    model: str | nn.Module,
    inputs: Any = None,
    *,
    batch_size: int = 1,
    input_size: Size = None,
    dtype: str = "fp32",
    mode: str = "eval",
    convention: str = "total",
    kwargs: dict[str, Any] | None = None,
) -> ModelProfile:
    """Profile one model without weights or compute.

    ``model`` is a spec (``"resnet18"``, ``"timm:NAME"``, ``"net.py:factory"``) or an ``nn.Module``;
    a module needs ``inputs``: a tensor, a tuple of positional or a dict of keyword inputs (meta
    tensors will do). Raises ModelcmpError: UnknownName, BadInput, BuildError or ForwardError.

    >>> import modelcmp
    >>> modelcmp.profile("resnet18").macs
    1814073344
    """
    if not isinstance(model, str):
        if (batch_size, input_size, dtype, kwargs) != (1, None, "fp32", None):
            raise UsageError("a module is profiled as it is, on its inputs: change those instead of the options")
        return _profile_module(model, inputs, mode, convention)
    if inputs is not None:
        raise UsageError("inputs go with an nn.Module; a model named by a spec takes batch_size and input_size")
    request = make_request(batch_size, input_size, dtype, kwargs)
    return profile_spec(model, request, mode, convention)


def _profile_module(model: nn.Module, inputs: Any, mode: str, convention: str) -> ModelProfile:
    from torch import nn

    from .profile import profile_module

    if not isinstance(model, nn.Module):
        raise UsageError(f"cannot profile a {type(model).__name__}: give a spec (text) or an nn.Module")
    if inputs is None:
        raise UsageError("a module needs inputs: profile(module, torch.empty(1, 3, 224, 224))")
    return profile_module(model, as_inputs(inputs), mode, convention)


def compare(
    models: Iterable[str | nn.Module | tuple[nn.Module, Any]],
    *,
    sort_by: str | None = None,
    reverse: bool = False,
    batch_size: int = 1,
    input_size: Size = None,
    dtype: str = "fp32",
    mode: str = "eval",
    convention: str = "total",
    kwargs: dict[str, Any] | None = None,
) -> Comparison:
    """Profile several models at the same settings; a module goes with its inputs as ``(module, inputs)``.

    A model that cannot be built or run is listed in ``failures`` and the others still compared.
    Raises UsageError (an unknown name, metric or option) before anything is profiled.

    >>> import modelcmp
    >>> [p.name for p in modelcmp.compare(["resnet18", "mobilenet_v2"], sort_by="params")]
    ['mobilenet_v2', 'resnet18']
    """
    if isinstance(models, str):
        raise UsageError(f"compare takes several models: compare([{models!r}])")
    request = make_request(batch_size, input_size, dtype, kwargs)
    if sort_by:
        find(sort_by)
    result = profile_all(list(models), request, mode, convention)
    return result.sorted(sort_by, reverse) if sort_by else result


def make_request(batch_size: int, input_size: Size, dtype: str, kwargs: dict[str, Any] | None) -> Request:
    """Check how models are to be fed; raises UsageError."""
    if not isinstance(batch_size, int) or batch_size < 1:
        raise UsageError(f"batch size {batch_size!r} is not possible: use a whole number from 1 up")
    if input_size is None:
        return Request(batch_size, None, dtype, kwargs or {})
    if isinstance(input_size, list | tuple):
        input_size = "x".join(map(str, input_size))
    return Request(batch_size, parse_size(str(input_size)), dtype, kwargs or {})


def profile_all(
    models: list[Any],
    request: Request,
    mode: str,
    convention: str,
    *,
    keep_ops: bool = True,
    progress: Callable[[str, int], None] = lambda _name, _done: None,
) -> Comparison:
    """Profile each model; ``progress`` is told the name and how many are done.

    Unknown names are refused first; later failures are listed, and raised only when nothing is left.
    Without ``keep_ops`` only the metrics are kept: a thousand models then fit into little memory.
    """
    for model in models:
        if isinstance(model, str):
            identify(model)
    done: list[ModelProfile] = []
    failed: list[ModelFailure] = []
    refused: UsageError | None = None
    for i, model in enumerate(models):
        name = model if isinstance(model, str) else type(model[0] if isinstance(model, tuple) else model).__name__
        progress(name, i)
        try:
            made = _profile_any(model, request, mode, convention)
            done.append(made if keep_ops else replace(made, trace=None))
        except ModelcmpError as error:
            failed.append(ModelFailure(name, type(error).__name__, str(error)))
            refused = refused or (error if isinstance(error, UsageError) else None)
    if refused is not None and not done:
        raise refused
    return Comparison(tuple(done), tuple(failed))


def _profile_any(model: Any, request: Request, mode: str, convention: str) -> ModelProfile:
    if isinstance(model, str):
        return profile_spec(model, request, mode, convention)
    module, inputs = model if isinstance(model, tuple) else (model, None)
    return _profile_module(module, inputs, mode, convention)


def profile_spec(spec: str, request: Request, mode: str, convention: str) -> ModelProfile:
    """Profile a spec; its own name is kept as it was typed."""
    from .profile import profile_subject

    _, _, notes = identify(spec)
    subject = replace(resolve(spec, request), name=spec)
    return profile_subject(subject, request, mode, convention, notes)


__all__ = ["Inputs", "compare", "make_request", "profile", "profile_all", "profile_spec"]
