"""From a YAML file or a recipe, and what the command line says over it, to a checked :class:`Config`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..errors import BadInput, UnknownName
from ..registry import suggest
from .config import ALIASES, Config, DataChoice, ModelChoice
from .yaml_text import Document, dump, parse, scalar

_EMPTY = Document({}, {}, "the command line")
#: Options that are not called as their key.
_OPTIONS = {"models": "--model", "workspace": "--out-dir"}


def recipes() -> dict[str, str]:
    """The packaged recipes of trainings: YAML text by name."""
    return _packaged("training/recipes")


def sweep_recipes() -> dict[str, str]:
    """Those of sweeps."""
    return _packaged("sweeps/recipes")


def recipe_text(name: str) -> str:
    """The YAML of a recipe, of a training or a sweep; raises UnknownName."""
    known = recipes() | sweep_recipes()
    if name not in known:
        raise UnknownName("recipe", name, suggest(name, known))
    return known[name]


def _packaged(place: str) -> dict[str, str]:
    folder = files("modelcmp").joinpath(place)
    found = {p.name.removesuffix(".yaml"): p for p in folder.iterdir() if p.name.endswith(".yaml")}
    return {name: found[name].read_text("utf-8") for name in sorted(found)}


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
    """The YAML of a file or a recipe, or an empty one, with today's names of keys; raises BadInput or UnknownName."""
    if path is not None:
        return _renamed(read_document(path))
    return _EMPTY if recipe is None else _renamed(parse(recipe_text(recipe), f"recipe {recipe}"))


def _renamed(document: Document) -> Document:
    for old, new in ALIASES.items() if isinstance(document.data, dict) else ():
        if old in document.data:
            if new in document.data:
                raise BadInput(f"{document.where((old,))}: {old!r} is the older name of {new!r}: give one of them")
            document = document.renamed(old, new)
    return document


def load_config(
    path: Path | None = None, recipe: str | None = None, overrides: Sequence[str] = (), given: Mapping[str, Any] = {}
) -> Config:
    """The config of a file or a recipe with ``given`` keys and then ``key=value`` overrides over it.

    Raises BadInput, with the line and the nearest key for each thing that is wrong.
    """
    return read_config(open_document(path, recipe), overrides, given)


def read_config(document: Document, overrides: Sequence[str] = (), given: Mapping[str, Any] = {}) -> Config:
    """The same, of a document that is open already."""
    data = as_mapping(document)
    for saying in sayings(overrides, given):
        put(data, saying)
    return make_config(data, said_over(document, overrides, given))


def said_over(document: Document, overrides: Sequence[str] = (), given: Mapping[str, Any] = {}) -> Document:
    """The document as errors quote it: what an option replaced is quoted as that option; raises BadInput."""
    return document.over({s.place: s.option for s in sayings(overrides, given)})


def make_config(data: Mapping[str, Any], document: Document | None = None, beside: Collection[str] = ()) -> Config:
    """Check plain data, which came from a document if one is given; raises BadInput.

    ``beside`` are keys that the document may have beside those of the config, and that are not in ``data``.
    """
    if not isinstance(data, Mapping):
        example = "{'models': ['cnn', 'resnet']}"
        raise BadInput(f"a config is a mapping of keys to values, such as {example}, not {type(data).__name__}")
    document = document or Document(data, {}, "")  # nothing stands on a line
    if "space" in data:
        where = document.where(("space",))
        search = "'space' describes a search: `compare-models sweep --config FILE` runs it"
        raise BadInput(f"{where}: {search}" if where else search)
    try:
        return Config.model_validate(dict(data))
    except ValidationError as error:
        raise BadInput("; ".join(_in_words(e, document, beside) for e in error.errors())) from error


def as_yaml(config: Config) -> str:
    """The config as YAML that can be read back, without what was left at its default."""
    return dump(as_data(config))


def as_data(config: Config) -> dict[str, Any]:
    """The config as plain data, without what was left at its default."""
    return config.model_dump(mode="json", exclude_unset=True)


def as_mapping(document: Document) -> dict[str, Any]:
    """The keys at the top of a document; raises BadInput where it has none."""
    if document.data is None:
        return {}
    if not isinstance(document.data, dict):
        raise BadInput(f"{document.name}: a config is made of `key: value` lines, such as `models: [cnn, resnet]`")
    return {str(key): value for key, value in document.data.items()}


@dataclass(frozen=True, slots=True)
class Saying:
    """A key that was given beside the file."""

    path: tuple[str, ...]
    value: Any
    option: str  # as it was typed

    @property
    def place(self) -> tuple[str | int, ...]:
        """Where that is in the document."""
        return tuple(int(part) if part.isdigit() else part for part in self.path)


