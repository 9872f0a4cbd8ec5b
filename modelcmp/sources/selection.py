"""Model arguments that mean many models: globs, folders, ``@names.txt`` and ``-``."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import BadInput, UnknownName
from . import SOURCES, find_names, identify
from .folder import factories

_WILD = "*?["


def expand(arguments: Iterable[str], read_input: Callable[[], str] | None = None) -> list[str]:
    """The specs that arguments stand for, each once, in order.

    ``timm:vit_*`` and ``torchvision:*`` are globs over a source, ``nets/`` and ``nets/*.py`` the user's own
    files, ``@names.txt`` and ``-`` (``read_input``) lists with one argument a line and ``#`` comments.
    Raises UnknownName for a glob or name that nothing matches, BadInput for a list that can't be read.
    """
    found: dict[str, None] = {}
    for argument in arguments:
        for one in _lines(argument, read_input):
            found.update(dict.fromkeys(_specs(one)))
    return list(found)


def _lines(argument: str, read_input: Callable[[], str] | None) -> Iterator[str]:
    """The argument itself, or the arguments of the list that it names."""
    if argument != "-" and not argument.startswith("@"):
        yield argument
        return
    origin = "standard input" if argument == "-" else argument[1:]
    lines = [line.partition("#")[0].strip() for line in _text(argument, read_input).splitlines()]
    if not any(lines):
        raise BadInput(f"{origin} names no model: it wants one a line")
    for number, line in enumerate(lines, 1):
        if line == "-" or line.startswith("@"):
            raise BadInput(f"{origin}, line {number}: a list cannot name another list ({line})")
        if line:
            try:
                list(_specs(line))
            except UnknownName as error:
                raise UnknownName(error.kind, error.name, f"{error.hint} ({origin}, line {number})") from error
            yield line


def _text(argument: str, read_input: Callable[[], str] | None) -> str:
    if argument == "-" and read_input is None:
        raise BadInput("'-' is standard input, for the command line only: give the names themselves")
    try:
        return read_input() if argument == "-" and read_input else Path(argument[1:]).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"cannot read the list {argument[1:]}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{argument[1:] or 'standard input'} is not a text file: it wants one model a line") from error


def _specs(argument: str) -> Iterator[str]:
    """The specs of one argument."""
    place, _, wanted = argument.rpartition(":") if ".py:" in argument else (argument, "", "*")
    if _is_folder(argument):
        yield from _of_files(sorted(Path(argument).glob("*.py")), "*", argument)
    elif place.endswith(".py") and Path(place).is_file() and not any(c in _WILD for c in argument.removeprefix(place)):
        yield argument
    elif place.endswith(".py") and any(c in _WILD for c in argument):
        places = [place] if Path(place).is_file() else sorted(glob.glob(place, recursive=True))
        yield from _of_files([Path(p) for p in places], wanted, argument)
    elif any(c in _WILD for c in argument):
        yield from _of_sources(argument)
    else:
        identify(argument)
        yield argument


def _is_folder(argument: str) -> bool:
    return Path(argument).is_dir() and (argument.endswith("/") or not any(s.has(argument) for s in SOURCES.values()))


def _of_sources(pattern: str) -> Iterator[str]:
    first = next(iter(SOURCES))
    found = find_names(pattern)
    if not found:
        stem = pattern.strip("*?").partition(":")[2] or pattern.strip("*?")
        raise UnknownName("model", pattern, f"no name matches; `compare-models list {stem}` shows what there is")
    for source, name in found:
        yield name if source == first else f"{source}:{name}"


def _of_files(paths: list[Path], wanted: str, argument: str) -> Iterator[str]:
    found: list[str] = []
    for path in paths:
        if not path.name.startswith(("_", "test_")):
            names = factories(path)  # of a file that cannot be read the error is shown, as of any model that fails
            if names is None and wanted == "*":
                found.append(str(path))
            found += [f"{path}:{n}" for n in names or () if fnmatchcase(n, wanted)]
    if not found:
        raise BadInput(
            f"{argument} holds no model: it wants .py files with nn.Module classes, or functions that return "
            "one, that need no arguments"
        )
    yield from found
