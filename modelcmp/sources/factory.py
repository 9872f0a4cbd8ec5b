"""The user's own code: ``path/to/net.py:factory`` and ``package.module:factory``."""

from __future__ import annotations

import inspect
import sys
from contextlib import nullcontext
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, BuildError
from ..registry import suggest
from .feeding import fitted
from .images import sample, torch_dtype
from .subject import Dims, Inputs, Request, Subject
from .torchvision import without_download
from .user_code import load

if TYPE_CHECKING:
    from torch import nn


def split_spec(spec: str) -> tuple[str, str] | None:
    """Module and factory of a spec, None when it does not look like one.

    >>> split_spec("my_net.py:build"), split_spec("pkg.mod:Net"), split_spec("resnet18")
    (('my_net.py', 'build'), ('pkg.mod', 'Net'), None)
    """
    place, colon, name = spec.rpartition(":")
    if colon and place:
        return place, name
    return (spec, "") if spec.endswith(".py") else None


def factory_subject(spec: str, place: str, name: str, request: Request) -> Subject:
    """The subject of a user's factory (a class, function or ready module)."""
    module = load(place)
    factory = find_factory(module, place, name)

    def build() -> nn.Module:
        from torch import nn

        with without_download() if "torchvision.models" in sys.modules else nullcontext():
            made = factory if isinstance(factory, nn.Module) else factory(**request.kwargs)
        if not isinstance(made, nn.Module):
            raise BuildError(f"{spec} returned {type(made).__name__}, not an nn.Module")
        return made

    def inputs(request: Request, device: str) -> Inputs:
        return _inputs(spec, module, factory, request, device)

    return Subject(spec, "file" if place.endswith(".py") else "module", build, inputs)


def find_factory(module: ModuleType, place: str, name: str) -> Any:
    """A class, function or ready module of a file; raises BadInput."""
    candidates = _candidates(module)
    if not name:
        if len(candidates) == 1:
            return getattr(module, candidates[0])
        raise BadInput(
            f"{place} holds several factories: write {place}:NAME with one of {', '.join(candidates) or '(none)'}"
        )
    if not hasattr(module, name):
        raise BadInput(f"{place} has no {name!r}: {suggest(name, candidates)}")
    found = getattr(module, name)
    if not callable(found):
        raise BadInput(f"{place}:{name} is a {type(found).__name__}, not a class, function or nn.Module")
    return found


def _candidates(module: ModuleType) -> list[str]:
    """Public functions and module classes that the file itself defines."""
    from torch import nn

    def ours(thing: Any) -> bool:
        return getattr(thing, "__module__", None) == module.__name__ and (
            inspect.isfunction(thing) or (inspect.isclass(thing) and issubclass(thing, nn.Module))
        )

    return [n for n, thing in vars(module).items() if ours(thing) and not n.startswith("_") and n != "example_inputs"]


def _inputs(spec: str, module: ModuleType, factory: Any, request: Request, device: str) -> Inputs:
    example = _example_of(factory, module)
    if request.input_size is not None:
        return Inputs((sample((request.batch_size, *_plain_size(request.input_size)), request.dtype, device),))
    if example is None:
        raise BadInput(
            f"{spec}: its input is unknown: give --input-size 3x224x224, or define example_inputs() beside it"
        )
    given = as_inputs(_call_example(spec, example, request))
    return fitted(given, device, torch_dtype(request.dtype) if request.dtype != "fp32" else None)


def _example_of(factory: Any, module: ModuleType) -> Any:
    """``example_inputs`` of the factory (not a method, which would need a model), else of its file."""
    own = inspect.getattr_static(factory, "example_inputs", None)
    if own is not None and not (inspect.isclass(factory) and inspect.isfunction(own)):
        return factory.example_inputs
    return getattr(module, "example_inputs", None)


def _plain_size(size: Dims) -> Dims:
    """One number is a square image; more are the sample's shape as it stands."""
    return (3, *size, *size) if len(size) == 1 else size


def _call_example(spec: str, example: Any, request: Request) -> Any:
    """What the user offers as inputs: a function's result, or the value itself."""
    if not callable(example):
        return example
    takes_batch = "batch_size" in inspect.signature(example).parameters
    if request.batch_size != 1 and not takes_batch:
        raise BadInput(f"{spec}: example_inputs() takes no batch_size: add that parameter to use --batch-size")
    try:
        return example(batch_size=request.batch_size) if takes_batch else example()
    except (Exception, SystemExit) as error:
        raise BuildError(f"{spec}: example_inputs() raised {type(error).__name__}: {error}") from error


def as_inputs(given: Any) -> Inputs:
    """Positional (a tensor, a tuple or list) or keyword (a dict) inputs of forward."""
    if isinstance(given, Inputs):
        return given
    if isinstance(given, dict):
        return Inputs((), given)
    if isinstance(given, list | tuple) and not hasattr(given, "_fields"):
        return Inputs(tuple(given))
    return Inputs((given,))
