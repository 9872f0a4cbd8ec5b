"""Diffs from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import run
from .aligning import read_map
from .records import RunDiff, Tolerance
from .request import Request, Watcher


def diff(
    a: str | Path,
    b: str | Path,
    *,
    filter: str | Sequence[str] = "all",
    align: str = "batch",
    head: str | None = None,
    map: str | Path | Mapping[str, str] | None = None,
    floor: str | Path | Sequence[str | Path] = (),
    rtol: float = 0.0,
    atol: float = 0.0,
    strict: bool = False,
    watcher: Watcher | None = None,
) -> RunDiff:
    """Compare the dumps of two runs, or two checkpoints: where they part, how far, and what it means.

    ``filter``: all, mlp, backbone, or expressions on names; ``align``: batch, step or auto; ``map``: a map file,
    or names of A with names of B; ``floor``: reruns of A. ``result.verdict`` has status and words, ``result.pairs`` the
    measures of each pair of dumps. Raises BadInput where there is nothing to compare.
    """
    filters = (filter,) if isinstance(filter, str) else tuple(filter)
    given: Any = read_map(Path(map)) if isinstance(map, str | Path) else map
    floors = (floor,) if isinstance(floor, str | Path) else floor
    request = Request(filters, align, head, given, tuple(Path(f) for f in floors), Tolerance(rtol, atol), strict)
    return run.diff(Path(a), Path(b), request, watcher)
