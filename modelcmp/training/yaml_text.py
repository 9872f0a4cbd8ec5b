"""YAML as plain data, with the line of every value, for errors that say where."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from ..errors import BadInput

Place = Sequence[str | int]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """The safe loader, with YAML 1.2's numbers: ``1e-3`` is a number and not text."""


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes what that loader would take for a number, and writes a value that is met twice out again."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never ``*id001``."""
        return True


for _made, _from in ((_Loader, yaml.SafeLoader), (_Dumper, yaml.SafeDumper)):
    _made.yaml_implicit_resolvers = {k: list(v) for k, v in _from.yaml_implicit_resolvers.items()}
    _made.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
    )


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML text as data; ``lines`` holds the line of each key and item by its path.

    ``said`` holds what was given instead by an option, as it was typed (``--lr``), by its path.
    """

    data: Any
    lines: dict[tuple[str | int, ...], int]
    name: str
    said: Mapping[tuple[str | int, ...], str] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """``file.yaml:7`` of a value, or of the closest thing around it that the text holds, or its option.

        >>> parse("a: 1\\nb:\\n  c: 2\\n", "x.yaml").where(("b", "c", "d"))
        'x.yaml:3'
        """
        return self.found(place) or self.name

    def found(self, place: Place) -> str | None:
        """The same; None where neither the text nor an option holds it."""
        path = tuple(place)
        while path:
            if path in self.said:
                return self.said[path]
            if path in self.lines:
                return f"{self.name}:{self.lines[path]}"
            path = path[:-1]
        return None

    def over(self, said: Mapping[tuple[str | int, ...], str]) -> Document:
        """The same with options over it: the lines of what they replace are gone."""
        kept = {p: n for p, n in self.lines.items() if not any(p[: len(path)] == path for path in said)}
        return replace(self, lines=kept, said={**self.said, **said})

    def renamed(self, old: str, new: str) -> Document:
        """The same with another name for a key at the top."""
        data = {new if key == old else key: value for key, value in self.data.items()}
        return replace(
            self, data=data, lines={(new if p[0] == old else p[0], *p[1:]): n for p, n in self.lines.items()}
        )


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


def dump(data: Any) -> str:
    """Plain data as YAML that :func:`parse` reads back.

    >>> dump({"lr": 1e-05, "name": "1e5", "tags": ["a"]})
    "lr: 1.0e-05\\nname: '1e5'\\ntags:\\n- a\\n"
    """
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def dump_line(data: Any) -> str:
    """The same on one line.

    >>> dump_line({"name": "sgd", "betas": [0.9, 0.99]}), dump_line("adam"), dump_line(None)
    ('{name: sgd, betas: [0.9, 0.99]}', 'adam', 'null')
    """
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=True, width=float("inf")
    )
    return text.removesuffix("...\n").strip()


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
