"""From a subject, or a module and its inputs, to a :class:`~modelcmp.records.ModelProfile`."""

from __future__ import annotations

import contextlib
import copy
import gc
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .. import metrics
from ..errors import BadInput, BuildError, ForwardError, ModelcmpError, NeedsData, own_words
from ..records import Access, ModelProfile, Trace
from ..reductions import distinct_outputs, uncounted
from ..sources import Inputs, Request, Subject
from ..sources.construct import build_with_weights, build_without_weights, use_own_statistics
from ..sources.feeding import fitted, tensors_of
from ..sources.images import short_name, torch_dtype
from ..sources.reparam import deployed
from ..units import shape as shape_text
from .memory import give_back
from .options import check_options
from .parameters import owned, packed
from .preserve import preserved
from .session import tracing
from .tracer import Modules, Tracer, walk


def profile_subject(
    subject: Subject, request: Request, mode: str = "eval", convention: str = "total", notes: tuple[str, ...] = ()
) -> ModelProfile:
    """Profile a subject without weights or compute; for real on seeded numbers where forward needs them.

    Raises BuildError, ForwardError or BadInput.
    """
    check_options(mode, convention, request.dtype)
    with _gc_paused():
        trace, inputs, extra = _trace_subject(subject, request, mode == "train")
    return make_profile(
        trace, convention, name=subject.name, source=subject.source, inputs=inputs, batch_size=request.batch_size,
        dtype=request.dtype, mode=mode, notes=(*subject.notes, *notes, *extra), given=subject.given,
    )  # fmt: skip


def _trace_subject(subject: Subject, request: Request, train: bool) -> tuple[Trace, Inputs, tuple[str, ...]]:
    """Trace without data; where forward needs numbers, for real."""
    subject = deployed(subject) if request.reparam else subject
    try:
        inputs = subject.inputs(request, "meta")
        model = _typed(_built(subject, subject.build, build_without_weights), request.dtype)
        try:
            trace = trace_module(model, inputs, train=train, name=subject.name)
        except ForwardError as error:
            if subject.resized is None and _curable(error):
                raise NeedsData("forward needs real values") from error
            model = _typed(_built_for_size(subject, request, error), request.dtype)
            trace = trace_module(model, inputs, train=train, name=subject.name)
    except NeedsData as reason:
        trace, inputs = _for_real(subject, request, train)
        give_back()
        return trace, inputs, (f"{reason}: run once on the CPU with seeded random weights and input",)
    return trace, inputs, ()


def profile_module(
    model: nn.Module, inputs: Inputs, mode: str = "eval", convention: str = "total", name: str = ""
) -> ModelProfile:
    """Profile a module that exists already; it is left as it was.

    Nothing is computed unless forward needs real values; then it runs once on the given inputs.
    """
    check_options(mode, convention, "fp32")
    model = getattr(model, "_orig_mod", model)
    name = name or type(model).__name__
    notes: tuple[str, ...] = ()
    if any(is_lazy(t) for t in (*model.parameters(), *model.buffers())):
        model = _materialised(model, inputs)
    try:
        with preserved(walk(model)):
            trace = trace_module(model, fitted(inputs, "meta"), train=mode == "train", name=name)
    except (NeedsData, ForwardError) as reason:
        if isinstance(reason, ForwardError) and not _curable(reason):
            raise
        if any(t.is_meta for t in tensors_of((inputs.args, inputs.kwargs, *model.parameters()))):
            if isinstance(reason, ForwardError):
                raise
            raise ForwardError(f"{name}: {reason}; give a model and inputs with real tensors") from reason
        trace = trace_module(copy.deepcopy(model), inputs, train=mode == "train", real=True, name=name)
        words = str(reason) if isinstance(reason, NeedsData) else "forward needs real values"
        notes = (f"{words}: run once on the given inputs",)
    floating = [t.dtype for t in model.parameters() if t.is_floating_point()]
    dtype = short_name(floating[0] if floating else torch.float32)
    first = tensors_of((inputs.args, inputs.kwargs))
    return make_profile(
        trace, convention, name=name, source="module", inputs=inputs,
        batch_size=first[0].shape[0] if first and first[0].dim() else 1, dtype=dtype, mode=mode, notes=notes,
    )  # fmt: skip


def make_profile(
    trace: Trace, convention: str, *, inputs: Inputs, given: Mapping[str, float] | None = None, **identity: Any
) -> ModelProfile:
    """Evaluate every metric of a trace under one convention; ``given`` metrics come with the model."""
    return ModelProfile(
        input_shape=tuple(tuple(t.shape) for t in tensors_of((inputs.args, inputs.kwargs))),
        convention=convention,
        values=metrics.evaluate(trace, convention, given),
        uncounted=uncounted(trace.ops),
        trace=trace,
        **identity,
    )


def under_convention(profile: ModelProfile, convention: str) -> ModelProfile:
    """The same profile with its figures under another convention: one trace serves them all."""
    check_options(profile.mode, convention, "fp32")
    if profile.trace is None:
        raise BadInput(f"{profile.name}: its operations were not kept, profile it again")
    return replace(profile, convention=convention, values=metrics.under(profile.trace, profile.values, convention))


def trace_module(model: nn.Module, inputs: Inputs, *, train: bool = False, real: bool = False, name: str = "") -> Trace:
    """Trace one forward pass; raises ForwardError with the place where it failed, or NeedsData.

    In eval mode autograd is off, unless forward itself differentiates (forces from an energy).
    """
    try:
        return _traced(model, inputs, train=train, real=real, name=name, gradients=False)
    except ForwardError as error:
        if train or not any(hint in str(error.__cause__) for hint in _GRADIENT_HINTS):
            raise
    return _traced(model, inputs, train=train, real=real, name=name, gradients=True)


