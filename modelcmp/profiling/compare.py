"""The two functions that most people need: :func:`profile` one model, :func:`compare` several."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..comparison import Comparison
from ..engines import Options
from ..errors import ModelcmpError, UsageError
from ..hardware import catalogue as machines
from ..hardware.device import Device
from ..metrics import check_machine_named, find
from ..records import ModelFailure, ModelProfile
from ..sources import Inputs, Request, as_inputs, identify, resolve
from ..sources.selection import expand
from ..store.cache import Cache
from ..store.place import cache_folder
from .latency import check_machine, on_machine
from .many import Means, Work, profile_many, sorted_out
from .options import Size, check_options, make_request

if TYPE_CHECKING:
    from torch import nn


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
    reparam: bool = False,
) -> ModelProfile:
    """Profile one model without weights or compute.

    ``model`` is a spec (``"resnet18"``, ``"timm:NAME"``, ``"net.py:factory"``) or an ``nn.Module``;
    a module needs ``inputs``: a tensor, a tuple of positional or a dict of keyword inputs (meta
    tensors will do). ``reparam`` folds branches and norms first where the model has a deployed form.
    Raises ModelcmpError: UnknownName, BadInput, BuildError or ForwardError.

    >>> import modelcmp
    >>> modelcmp.profile("resnet18").macs
    1814073344
    """
    if not isinstance(model, str):
        if (batch_size, input_size, dtype, kwargs, reparam) != (1, None, "fp32", None, False):
            raise UsageError("a module is profiled as it is, on its inputs: change those instead of the options")
        return _profile_module(model, inputs, mode, convention)
    if inputs is not None:
        raise UsageError("inputs go with an nn.Module; a model named by a spec takes batch_size and input_size")
    request = make_request(batch_size, input_size, dtype, kwargs, reparam)
    check_options(mode, convention, dtype, reparam)
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
    reparam: bool = False,
    cache: bool = False,
    jobs: int = 1,
    hardware: str | Device | None = None,
    level: str | None = None,
    compiled: bool = False,
) -> Comparison:
    """Profile several models at the same settings; a module goes with its inputs as ``(module, inputs)``.

    Specs may be globs, folders and lists as on the command line (``"timm:vit_*"``). ``cache`` keeps
    profiles in the platform's cache folder and answers from there, ``jobs`` profiles in that many
    processes: both for specs only, and without ``.ops`` and ``.layers``. With ``hardware`` (a machine's
    name, a file or a Device) each gets its predicted ``latency_ms``, for eager execution or ``compiled``.
    A model that cannot be built or run is listed in ``failures`` and the others still compared.
    Raises UsageError (an unknown name, metric or option) before anything is profiled.

    >>> import modelcmp
    >>> [p.name for p in modelcmp.compare(["resnet18", "mobilenet_v2"], sort_by="params")]
    ['mobilenet_v2', 'resnet18']
    """
    if isinstance(models, str):
        raise UsageError(f"compare takes several models: compare([{models!r}])")
    request = make_request(batch_size, input_size, dtype, kwargs, reparam)
    check_options(mode, convention, dtype, reparam)
    device = _device(hardware, dtype, mode, convention)
    by = [find(sort_by)] if sort_by else []
    if device is None:
        check_machine_named(by)
    given = _expanded(models)
    if cache or jobs != 1:
        result = _of_specs(given, request, mode, convention, cache, jobs, kernels=device is not None)
    else:
        result = profile_all(given, request, mode, convention)
    result = result if device is None else on_machine(result, device, level=level, compiled=compiled)
    return result.sorted(sort_by, reverse) if sort_by else result


def _device(hardware: str | Device | None, dtype: str, mode: str, convention: str) -> Device | None:
    """The machine of a name; raises UsageError, also where nothing can be predicted on it."""
    if hardware is None:
        return None
    device = machines.find(hardware) if isinstance(hardware, str) else hardware
    check_machine(device, dtype, mode, convention)
    return device


def _expanded(models: Iterable[Any]) -> list[Any]:
    """Specs in place of globs, folders and lists; modules as they are."""
    given: list[Any] = []
    for model in models:
        given += expand([model]) if isinstance(model, str) else [model]
    return given


def _of_specs(
    specs: list[Any], request: Request, mode: str, convention: str, cache: bool, jobs: int, kernels: bool
) -> Comparison:
    """Through the cache and in several processes."""
    if not all(isinstance(spec, str) for spec in specs):
        raise UsageError("cache and jobs go with specs (text): an nn.Module is profiled here and now")
    kept = Cache(cache_folder(), warnings.warn) if cache else None
    work = [Work(spec, request, mode, kernels) for spec in specs]
    with kept or nullcontext():
        results = profile_many(work, convention, Means(kept, options=Options(workers=jobs)), lambda _name, _done: None)
    return Comparison(*sorted_out(results))


def profile_all(models: list[Any], request: Request, mode: str, convention: str) -> Comparison:
    """Profile each model here and now, with its operations.

    Unknown names are refused first; later failures are listed, and raised only when nothing is left.
    """
    for model in models:
        if isinstance(model, str):
            identify(model)
    done: list[ModelProfile] = []
    failed: list[ModelFailure] = []
    refused: UsageError | None = None
    for model in models:
        name = model if isinstance(model, str) else type(model[0] if isinstance(model, tuple) else model).__name__
        try:
            done.append(_profile_any(model, request, mode, convention))
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
