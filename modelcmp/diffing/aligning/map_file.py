"""Map files: which tensor of A is which of B, to be read and edited by people.

::

    automatic: true          # align the rest by itself (the default); files that we write say false
    tensors:                 # exact names
      - {a: conv1.weight, b: stem.conv.weight}
      - {a: fc.weight, b: head.kernel, transpose: true}
      - {a: q.weight, b: qkv.weight, rows: "0:64"}        # A's tensor is rows 0 to 63 of B's
      - {a: qkv.weight, b: q.weight, rows_a: "0:64"}      # rows 0 to 63 of A's tensor are B's
    rename:                  # regular expressions over names of A, one after the other, as re.sub does
      - {from: 'layers\\.(\\d+)', to: 'blocks.\\1'}
    ignore: ['num_batches_tracked$']                      # names of A or B to leave out, as re.search does
    ambiguous:               # still open: names of A with what they may be; ignored once `tensors` has them
      x.weight: [y1.weight, y2.weight]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ...errors import BadInput
from ...registry import suggest
from ...training.yaml_text import Document, parse
from ..records import Alignment, Match
from .patterns import compiled, substituted
from .transforms import Transform, parse_transform

_TOP = ("automatic", "tensors", "rename", "ignore", "ambiguous")
_FLAGS = ("transpose", "reshape")
_ROWS = ("rows", "rows_a")
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_AS_IT_IS = Transform()
_LARGEST = 50_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Pair:
    """A name of A and its name in B, as the map says; ``where`` is its file and line."""

    name: str
    name_b: str
    transform: Transform = _AS_IT_IS
    where: str = "map"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rename by regular expression."""

    pattern: re.Pattern[str]
    to: str
    transform: Transform = _AS_IT_IS
    where: str = "map"


@dataclass(frozen=True, slots=True)
class NameMap:
    """What a map file says."""

    pairs: tuple[Pair, ...] = ()
    rules: tuple[Rule, ...] = ()
    ignore: tuple[tuple[re.Pattern[str], str], ...] = ()  # with file and line
    open: Mapping[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)  # the same
    automatic: bool = True

    @classmethod
    def of(cls, names: Mapping[str, str]) -> NameMap:
        """A map of plain names; the rest is aligned automatically."""
        return cls(tuple(Pair(name, other) for name, other in names.items()))