def sayings(overrides: Sequence[str], given: Mapping[str, Any]) -> list[Saying]:
    """Whole sections before what is inside them, so that neither is lost; options before --set; raises BadInput."""
    typed = [Saying(_path(key), value, _OPTIONS.get(key, f"--{key.replace('_', '-')}")) for key, value in given.items()]
    found = [*typed, *map(_split, overrides)]
    if "lr" in given and any(s.path == ("optimizer",) and isinstance(s.value, dict) and "lr" in s.value for s in found):
        raise BadInput("--lr and --set optimizer both give the learning rate: give one")
    return sorted(found, key=lambda saying: len(saying.path))


def _path(key: str) -> tuple[str, ...]:
    first, *rest = key.split(".")
    path = (ALIASES.get(first, first), *rest)
    return ("optimizer", "lr") if path == ("lr",) else path


def saying(key: str, value: Any, option: str) -> Saying:
    """A value for a key, by its path in the config as --set takes it: ``optimizer.momentum``."""
    return Saying(_path(key), value, option)


def _split(override: str) -> Saying:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise BadInput(f"--set {override}: write key=value, such as lr=0.01 or optimizer.momentum=0.9")
    try:
        return saying(key, scalar(text), f"--set {key}")
    except BadInput as error:
        raise BadInput(f"--set {override}: {str(error).partition(': ')[2]}") from error


def put(data: dict[str, Any], saying: Saying) -> None:
    """Set ``a.b.0.c`` in nested data; short forms on the way become long ones; raises BadInput."""
    parts, value = saying.path, saying.value
    if parts == ("optimizer", "lr") or (parts == ("optimizer",) and isinstance(value, dict) and "lr" in value):
        data.pop("lr", None)  # both say the same: the later one holds
    place: Any = data
    for position, part in enumerate(parts[:-1]):
        inner = _entry(place, part, saying.option)
        if not isinstance(inner, dict | list):
            inner = {"name": inner} if inner is not None else {} if position else _standard(part)
            inner = inner if position or part not in _LISTS else [inner]
            _assign(place, part, inner, saying.option)
        place = inner
    _assign(place, parts[-1], value, saying.option)


_LISTS = frozenset(name for name, f in Config.model_fields.items() if get_origin(f.annotation) is list)


def _standard(key: str) -> dict[str, Any]:
    """What a section that the file leaves out starts from: the name that it has by default."""
    field = Config.model_fields.get(key)
    name = getattr(field.default, "name", None) if field else None
    return {} if name is None else {"name": name}


def _entry(place: Any, part: str, option: str) -> Any:
    if isinstance(place, dict):
        return place.get(part)
    if not part.isdigit() or int(part) >= len(place):
        raise BadInput(f"{option}: {part!r} is no position in a list of {len(place)}; the first is 0")
    return place[int(part)]


def _assign(place: Any, part: str, value: Any, option: str) -> None:
    if isinstance(place, list):
        _entry(place, part, option)
        place[int(part)] = value
    else:
        place[part] = value


def _in_words(error: Any, document: Document, beside: Collection[str]) -> str:
    """One of pydantic's findings as a sentence with its place."""
    path = tuple(part for part in error["loc"] if not (isinstance(part, str) and "[" in part))
    path = (*path, error["ctx"]["key"]) if error["type"] == "given_twice" else _as_given(path, document)
    where = document.where(path)
    found = _finding(error, path, document, beside)
    return f"{where}: {found}" if where else found


def _as_given(path: tuple[str | int, ...], document: Document) -> tuple[str | int, ...]:
    """The rate may stand at the top of the file."""
    at_top = path == ("optimizer", "lr") and isinstance(document.data, Mapping) and "lr" in document.data
    return ("lr",) if at_top and not document.said.keys() & {path, path[:1]} else path


def _finding(error: Any, path: tuple[str | int, ...], document: Document, beside: Collection[str]) -> str:
    key = ".".join(map(str, path))
    if error["type"] == "extra_forbidden":
        return f"unknown key {path[-1]!r}: {_meant(path, beside)}"
    if error["type"] == "missing":
        return f"{key!r} is missing{_EXAMPLES.get(key, '')}"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if error["type"] == "given_twice":
        return message
    told = isinstance(error["input"], dict | list) or repr(error["input"]) in message
    given = "" if told else f", not {error['input']!r}"
    return f"{message}{given}" if path in document.said else f"{key}: {message}{given}"


_EXAMPLES = {"models": ": name at least one, such as `models: [cnn, resnet]` or --model cnn"}


def _meant(path: Sequence[str | int], beside: Collection[str]) -> str:
    """What an unknown key was probably meant to be."""
    section = _section(path[:-1])
    known = [*section.model_fields, *([*ALIASES, *beside] if section is Config else ())]
    own = section in (ModelChoice, DataChoice)
    return suggest(str(path[-1]), known, f"known: {', '.join(known)}; its own keywords go into kwargs" if own else "")


def _section(path: Sequence[str | int]) -> type[BaseModel]:
    """What stands at a place of the config."""
    model: type[BaseModel] = Config
    for part in path:
        field = model.model_fields.get(str(part)) if isinstance(part, str) else None
        model = (_model_in(field.annotation) if field else None) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a type holds, also inside a list or beside None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType):
        return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)
    return None
