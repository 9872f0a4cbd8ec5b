"""Importing the user's own files, each as if it were run from its own folder."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ..errors import BadInput, BuildError, ModelcmpError

#: The folder whose modules can be imported now, and what was loaded before it could.
_current: dict[str, set[str]] = {}


def load(place: str) -> ModuleType:
    """The module of ``path/to/file.py`` or ``package.module``; its own error is shown.

    Raises BadInput where there is none, BuildError where importing it raises.
    """
    try:
        if place.endswith(".py"):
            return _load_file(Path(place))
        enter(Path.cwd())
        return importlib.import_module(place)
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


def enter(folder: Path) -> None:
    """Let modules in ``folder`` be imported, also later by the model; forget those of the folder before.

    Two files in two folders may import siblings of the same name.
    """
    wanted = str(folder.resolve())
    for old, before in list(_current.items()):
        if old == wanted:
            return
        if old in sys.path:
            sys.path.remove(old)
        for name in [n for n, m in sys.modules.items() if n not in before and _lies_in(m, old)]:
            del sys.modules[name]
        del _current[old]
    _current[wanted] = set(sys.modules)
    sys.path.insert(0, wanted)


def _lies_in(module: ModuleType, folder: str) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and Path(folder) in Path(str(file)).parents and "site-packages" not in str(file)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BadInput(f"no file {str(path)!r}: give path/to/file.py:factory")
    path = path.resolve()
    root = path.parent
    while (root / "__init__.py").is_file():  # part of a package: relative imports work in it
        root = root.parent
    enter(root)
    if root != path.parent:
        return importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
    name = f"_modelcmp_user_{abs(hash(path)):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{str(path)!r} is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
