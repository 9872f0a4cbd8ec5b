"""Groups of runs as rows and as a JSON document: mean, spread and every seed's value, unrounded in base units."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..environment import environment
from ..training.grouping import Group, counted_runs, group_notes, seed_of
from ..training.results import RunResult
from ..training.summary import RANK_KEYS, RankKey, ranked_value
from .export import SCHEMA, plain
from .training_files import CONVENTIONS

if TYPE_CHECKING:
    from ..sweeps.statistics.records import Spread

Row = dict[str, Any]
CONVENTIONS_OF_GROUPS = {
    **CONVENTIONS,
    "std": "standard deviation over the seeds of a group with n - 1; null for fewer than two",
    "low, high": "95 % Student interval of the mean over seeds, which takes the values to be normally distributed",
    "n": "runs that have the figure, each seed once; the others are counted by their status under missing",
}


def spreads(groups: Sequence[Group], key: str) -> list[Spread]:
    """One figure of each group over its seeds; raises UnknownName."""
    from ..sweeps.statistics.describe import spread

    return [spread(group, key) for group in groups]


def known_keys(groups: Iterable[Group]) -> list[str]:
    """Keys that any run has a figure of."""
    results = [r for group in groups for r in group.results]
    return [key for key, entry in RANK_KEYS.items() if any(ranked_value(r, entry) is not None for r in results)]


def flat_row(group: Group, keys: Sequence[str]) -> Row:
    """A group for CSV: of each figure mean, std, n, low, high, and a column a seed (``test_loss_seed_1``)."""
    missing = Counter(r.status for r in _each_seed_once(group) if r.status != "finished")
    row: Row = {
        "name": group.name,
        "model": group.runs[0].result.model,
        **group.settings,
        "runs": len(group.runs),
        "finished": sum(r.status == "finished" for r in group.results),
        "missing": "; ".join(f"{status}: {n}" for status, n in missing.items()),
    }
    for key in keys:
        (found,) = spreads([group], key)
        row |= {f"{key}_{part}": value for part, value in _figures(found).items()}
        row |= {f"{key}_seed_{seed}": value for seed, value in by_seed(group, RANK_KEYS[key]).items()}
    return row


def _each_seed_once(group: Group) -> list[RunResult]:
    return [run.result for run in counted_runs(group, lambda r: r.status == "finished")]


def _figures(found: Spread) -> Row:
    return {"mean": found.mean, "std": found.std, "n": len(found.values), "low": found.low, "high": found.high}


def by_seed(group: Group, entry: RankKey) -> dict[str, float | None]:
    """The figure of each run by its seed; a seed that is there again is ``3 (2)``, one not recorded ``?``."""
    seen: Counter[str] = Counter()
    values: dict[str, float | None] = {}
    for result in group.results:
        seed = seed_of(result)
        name = "?" if seed is None else str(seed)
        seen[name] += 1
        values[name if seen[name] == 1 else f"{name} ({seen[name]})"] = ranked_value(result, entry)
    return values


def json_row(group: Group, keys: Sequence[str]) -> Row:
    """A group for JSON: its settings, figures and runs."""
    figures: Row = {}
    for key in keys:
        (found,) = spreads([group], key)
        figures[key] = {**_figures(found), "missing": dict(found.missing), "seeds": by_seed(group, RANK_KEYS[key])}
    return {
        "name": group.name,
        "label": group.label,
        "model": group.runs[0].result.model,
        "settings": dict(group.settings),
        "figures": figures,
        "runs": [_run(run.result, run.folder) for run in group.runs],
    }


def _run(result: RunResult, folder: Path) -> Row:
    return {
        "seed": seed_of(result),
        "status": result.status,
        "message": result.message,
        "epochs": result.epochs,
        "steps": result.steps,
        "train_seconds": result.train_seconds,
        "folder": _near(folder),
        "settings": dict(result.settings),
    }


def _near(folder: Path) -> str:
    """A path from the current folder, where it lies below."""
    here = os.getcwd()
    return os.path.relpath(folder, here) if str(folder).startswith(here + os.sep) else str(folder)


def document(groups: Sequence[Group], rows: Sequence[Row], more: Mapping[str, Any]) -> Row:
    """The JSON document around rows of groups, with what may mislead in ``notes``."""
    found: Row = plain({
        "schema": SCHEMA,
        "tool": {"name": "modelcmp", "version": __version__},
        "environment": environment(),
        "conventions": CONVENTIONS_OF_GROUPS,
        **more,
        "groups": list(rows),
        "notes": group_notes(groups),
    })  # fmt: skip
    return found