def read_map(path: str | Path) -> NameMap:
    """Read a map file; raises BadInput with file and line for anything in it that is not understood."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LARGEST + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise BadInput(f"the map {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"the map {path} is no text in UTF-8: {error.reason} at byte {error.start}") from error
    if len(data) > _LARGEST:
        raise BadInput(f"the map {path} is larger than {_LARGEST / 1e6:.0f} MB: this is no map file")
    return _read(parse(text, str(path)))


def _read(document: Document) -> NameMap:
    top = {} if document.data is None else _mapping(document, (), document.data, _TOP)
    automatic = top.get("automatic", True)
    if not isinstance(automatic, bool):
        raise BadInput(f"{document.where(('automatic',))}: automatic is true or false, not {automatic!r}")
    return NameMap(
        pairs=tuple(_pairs(document, top.get("tensors"))),
        rules=tuple(_rule(document, i, item) for i, item in enumerate(_list(document, "rename", top.get("rename")))),
        ignore=tuple(
            _ignored(document, i, item) for i, item in enumerate(_list(document, "ignore", top.get("ignore")))
        ),
        open=_open(document, top.get("ambiguous")),
        automatic=automatic,
    )


def _pairs(document: Document, value: Any) -> list[Pair]:
    if isinstance(value, dict):
        return [
            Pair(_name(document, ("tensors", str(a)), a), _name(document, ("tensors", str(a)), b), Transform(),
                 document.where(("tensors", str(a))))
            for a, b in value.items()
        ]  # fmt: skip
    return [_pair(document, ("tensors", i), item) for i, item in enumerate(_list(document, "tensors", value))]


def _pair(document: Document, place: tuple[str | int, ...], value: Any) -> Pair:
    item = _mapping(document, place, value, ("a", "b", *_FLAGS, *_ROWS), needed=("a", "b"))
    names = [_name(document, (*place, key), item[key]) for key in ("a", "b")]
    return Pair(names[0], names[1], _transform(document, place, item), document.where(place))


def _rule(document: Document, number: int, value: Any) -> Rule:
    place = ("rename", number)
    item = _mapping(document, place, value, ("from", "to", *_FLAGS, *_ROWS), needed=("from", "to"))
    where = document.where(place)
    pattern = compiled(_pattern(document, (*place, "from"), item["from"]), f"{where}: the pattern")
    to = item["to"]
    if not isinstance(to, str):
        raise BadInput(f"{where}: {to!r} is no text: put it in quotes")
    try:
        substituted(pattern, to, [])
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    return Rule(pattern, to, _transform(document, place, item), where)


def _ignored(document: Document, number: int, value: Any) -> tuple[re.Pattern[str], str]:
    where = document.where(("ignore", number))
    return compiled(_pattern(document, ("ignore", number), value), f"{where}: the pattern"), where


def _open(document: Document, value: Any) -> dict[str, tuple[tuple[str, ...], str]]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadInput(f"{document.where(('ambiguous',))}: ambiguous holds names of A, each with a list of names of B")
    found = {}
    for name, others in value.items():
        place = ("ambiguous", str(name))
        listed = [_name(document, place, other) for other in _list(document, str(name), others, place)]
        found[_name(document, place, name)] = (tuple(listed), document.where(place))
    return found


def _transform(document: Document, place: Sequence[str | int], item: Mapping[str, Any]) -> Transform:
    parts = []
    for key in _FLAGS:
        if not isinstance(item.get(key, False), bool):
            raise BadInput(f"{document.where((*place, key))}: {key} is true or false, not {item[key]!r}")
        parts += [key] if item.get(key) else []
    for key, words in (("rows", "rows"), ("rows_a", "rows of A")):
        value = item.get(key)
        if value is not None and not isinstance(value, str):
            raise BadInput(f'{document.where((*place, key))}: {key} is text such as "0:64", in quotes, not {value!r}')
        parts += [f"{words} {value}"] if value is not None else []
    try:
        return parse_transform(", ".join(parts))
    except BadInput as error:
        raise BadInput(f"{document.where(place)}: {error}") from error


def _mapping(
    document: Document, place: Sequence[str | int], value: Any, known: Sequence[str], needed: Sequence[str] = ()
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{document.where(place)}: here belong keys with values ({', '.join(known)}), not {value!r:.60}")
    for key in value:
        if key not in known:
            raise BadInput(f"{document.where((*place, str(key)))}: unknown key {key!r}: {suggest(str(key), known)}")
    for key in needed:
        if key not in value:
            raise BadInput(f"{document.where(place)}: {key!r} is missing")
    return value


def _list(document: Document, key: str, value: Any, place: Sequence[str | int] = ()) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadInput(f"{document.where(place or (key,))}: {key} is a list, not {value!r:.60}")
    return value


def _name(document: Document, place: Sequence[str | int], value: Any) -> str:
    if not isinstance(value, str):
        raise BadInput(f"{document.where(place)}: {value!r} is no name: put names in quotes")
    return value


def _pattern(document: Document, place: Sequence[str | int], value: Any) -> str:
    if value == "":
        raise BadInput(f"{document.where(place)}: the pattern is empty: it would match every name")
    return _name(document, place, value)


def map_text(alignment: Alignment) -> str:
    """An alignment as an editable map file; reading it gives the same pairs."""
    lines = [
        "# Which tensor of A is which of B: edit it, then give it with --map.",
        "# Each pair says how sure it is and how it was found. `automatic: true` would align what is not listed.",
        "automatic: false",
        "tensors:" if alignment.matches else "tensors: []",
        *(f"  - {{{_pair_text(match)}}}  # {match.confidence:g} {_comment(match.how)}" for match in alignment.matches),
        *_ambiguous_lines(alignment),
        *_only_lines("A", alignment.only_a),
        *_only_lines("B", alignment.only_b),
    ]
    return "\n".join(lines) + "\n"


def _ambiguous_lines(alignment: Alignment) -> list[str]:
    if not alignment.ambiguous:
        return []
    choices = [f"#  - {{a: {_text(a)}, b: {_text(b)}}}" for a, others in alignment.ambiguous for b in others]
    listed = [f"  {_text(a)}: [{', '.join(map(_text, others))}]" for a, others in alignment.ambiguous]
    return [
        "# Ambiguous: remove the '#' of one line for each name of A, if one of them is right.", *choices,
        "# The same as data, so that nothing is forgotten; what is chosen above no longer counts here.",
        "ambiguous:", *listed,
    ]  # fmt: skip


def _only_lines(side: str, names: Sequence[str]) -> list[str]:
    return [f"# Only in {side}:", *(f"#  {_text(name)}" for name in names)] if names else []


def _pair_text(match: Match) -> str:
    transform = parse_transform(match.transform)
    parts = [f"a: {_text(match.name)}", f"b: {_text(match.name_b)}"]
    parts += [f"{key}: true" for key in _FLAGS if getattr(transform, key)]
    parts += [f'rows: "{transform.rows_b.start}:{transform.rows_b.stop}"'] if transform.rows_b else []
    parts += [f'rows_a: "{transform.rows_a.start}:{transform.rows_a.stop}"'] if transform.rows_a else []
    return ", ".join(parts)


def _comment(words: str) -> str:
    return words if words.isprintable() else repr(words)


def _text(name: str) -> str:
    """A name as YAML, in quotes where it needs them; always on one line."""
    if _PLAIN.fullmatch(name) and name.lower() not in _WORDS:
        return name
    return str(yaml.safe_dump(name, default_style='"', width=1 << 30, allow_unicode=False)).strip()
