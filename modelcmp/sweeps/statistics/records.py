"""What is said of one figure over several runs, and of the difference between two models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: Figures that follow from the configuration: no seed moves them, so that values over seeds are no sample.
CONFIGURED = ("params", "trainable_params", "flops_per_epoch")

#: ``sign`` and ``rank sum`` are exact and stand in for t where nothing varies; ``McNemar`` and ``paired bootstrap`` are
#: for a single run of each; ``none``: there is no test, or none is needed (CONFIGURED).
Method = Literal["paired t", "Welch t", "sign", "rank sum", "McNemar", "paired bootstrap", "none"]


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure of one group of runs over its seeds."""

    name: str  # of the group
    metric: str  # key in training.summary.RANK_KEYS
    values: tuple[float, ...]  # of the runs that have it, in the order of ``seeds``
    seeds: tuple[int, ...]
    missing: Mapping[str, int] = field(default_factory=dict)  # runs without it by their status: {"diverged": 1}
    mean: float | None = None
    std: float | None = None  # over seeds, n - 1; None for fewer than two
    low: float | None = None  # Student's interval of the mean over seeds
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two groups: A minus B."""

    a: str
    b: str
    metric: str
    method: Method
    n_a: int
    n_b: int
    difference: float | None  # of the means
    low: float | None  # ends of its interval
    high: float | None
    p: float | None  # two-sided
    p_adjusted: float | None  # Holm, over all differences of the table
    effect: float | None  # Hedges' g, positive where A's figure is larger; None for single runs
    separable: bool  # p_adjusted is at most alpha, and A is ahead there too; of CONFIGURED figures: they differ
    seeds_needed: int | None = None  # of each group, in all, to separate this difference at this spread; None: unknown
    test_low: float | None = None  # paired bootstrap over the test examples at these very runs: the other source of
    test_high: float | None = None  # doubt, kept apart from the spread over seeds
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Significance:
    """Which of several groups can be told apart in one figure."""

    metric: str
    better: Literal["high", "low"]
    confidence: float  # of the intervals: 0.95
    alpha: float  # of the adjusted p: 0.05
    spreads: tuple[Spread, ...]  # best mean first, groups without the figure last
    differences: tuple[Difference, ...]  # every pair, the better group as A
    letters: Mapping[str, str]  # by group; two that share a letter cannot be told apart
    notes: tuple[str, ...] = ()  # what the method cannot say here
