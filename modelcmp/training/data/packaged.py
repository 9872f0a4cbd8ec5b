"""Tables of numbers that other packages bring along, read without importing those packages."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelcmpError


def packaged_table(package: str, path: str, install: str) -> NDArray[np.uint8]:
    """A gzipped table of whole numbers below 256, one row a line, from an installed package.

    Raises ModelcmpError with the command that installs it.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    file = next((f for f in (Path(folder) / path for folder in folders) if f.is_file()), None)
    if file is None:
        raise ModelcmpError(f"these data come with {package}, which is not installed: {install}")
    try:
        lines = gzip.decompress(file.read_bytes()).splitlines()
        flat = np.fromstring(b",".join(lines), np.int64, sep=",")
        return flat.reshape(len(lines), -1).astype(np.uint8)
    except (OSError, ValueError) as error:
        raise ModelcmpError(f"{path} of {package} cannot be read: {error}; reinstall it: {install}") from error
