"""The user's own code: ``path/to/net.py:factory`` and ``package.module:factory``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, BuildError, ModelcmpError
from ..registry import suggest
from .images import sample
from .subject import Dims, Inputs, Request, Subject

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
    module = _load(place)
    factory = _find(module, place, name)

    def build() -> nn.Module:
        from torch import nn

        made = factory if isinstance(factory, nn.Module) else factory(**request.kwargs)
        if not isinstance(made, nn.Module):
            raise BuildError(f"{spec} returned {type(made).__name__}, not an nn.Module")
        return made

    def inputs(request: Request, device: str) -> Inputs:
        return _inputs(spec, module, factory, request, device)

    return Subject(spec, "file" if place.endswith(".py") else "module", build, inputs)


def _load(place: str) -> ModuleType:
    """Import the user's module; its own error is shown."""
    try:
        if not place.endswith(".py"):
            sys.path.insert(0, str(Path.cwd()))
            try:
                return importlib.import_module(place)
            finally:
                sys.path.remove(str(Path.cwd()))
        return _load_file(Path(place))
    except ModelcmpError:
        raise
    except ModuleNotFoundError as error:
        if error.name and place.startswith(error.name):
            raise BadInput(
                f"no module {place!r}: give path/to/file.py:factory or an importable package.module:factory"
            ) from error
        raise BuildError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
    except Exception as error:
        raise BuildError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BadInput(f"no file {str(path)!r}: give path/to/file.py:factory")
    name = f"_modelcmp_user_{abs(hash(path.resolve())):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)  # modules beside the file can be imported by it
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


def _find(module: ModuleType, place: str, name: str) -> Any:
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
    example = getattr(factory, "example_inputs", None) or getattr(module, "example_inputs", None)
    if request.input_size is not None:
        return Inputs((sample((request.batch_size, *_plain_size(request.input_size)), request.dtype, device),))
    if example is None:
        raise BadInput(
            f"{spec}: its input is unknown: give --input-size 3x224x224, or define example_inputs() beside it"
        )
    return as_inputs(_call_example(spec, example, request))


def _plain_size(size: Dims) -> Dims:
    """One number is a square image; more are the sample's shape as it stands."""
    return (3, *size, *size) if len(size) == 1 else size


def _call_example(spec: str, example: Callable[..., Any], request: Request) -> Any:
    if "batch_size" in inspect.signature(example).parameters:
        return example(batch_size=request.batch_size)
    if request.batch_size != 1:
        raise BadInput(f"{spec}: example_inputs() takes no batch_size: add that parameter to use --batch-size")
    return example()


def as_inputs(given: Any) -> Inputs:
    """Positional (a tensor, a tuple or list) or keyword (a dict) inputs of forward."""
    if isinstance(given, Inputs):
        return given
    if isinstance(given, dict):
        return Inputs((), given)
    if isinstance(given, list | tuple):
        return Inputs(tuple(given))
    return Inputs((given,))
