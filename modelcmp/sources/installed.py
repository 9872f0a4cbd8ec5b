"""Where an installed package lies, found without importing it."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from ..errors import ModelcmpError


@cache
def package_folder(name: str) -> Path:
    """Folder of an installed package; raises ModelcmpError with the command that installs it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModelcmpError(f"{name} is not installed: pip install {name}")
    return Path(next(iter(spec.submodule_search_locations)))
