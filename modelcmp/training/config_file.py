"""From a YAML file or a recipe, and what the command line says over it, to a checked :class:`Config`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from ..errors import BadInput, UnknownName
from ..registry import suggest
from .config import Config, check_labels
from .yaml_text import Document, parse, scalar

#: Older names of keys.
_ALIASES = {"batch_comparison_interval": "dump_interval"}
_EMPTY = Document({}, {}, "the command line")


def recipes() -> dict[str, str]:
    """The packaged recipes: YAML text by name."""
    folder = files(__package__).joinpath("recipes")
    found = {p.name.removesuffix(".yaml"): p for p in folder.iterdir() if p.name.endswith(".yaml")}
    return {name: found[name].read_text("utf-8") for name in sorted(found)}


def recipe_text(name: str) -> str:
    """The YAML of a recipe; raises UnknownName."""
    known = recipes()
    if name not in known:
        raise UnknownName("recipe", name, suggest(name, known))
    return known[name]


def read_document(path: Path) -> Document:
    """The YAML of a file; raises BadInput."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f"no file {str(path)!r}: `compare-models recipes` lists what can be started from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse(text, str(path))


def open_document(path: Path | None = None, recipe: str | None = None) -> Document:
    """The YAML of a file or a recipe, or an empty one; raises BadInput or UnknownName."""
    if path is not None:
        return read_document(path)
    return _EMPTY if recipe is None else parse(recipe_text(recipe), f"recipe {recipe}")


def load_config(
    path: Path | None = None, recipe: str | None = None, overrides: Sequence[str] = (), given: Mapping[str, Any] = {}
) -> Config:
    """The config of a file or a recipe with ``key=value`` overrides and then ``given`` keys over it.

    Raises BadInput, with the line and the nearest key for each thing that is wrong.
    """
    return read_config(open_document(path, recipe), overrides, given)


def read_config(document: Document, overrides: Sequence[str] = (), given: Mapping[str, Any] = {}) -> Config:
    """The same, of a document that is read already."""
    data = _as_mapping(document)
    said: set[str] = set()
    for key, value in [*map(_split, overrides), *given.items()]:
        said.add(_put(data, key, value))
    return make_config(data, document, frozenset(said))


def make_config(data: Mapping[str, Any], document: Document = _EMPTY, said: frozenset[str] = frozenset()) -> Config:
    """Check plain data; ``said`` are the keys that the command line gave, which no line of the file holds."""
    try:
        config = Config.model_validate(_with_rate(dict(data), document))
    except ValidationError as error:
        raise BadInput("; ".join(_in_words(e, document, said) for e in error.errors())) from error
    check_labels(config)
    return config


def as_yaml(config: Config) -> str:
    """The config as YAML that can be read back, without what was left at its default."""
    text: str = yaml.safe_dump(as_data(config), sort_keys=False, allow_unicode=True)
    return text


def as_data(config: Config) -> dict[str, Any]:
    """The config as plain data, without what was left at its default."""
    return config.model_dump(mode="json", exclude_unset=True)


def _as_mapping(document: Document) -> dict[str, Any]:
    if document.data is None:
        return {}
    if not isinstance(document.data, dict):
        raise BadInput(f"{document.name}: a config is made of `key: value` lines, such as `models: [cnn, resnet]`")
    data = {str(key): value for key, value in document.data.items()}
    for old, new in _ALIASES.items():
        if old in data:
            if new in data:
                raise BadInput(f"{document.where((old,))}: {old!r} is the older name of {new!r}: give one of them")
            data[new] = data.pop(old)
    return data


def _split(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise BadInput(f"--set {override}: write key=value, such as lr=0.01 or optimizer.momentum=0.9")
    try:
        return key.strip(), scalar(text)
    except BadInput as error:
        raise BadInput(f"--set {override}: {str(error).partition(': ')[2]}") from error


def _put(data: dict[str, Any], key: str, value: Any) -> str:
    """Set ``a.b.0.c`` in nested data; short forms on the way become long ones. The first part of the key."""
    parts = key.split(".")
    parts[0] = _ALIASES.get(parts[0], parts[0])
    if parts == ["lr"] or parts == ["optimizer", "lr"]:  # both say the same: the later one holds
        data.pop("lr", None)
        parts = ["optimizer", "lr"]
        data.setdefault("optimizer", _standard("optimizer"))
    place: Any = data
    for position, part in enumerate(parts[:-1]):
        inner = _entry(place, part, key)
        if not isinstance(inner, dict | list):
            inner = {"name": inner} if inner is not None else {} if position else _standard(part)
            inner = inner if position or part not in _LISTS else [inner]
            _assign(place, part, inner, key)
        place = inner
    _assign(place, parts[-1], value, key)
    return parts[0]


_LISTS = frozenset(name for name, f in Config.model_fields.items() if get_origin(f.annotation) is list)


def _standard(key: str) -> dict[str, Any]:
    """What a section that the file leaves out starts from: the name that it has by default."""
    field = Config.model_fields.get(key)
    name = getattr(field.default, "name", None) if field else None
    return {} if name is None else {"name": name}


def _entry(place: Any, part: str, key: str) -> Any:
    if isinstance(place, dict):
        return place.get(part)
    if not part.isdigit() or int(part) >= len(place):
        raise BadInput(f"--set {key}: {part!r} is no position in a list of {len(place)}; the first is 0")
    return place[int(part)]


def _assign(place: Any, part: str, value: Any, key: str) -> None:
    if isinstance(place, list):
        _entry(place, part, key)
        place[int(part)] = value
    else:
        place[part] = value


def _with_rate(data: dict[str, Any], document: Document) -> dict[str, Any]:
    """``lr`` at the top moved to the optimizer."""
    rate = data.pop("lr", None)
    if rate is None:
        return data
    chosen = data.get("optimizer", _standard("optimizer"))
    chosen = {"name": chosen} if isinstance(chosen, str) else chosen
    if isinstance(chosen, dict):
        if chosen.get("lr") not in (None, rate):
            raise BadInput(
                f"{document.where(('lr',))}: lr is {rate} here and {chosen['lr']} in the optimizer: give one"
            )
        data["optimizer"] = {**chosen, "lr": rate}
    return data


def _in_words(error: Any, document: Document, said: frozenset[str]) -> str:
    """One of pydantic's findings as a sentence with its place."""
    path = tuple(part for part in error["loc"] if not (isinstance(part, str) and "[" in part))
    where = f"--set {'.'.join(map(str, path))}" if path and path[0] in said else document.where(path)
    key = ".".join(map(str, path))
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key {path[-1]!r}: {suggest(str(path[-1]), _keys_at(path[:-1]))}"
    if error["type"] == "missing":
        return f"{where}: {key!r} is missing{_EXAMPLES.get(key, '')}"
    message = str(error["msg"]).removeprefix("Value error, ")
    given = "" if isinstance(error["input"], dict | list) else f", not {error['input']!r}"
    return f"{where}: {key}: {message[:1].lower()}{message[1:]}{given}"


_EXAMPLES = {"models": ": name at least one, such as `models: [cnn, resnet]` or --model cnn"}


def _keys_at(path: Sequence[str | int]) -> list[str]:
    """The keys that may stand at a place of the config."""
    model: type[BaseModel] = Config
    for part in path:
        field = model.model_fields.get(str(part)) if isinstance(part, str) else None
        model = (_model_in(field.annotation) if field else None) or model
    return [*model.model_fields, *(_ALIASES if model is Config else ())]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a type holds, also inside a list or beside None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType):
        return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)
    return None
