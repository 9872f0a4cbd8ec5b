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
        return _profile_module(model, inputs, mode, convention)
    if inputs is not None:
        raise UsageError("inputs go with an nn.Module; a model named by a spec takes batch_size and input_size")
    request = make_request(batch_size, input_size, dtype, kwargs)
    return profile_spec(model, request, mode, convention)


def _profile_module(model: nn.Module, inputs: Any, mode: str, convention: str) -> ModelProfile:
    from .profile import profile_module

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
    request = make_request(batch_size, input_size, dtype, kwargs)
    result = profile_all(list(models), request, mode, convention, sort_by=sort_by)
    return result.sorted(sort_by, reverse) if sort_by else result


def make_request(batch_size: int, input_size: Size, dtype: str, kwargs: dict[str, Any] | None) -> Request:
    """Check how models are to be fed; raises UsageError."""
    if batch_size < 1:
        raise UsageError(f"batch size {batch_size} is not possible: use 1 or more")
    if isinstance(input_size, int):
        input_size = (input_size,)
    size = parse_size(input_size) if isinstance(input_size, str) else input_size
    return Request(batch_size, size, dtype, kwargs or {})


def profile_all(
    models: list[Any],
    request: Request,
    mode: str,
    convention: str,
    *,
    sort_by: str | None = None,
    keep_ops: bool = True,
    progress: Callable[[str, int], None] = lambda _name, _done: None,
) -> Comparison:
    """Profile each model; ``progress`` is told the name and how many are done.

    Without ``keep_ops`` only the metrics are kept: a thousand models then fit into little memory.
    """
    if sort_by:
        find(sort_by)
    for model in models:
        if isinstance(model, str):
            identify(model)
    done: list[ModelProfile] = []
    failed: list[ModelFailure] = []
    for i, model in enumerate(models):
        name = model if isinstance(model, str) else type(model[0] if isinstance(model, tuple) else model).__name__
        progress(name, i)
        try:
            made = _profile_any(model, request, mode, convention)
            done.append(made if keep_ops else replace(made, trace=None))
        except UsageError:
            raise
        except ModelcmpError as error:
            failed.append(ModelFailure(name, type(error).__name__, str(error)))
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
