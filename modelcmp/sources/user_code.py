"""Importing the user's own files, each as if it were run from its own folder."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ..errors import BadInput, BuildError, ModelcmpError

#: The folder whose modules can be imported now; what was loaded, and the path, before it could.
_current: dict[str, tuple[set[str], list[str]]] = {}
#: Size and time of the files of the user's modules when they were imported.
_seen: dict[str, tuple[int, int] | None] = {}


def load(place: str) -> ModuleType:
    """The module of ``path/to/file.py`` or ``package.module``; its own error is shown.

    Raises BadInput where there is none, BuildError where importing it raises.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is no part of our output
            if place.endswith(".py"):
                return _load_file(Path(place))
            enter(Path.cwd())
            module = importlib.import_module(place)
            _remember()
            return module
    except ModelcmpError:
        raise
    except ModuleNotFoundError as error:
        if error.name and not place.endswith(".py") and place.startswith(error.name):
            raise BadInput(
                f"no module {place!r}: give path/to/file.py:factory or an importable package.module:factory"
            ) from error
        raise BuildError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
    except (Exception, SystemExit) as error:
        raise BuildError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error


def root_of(path: Path) -> Path:
    """The folder from which a file is imported, relative imports included: the first above it that is no package."""
    root = path.resolve().parent
    while (root / "__init__.py").is_file():
        root = root.parent
    return root


def enter(folder: Path) -> None:
    """Let modules in ``folder`` be imported, also later by the model; forget the user's modules of before.

    Two files in two folders may import siblings of the same name, each may change ``sys.path``, and a
    file may have been edited since it was imported.
    """
    wanted = str(folder.resolve())
    for old, (_, path) in list(_current.items()):
        ours = _users_modules()
        if old == wanted and all(_seen.get(n) == _facts(n) for n in ours):
            return
        for name in ours:
            del sys.modules[name]
            _seen.pop(name, None)
        sys.path[:] = path
        importlib.invalidate_caches()
        del _current[old]
    _current[wanted] = (set(sys.modules), list(sys.path))
    sys.path.insert(0, wanted)


def _users_modules() -> list[str]:
    """Modules that were imported from the current folder, or from where it has led ``sys.path``."""
    found = []
    for folder, (names, path) in _current.items():
        added = {folder, *(p for p in sys.path if p not in path)}
        found += [n for n, m in sys.modules.items() if n not in names and any(_lies_in(m, p) for p in added)]
    return found


def _remember() -> None:
    """Note the state of the files that have just been imported; what is imported later counts as edited."""
    for name in _users_modules():
        _seen.setdefault(name, _facts(name))


def _facts(name: str) -> tuple[int, int] | None:
    try:
        facts = Path(str(sys.modules[name].__file__)).stat()
    except (OSError, KeyError, AttributeError):
        return None
    return facts.st_size, facts.st_mtime_ns


def _lies_in(module: ModuleType, folder: str) -> bool:
    file = getattr(module, "__file__", None) or next(
        iter(getattr(module, "__path__", ())), None
    )  # a namespace has no file
    return bool(file) and Path(folder) in Path(str(file)).parents and "site-packages" not in str(file)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BadInput(f"no file {str(path)!r}: give path/to/file.py:factory")
    path = path.resolve()
    root = root_of(path)
    enter(root)
    if root != path.parent:
        module = importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
        _remember()
        return module
    name = f"_modelcmp_user_{abs(hash(path)):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{str(path)!r} is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _remember()
    return module
