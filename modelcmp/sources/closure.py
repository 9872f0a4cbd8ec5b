"""What the user's own model is made of: its file, the files beside it that it imports, and packages' versions.

Read off the source without running it. Code that reads more than its source (files, the environment),
changes where modules come from or imports them under computed names has no digest: it is not kept.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ..environment import installed_version, state
from .user_code import root_of

_INSTALLED = {"site-packages", "dist-packages"}

#: What makes figures hang on more than the source.
_OPEN_ENDED = re.compile(
    rb"\b(environ|getenv|sys\s*\.\s*path|sys\s*\.\s*argv|import_module|__import__|read_text|read_bytes|exec|eval)\b"
    rb"|\b(open|load|glob|iterdir|listdir)\s*\("
)


def content_digest(place: str) -> str | None:
    """Digest of everything that ``path/to/net.py`` or ``package.module`` is made of.

    None where the source does not tell it all.
    """
    digest = hashlib.sha256()
    files, packages = _closure(place)
    for path in sorted(files):
        content = path.read_bytes()
        if _OPEN_ENDED.search(content):
            return None
        digest.update(f"{path}\n".encode() + content)
    for name in sorted(packages):
        digest.update(f"{name} {_version_of(name, own=name == place.partition('.')[0])}\n".encode())
    return digest.hexdigest()


def _closure(place: str) -> tuple[set[Path], set[str]]:
    """Files of the user's own, and the names of installed packages, that a module leads to."""
    files: set[Path] = set()
    packages: set[str] = set()
    if place.endswith(".py"):
        path = Path(place).resolve()
        root = root_of(path)
        dotted = list(path.relative_to(root).with_suffix("").parts)
        waiting = [(root, p) for p in _files_on_the_way(root, dotted)] if path.is_file() else []
    else:
        waiting = _found(Path.cwd(), place, packages)
    while waiting:
        root, path = waiting.pop()
        if path in files:
            continue
        files.add(path)
        for name in _imported(path, root):
            waiting += _found(root, name, packages)
    return files, packages


def _found(root: Path, name: str, packages: set[str]) -> list[tuple[Path, Path]]:
    """Files of a dotted module under ``root`` or on the path; the name of an installed package is noted instead."""
    top = name.partition(".")[0]
    if not top:
        return []
    if not ((root / f"{top}.py").is_file() or (root / top / "__init__.py").is_file()):
        if top in sys.stdlib_module_names:
            return []
        origin = _origin(top)
        if origin is None and (root / top).is_dir():  # a folder of modules, where nothing else has its name
            return [(root, path) for path in _files_on_the_way(root, name.split("."))]
        if origin is None or _INSTALLED & set(origin.parts):
            packages.add(top)
            return []
        root = origin.parent.parent if origin.name == "__init__.py" else origin.parent
    return [(root, path) for path in _files_on_the_way(root, name.split("."))]


def _files_on_the_way(root: Path, parts: list[str]) -> Iterator[Path]:
    """``a/__init__.py``, ``a/b/__init__.py`` and ``a/b/c.py`` for a.b.c, those that exist; all of a for ``a.*``."""
    place = root
    for part in parts:
        if part == "*":
            yield from place.glob("**/*.py")
            return
        if (place / f"{part}.py").is_file():
            yield place / f"{part}.py"
        place = place / part
        if (place / "__init__.py").is_file():
            yield place / "__init__.py"


def _imported(path: Path, root: Path) -> Iterator[str]:
    """Dotted names of the modules that a file may import, seen from ``root``."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    package = path.relative_to(root).parent.parts if path.is_relative_to(root) else ()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            yield from (".".join([*base, alias.name]) for alias in node.names)


@cache
def _origin(top: str) -> Path | None:
    """Where an importable top-level module lies."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.origin and Path(spec.origin).is_file():
        return Path(spec.origin).absolute()
    folders = list(spec.submodule_search_locations or ())  # a package without __init__.py
    return Path(folders[0]).absolute() / "__init__.py" if folders else None


def _version_of(package: str, own: bool) -> str:
    """The version of an installed package; the state of its files where it has none, or holds the model itself."""
    version = installed_version(package)
    origin = _origin(package)
    if origin is None or (version is not None and not own):
        return str(version)
    return state(sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin])
