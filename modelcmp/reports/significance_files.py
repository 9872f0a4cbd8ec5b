"""Differences over seeds as JSON and CSV: base units, unrounded, conventions stamped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..environment import environment
from .export import SCHEMA, csv_text, json_text, plain

if TYPE_CHECKING:
    from ..sweeps.statistics.records import Difference, Significance

Row = dict[str, Any]

CONVENTIONS = {
    "shares": "figures and differences of shares from 0 to 1",
    "std": "standard deviation over seeds with n - 1; null for fewer than two",
    "spread interval": "low and high of a group: Student's interval of the mean over seeds",
    "difference": "mean of a less mean of b, at the seeds of the method; a is the group of the better mean",
    "difference interval": "low and high of a difference: of that pair alone, at the confidence given",
    "p_adjusted": "two-sided p after Holm over all pairs of the table",
    "separable": "p_adjusted is at most alpha, and a is ahead at the runs compared too; of params, trainable_params "
    "and flops_per_epoch, which no seed moves: they differ",
    "effect": "Hedges' g with its small-sample correction; paired: over the root mean square of both deviations",
    "seeds_needed": "of each group in all, for a power of 0.8 at alpha over the pairs not yet separable",
    "test interval": "test_low and test_high: paired bootstrap over the examples of the split, weights as they are",
}


def significance_json(found: Sequence[Significance], notes: Sequence[str] = ()) -> str:
    """One document of one figure or several; ``notes`` are those on the groups themselves."""
    return json_text(plain({
        "schema": SCHEMA,
        "tool": {"name": "modelcmp", "version": __version__},
        "environment": environment(),
        "conventions": CONVENTIONS,
        "comparisons": [asdict(s) for s in found],
        "notes": list(notes),
    }))  # fmt: skip


def significance_csv(found: Sequence[Significance]) -> str:
    """One line a pair and figure, with mean, deviation and letters of both groups beside the difference."""
    return csv_text(_row(d, s) for s in found for d in s.differences)


def _row(d: Difference, s: Significance) -> Row:
    row = asdict(d)
    del row["notes"]
    spreads = {spread.name: spread for spread in s.spreads}
    for side, name in (("a", d.a), ("b", d.b)):
        row |= {f"mean_{side}": spreads[name].mean, f"std_{side}": spreads[name].std}
        row |= {f"letters_{side}": s.letters.get(name, "")}
    return row | {"confidence": s.confidence, "alpha": s.alpha, "remarks": "; ".join(d.notes)}
