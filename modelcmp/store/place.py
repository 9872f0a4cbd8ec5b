"""Where the cache lies."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MODELCMP_CACHE"


def cache_folder(asked: Path | None = None) -> Path:
    """The folder asked for, else that of ``MODELCMP_CACHE``, else the platform's cache folder."""
    if asked is not None:
        return asked.expanduser()
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("modelcmp", appauthor=False)
