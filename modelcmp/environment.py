"""What figures were made with: package versions, and a stamp that changes when figures may."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

#: Packages whose version decides the figures.
PACKAGES = ("torch", "torchvision", "timm")
#: Layout of what the cache keeps.
SCHEMA = 1
#: Our own code that decides the figures.
_DECIDING = ("records.py", "metrics.py", "reductions.py", "kernels", "profiling", "sources")


def environment() -> dict[str, str | None]:
    """Versions that decide the figures."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **{name: installed_version(name) for name in PACKAGES},
    }


@cache
def installed_version(name: str) -> str | None:
    """The version of an installed distribution, None where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def stamp() -> str:
    """Digest of everything outside a request that decides its figures.

    Versions of the packages, timm's switches in the environment, and the content of our own counting code;
    a package that is worked on in place keeps its version, so that its files' sizes and times count too.
    """
    parts = [f"schema {SCHEMA}", _content(_own_files())]
    parts += sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith("TIMM_"))
    for name in PACKAGES:
        parts += [f"{name} {installed_version(name)}", _state_in_place(name)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _own_files() -> list[Path]:
    here = Path(__file__).parent
    return sorted(
        p for part in _DECIDING for p in ([here / part] if part.endswith(".py") else here.glob(f"{part}/**/*.py"))
    )


def _content(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _state_in_place(package: str) -> str:
    """Names, sizes and times of the files of a package that does not lie in site-packages; else nothing."""
    spec = find_spec(package)
    if spec is None or spec.origin is None or {"site-packages", "dist-packages"} & set(Path(spec.origin).parts):
        return ""
    return state(sorted(Path(spec.origin).parent.rglob("*.py")))


def state(paths: Iterable[Path]) -> str:
    """Digest of the names, sizes and times of files."""
    digest = hashlib.sha256()
    for path in paths:
        facts = path.stat()
        digest.update(f"{path} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()