#: What torch's errors say when forward wants a gradient that inference mode does not keep.
_GRADIENT_HINTS = ("does not require grad", "inference tensor", "Inference tensor", "inference mode", "requires_grad")


def _traced(model: nn.Module, inputs: Inputs, *, train: bool, real: bool, name: str, gradients: bool) -> Trace:
    saved: set[int] = set()
    modules = walk(model)
    with tracing(modules, train=train, real=real, gradients=gradients) as tracer:
        given = [tracer.access(t) for t in tensors_of((inputs.args, inputs.kwargs))]
        try:
            with _quiet(), _saved_for_backward(tracer, saved, train):
                result = model(*inputs.args, **inputs.kwargs)
        except NeedsData:
            raise
        except (Exception, SystemExit) as error:
            raise _forward_error(name, tracer, error) from error
        outputs = [tracer.access(t) for t in tensors_of(result)]
    return _trace(modules, tracer, tuple(given), distinct_outputs(outputs), frozenset(saved - tracer.weights), train)


def _trace(
    modules: Modules,
    tracer: Tracer,
    given: tuple[Access, ...],
    outputs: tuple[Access, ...],
    saved: frozenset[int],
    train: bool,
) -> Trace:
    rows, sizes = owned(modules, tracer.calls)
    packed_params, packed_bytes = packed(modules)
    return Trace(
        ops=tracer.records(),
        modules=rows,
        params=sum(m.params for m in rows) + packed_params,
        trainable_params=sum(m.trainable_params for m in rows),
        size_bytes=sizes[0] + packed_bytes,
        trainable_bytes=sizes[1],
        buffer_bytes=tracer.buffer_bytes(),
        inputs=given,
        outputs=outputs,
        saved_buffers=saved,
        train=train,
        real=tracer.real,
    )


def _built(
    subject: Subject, build: Callable[[], nn.Module], how: Callable[[Callable[[], nn.Module]], nn.Module]
) -> nn.Module:
    """Build, with the model's own error shown."""
    try:
        with _quiet():
            return how(build)
    except ModelcmpError:
        raise
    except (Exception, SystemExit) as error:
        raise BuildError(f"{subject.name} could not be built: {own_words(error)}") from error


def _built_for_size(subject: Subject, request: Request, failure: ForwardError) -> nn.Module:
    """Rebuild an architecture that has to know its input size; ``failure`` stands where it can't be told."""
    if subject.resized is None or request.input_size is None:
        raise failure
    try:
        with _quiet():
            return build_without_weights(subject.resized(request.input_size))
    except TypeError:
        raise failure from None
    except Exception as error:
        size = shape_text(request.input_size)
        raise ForwardError(f"{subject.name} does not take input size {size}: {own_words(error)}") from error


def _for_real(subject: Subject, request: Request, train: bool) -> tuple[Trace, Inputs]:
    """Forward depends on numbers: run it once on the CPU with seeded weights and inputs."""
    model = _typed(_built(subject, subject.build, build_with_weights), request.dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        inputs = subject.inputs(request, "cpu")
        use_own_statistics(model)
        return trace_module(model, inputs, train=train, real=True, name=subject.name), inputs


def _typed(model: nn.Module, dtype: str) -> nn.Module:
    return model if torch_dtype(dtype) is torch.float32 else model.to(torch_dtype(dtype))


def _materialised(model: nn.Module, inputs: Inputs) -> nn.Module:
    """A copy whose lazy modules know their shapes, after one forward without data."""
    weightless = {id(p): _without_data(p) for p in (*model.parameters(), *model.buffers())}
    model = copy.deepcopy(model, weightless)
    meta = fitted(inputs, "meta")
    with torch.no_grad(), _quiet():
        model(*meta.args, **meta.kwargs)
    return model


def _without_data(t: Tensor) -> Tensor:
    """A twin on the meta device; a lazy one stays lazy."""
    if is_lazy(t):
        lazy: Any = type(t)
        keywords = {"requires_grad": t.requires_grad} if isinstance(t, nn.Parameter) else {}
        twin: Tensor = lazy(device="meta", dtype=t.dtype, **keywords)
        return twin
    twin = torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta")
    return nn.Parameter(twin, t.requires_grad) if isinstance(t, nn.Parameter) else twin


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Modules and records are many small objects that live: looking through them for cycles is wasted."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _quiet() -> Iterator[None]:
    """The model's own warnings are not ours to repeat, and what it prints is no part of our output."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _saved_for_backward(tracer: Tracer, saved: set[int], train: bool) -> Iterator[None]:
    """Note which buffers autograd keeps."""
    if not train:
        yield
        return

    def pack(t: Tensor) -> Tensor:
        saved.add(tracer.buffer_of(t))
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        yield


def _forward_error(name: str, tracer: Tracer, error: BaseException) -> ForwardError:
    place, args = tracer.failed or (tracer.place, ())
    shapes = ", ".join(shape_text(tuple(t.shape)) for t in tensors_of(args)) or "no tensors"
    where = f"module {place.module!r} ({place.module_type})" if place.module else f"{place.module_type}.forward"
    return ForwardError(f"{name} failed in {where} on input {shapes}: {own_words(error)}")


def _curable(error: ForwardError) -> bool:
    """Whether forward failed only because it was given no data, and not for a reason of its own."""
    words = str(error.__cause__).lower()
    return isinstance(error.__cause__, NotImplementedError) or any(hint in words for hint in _DATA_HINTS)


#: What torch's errors say when a tensor without data is the trouble.
_DATA_HINTS = ("meta", "numpy", "same device", "expected device", "storage", "higher order operator", "fake impl")
