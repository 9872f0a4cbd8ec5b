"""What a series of measured times says: median, 5th and 95th percentile, and whether to trust it."""

from __future__ import annotations

from collections.abc import Sequence

#: From this spread on (p95 - p5, as a share of the median) a machine is called noisy. On a quiet one it
#: stays below 0.05; at 0.2 two models that differ by a tenth can no longer be told apart.
NOISY_ABOVE = 0.2
#: From this share of the CPU on, in percent, other programs disturb: threads that wait for each other at the end of
#: each operation lose a whole turn of the scheduler whenever one of them is held up.
BUSY_ABOVE_PCT = 25.0


def quantile(samples: Sequence[float], share: float) -> float:
    """The value that a share of the samples stays below, interpolated between neighbours.

    >>> quantile([4.0, 1.0, 3.0, 2.0], 0.5), quantile([1.0], 0.95), quantile([0.0, 10.0], 0.05)
    (2.5, 1.0, 0.5)
    """
    ordered = sorted(samples)
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(samples: Sequence[float]) -> float:
    """The middle of the samples: half of the runs were faster."""
    return quantile(samples, 0.5)


def spread(samples: Sequence[float]) -> float:
    """How far p5 and p95 lie apart, as a share of the median.

    >>> spread([1.0, 1.0, 1.0]), round(spread([1.0, 2.0, 3.0]), 2)
    (0.0, 0.9)
    """
    return (quantile(samples, 0.95) - quantile(samples, 0.05)) / median(samples)
