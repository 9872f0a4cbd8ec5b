"""The architectures of a run: built for the data, checked and counted before any of them is trained."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput, BuildError, ForwardError, ModelcmpError, own_words
from ..profiling.profile import profile_module
from ..sources import Inputs, Request, identify, resolve
from ..sources.construct import build_without_weights
from ..sources.factory import find_factory, split_spec
from ..sources.user_code import load
from ..units import shape as shape_text
from .config import ModelChoice
from .data.base import DataSet
from .models import MODELS

#: Backward computes the gradients of the inputs and of the weights, each as much work as forward
#: (Kaplan et al., Scaling Laws for Neural Language Models, 2020, section 2.1).
FORWARDS_A_STEP = 3

#: What factories call the number of classes, and the number of input channels.
_CLASSES = ("num_classes", "n_classes", "num_outputs", "outputs")
_CHANNELS = ("in_channels", "in_chans", "input_channels")


#: Shapes and types of parameters.
Weights = tuple[tuple[torch.Size, torch.dtype], ...]


@dataclass(frozen=True, slots=True)
class Entrant:
    """One architecture of a run, fitted to the data."""

    label: str
    spec: str
    build: Callable[[], nn.Module]  # initial weights follow torch's seed
    params: int
    trainable_params: int
    flops: int | None  # of one forward pass of one sample
    weights: Weights = ()  # what is trained
    kwargs: str = ""  # its own keywords: "hidden=64"


def make_entrant(choice: ModelChoice, label: str, data: DataSet) -> Entrant:
    """Fit an architecture to the data and count it, without weights or compute.

    Raises ModelcmpError where it cannot be built or does not take the data's shape.
    """
    build = builder(choice, data)
    try:
        model = _built(choice.name, lambda: build_without_weights(build))
        if choice.name not in MODELS:
            _check_own(label, model, _built(choice.name, lambda: build_without_weights(build)))
        weights = _check_output(label, model, data)
        profile = profile_module(model, Inputs((_samples(1, data),)), name=label)
    except ForwardError as error:
        shape = shape_text(data.shape)
        raise BadInput(
            f"{label} does not take the data's shape {shape} ({data.name}): {error}{_advice(choice, data, error)}"
        ) from error
    values: Mapping[str, Any] = profile.values
    kwargs = ", ".join(f"{key}={choice.kwargs[key]}" for key in sorted(choice.kwargs))
    counts = values["params"], values["trainable_params"], values["flops"]
    return Entrant(label, choice.name, build, *counts, weights, kwargs)


def builder(choice: ModelChoice, data: DataSet) -> Callable[[], nn.Module]:
    """How a model is built for the data's shape and number of classes; raises UnknownName or BadInput."""
    spec, kwargs = choice.name, choice.kwargs
    if spec in MODELS:
        entry = MODELS[spec]
        return lambda: entry.build(data.shape, data.outputs, **kwargs)
    try:
        source, _, _ = identify(spec)
    except ModelcmpError as error:
        raise BadInput(f"{error}; built-in models: {', '.join(MODELS)}") from error
    fitted = _fitted(source.name if source else None, spec, data)
    subject = resolve(spec, Request(kwargs={**fitted, **kwargs}, input_size=data.shape))
    return lambda: _built(spec, subject.build)


def _fitted(source: str | None, spec: str, data: DataSet) -> dict[str, Any]:
    """The keywords by which a model of another source learns of the data."""
    if source == "torchvision":
        return {"num_classes": data.outputs}
    if source == "timm":
        return {"num_classes": data.outputs, "in_chans": data.shape[0]}
    parts = split_spec(spec)
    assert parts is not None  # identify() has said that it is the user's own
    factory = find_factory(load(parts[0]), *parts)
    try:
        known = {} if isinstance(factory, nn.Module) else inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}
    given = {name: data.outputs for name in _CLASSES if name in known}
    return given | {name: data.shape[0] for name in _CHANNELS if name in known}


def _built(spec: str, build: Callable[[], nn.Module]) -> nn.Module:
    """Build, with the model's own error in one line and what it prints kept off our output."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return build()
    except ModelcmpError:
        raise
    except (Exception, SystemExit) as error:
        raise BuildError(f"{spec} could not be built: {own_words(error)}") from error


def _check_own(label: str, model: nn.Module, again: nn.Module) -> None:
    """Refuse parameters that two builds share: they would begin where the last training ended; raises BadInput."""
    kept = {id(p) for p in model.parameters()}
    shared = [name for name, p in again.named_parameters() if id(p) in kept]
    if shared:
        raise BadInput(
            f"{label} is not built anew each time: {shared[0]} was made when its file was imported, so that it does "
            "not follow the seed and keeps what an earlier training left; make all layers in the class or function"
        )


def _check_output(label: str, model: nn.Module, data: DataSet) -> Weights:
    """One row of logits a sample, and something to train, of which shapes; raises ForwardError or BadInput."""
    seen: list[tuple[Any, Weights]] = []

    def look(module: nn.Module, _inputs: Any, output: Any) -> None:
        seen.append((output, tuple((p.shape, p.dtype) for p in module.parameters() if p.requires_grad)))

    hook = model.register_forward_hook(look)
    try:
        profile_module(model, Inputs((_samples(2, data),)), name=label)  # says where forward fails, if it does
    finally:
        hook.remove()
    output, weights = seen[-1]  # of a lazy model that has its shapes
    found, want = tuple(logits_of(output).shape), (2, data.outputs)
    if found != want and not (data.binary and found == (2,)):
        what = "one logit" if data.outputs == 1 else f"{data.outputs} classes"
        raise BadInput(
            f"{label} gives {shape_text(found)} for two samples, where {data.name} with {what} needs "
            f"{shape_text(want)}: take num_classes as a parameter of the factory, or set it in kwargs"
        )
    if not weights:
        frozen = any(True for _ in model.parameters())
        why = "all its parameters are frozen: let some require gradients" if frozen else "it has no parameters"
        raise BadInput(f"{label} has nothing to train: {why}")
    return weights


def _samples(count: int, data: DataSet) -> Tensor:
    return torch.empty((count, *data.shape), device="meta")


def logits_of(output: Any) -> Tensor:
    """The logits in what a model returns: a tensor, ``.logits``, ``["logits"]``, ``["out"]``, the first of a tuple."""
    if isinstance(output, Tensor):
        return output
    named = output if isinstance(output, dict) else {"logits": getattr(output, "logits", None)}
    found = named.get("logits", named.get("out"))
    if found is None and isinstance(output, tuple | list) and output:
        found = output[0]
    if not isinstance(found, Tensor):
        raise BadInput(f"forward returned {type(output).__name__}, which holds no logits: return a tensor (B, classes)")
    return found


def _advice(choice: ModelChoice, data: DataSet, error: Exception) -> str:
    """What most often helps."""
    if choice.name.startswith("timm:") and "doesn't match model" in str(error):
        return f"; set its kwargs: {{img_size: {data.shape[-1]}}}, and a patch_size that goes into it"
    if len(data.shape) == 3 and data.shape[0] == 1 and data.name in ("digits", "mnist", "fashion_mnist", "mnist_5k"):
        return f"; for models of colour images set `data: {{name: {data.name}, kwargs: {{channels: 3}}}}`"
    return ""
