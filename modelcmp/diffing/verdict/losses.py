"""A loss that is lower in one of both runs, told from chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..sums import Array
from .clues import Clue
from .views import View
from .words import figure

#: Dumps with losses that differ, to say anything at all; and how improbable chance must be.
FEWEST_POINTS = 8
SURE = 0.01


def bias_clues(views: Sequence[View]) -> list[Clue]:
    """A loss that is lower in one run too often for chance."""
    both = [(v, v.scalars("loss")) for v in views]
    known = [(v, s[0] - s[1]) for v, s in both if s is not None and all(map(math.isfinite, s)) and s[0] != s[1]]
    if len(known) < FEWEST_POINTS:
        return []
    gaps = np.array([d for _, d in known])
    share, p, effective = sign_test(gaps)
    if p >= SURE or share == 0.5:
        return []
    lower = "B" if share > 0.5 else "A"
    often, middle = max(share, 1 - share), float(np.median(np.abs(gaps)))
    level = float(np.median([abs(s[0]) for _, s in both if s is not None and math.isfinite(s[0])]))
    clause = (
        f"the loss is lower in {lower} in {100 * often:.0f} % of {len(gaps)} dumps where it differs (sign test "
        f"p = {figure(p)}, counted as {figure(effective)} independent ones), by {figure(middle)} in the median"
        + (f" ({figure(100 * middle / level)} %)" if level else "")
    )
    numbers = {"share": often, "p": p, "effective_dumps": effective, "median_gap": middle}
    return [Clue("bias", clause, numbers=numbers, serious=False)]


def sign_test(gaps: Array) -> tuple[float, float, float]:
    """Share of positive gaps, two-sided p, and the number of independent gaps that they amount to.

    Gaps of neighbouring dumps go together: their number is shrunk by (1 - r) / (1 + r), r the correlation of
    neighbours (of signs or of ranks, the larger, and not below 0; Bayley and Hammersley, 1946, for a first-order
    process).
    """
    from scipy.stats import binomtest, rankdata

    signs = np.sign(gaps)
    share = float((signs > 0).mean())
    r = max(0.0, _neighbours(signs), _neighbours(rankdata(gaps)))
    n = max(1, math.floor(len(gaps) * (1 - r) / (1 + r)))
    return share, float(binomtest(round(share * n), n).pvalue), float(n)


def _neighbours(values: Array) -> float:
    """Correlation of each value with the next; 0 where all are the same."""
    centred = values - values.mean()
    spread = float((centred**2).sum())
    return float((centred[1:] * centred[:-1]).sum()) / spread if spread else 0.0
