"""YAML as plain data, with the line of every value, for errors that say where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from ..errors import BadInput

Place = Sequence[str | int]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """The safe loader, with YAML 1.2's numbers: ``1e-3`` is a number and not text."""


_Loader.yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML text as data; ``lines`` holds the line of each key and item by its path."""

    data: Any
    lines: dict[tuple[str | int, ...], int]
    name: str

    def where(self, place: Place) -> str:
        """``file.yaml:7`` of a value, or of the closest thing around it that the text holds.

        >>> parse("a: 1\\nb:\\n  c: 2\\n", "x.yaml").where(("b", "c", "d"))
        'x.yaml:3'
        """
        line = self.line(place)
        return self.name if line is None else f"{self.name}:{line}"

    def without(self, keys: Iterable[str]) -> Document:
        """The same without the lines of some keys, whose values come from elsewhere."""
        gone = set(keys)
        return replace(self, lines={path: line for path, line in self.lines.items() if path[0] not in gone})

    def line(self, place: Place) -> int | None:
        """The line of a value, or of the closest thing around it; None where the text holds neither."""
        path = tuple(place)
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def parse(text: str, name: str) -> Document:
    """Read a YAML text safely; raises BadInput with the line, also for a key given twice.

    >>> parse("lr: 1e-3", "x.yaml").data
    {'lr': 0.001}
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        lines: dict[tuple[str | int, ...], int] = {}
        _note_lines(node, (), lines, name)
        loader = _Loader(text)
        try:
            data = loader.get_single_data()
        finally:
            loader.dispose()
        return Document(data, lines, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise BadInput(f"{name}{line}: this is not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{name}: this is not YAML: {error or 'nested too deeply'}") from error


def scalar(text: str) -> Any:
    """A value as YAML reads it: a number, text, a list, a mapping; raises BadInput.

    >>> scalar("1e-3"), scalar("adam"), scalar("[cnn, mlp]"), scalar("{name: sgd, lr: 0.1}")
    (0.001, 'adam', ['cnn', 'mlp'], {'name': 'sgd', 'lr': 0.1})
    """
    return parse(text, "value").data


def _note_lines(
    node: yaml.Node | None, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int], name: str
) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            if inner in lines:
                raise BadInput(f"{name}:{key.start_mark.line + 1}: the key {key.value!r} is given twice")
            lines[inner] = key.start_mark.line + 1
            _note_lines(value, inner, lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[*path, position] = item.start_mark.line + 1
            _note_lines(item, (*path, position), lines, name)
