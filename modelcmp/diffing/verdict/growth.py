"""Whether a difference that is as small as rounding also grows as rounding does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .distance import distance_series
from .trends import trend
from .views import Bools, View
from .words import brief, figure, many

#: A weight further apart than this many epsilons, relative to its norm, has more than rounding in it.
ROUNDING_EPS = 16.0
#: Rounding is not multiplied by more than this within one step ...
AT_ONCE = 100.0
#: ... in so large a share of the weights: one alone, such as a bias before a norm under Adam, is moved by its sign.
MOST = 0.8


def unlike_rounding(views: Sequence[View], first: View) -> str:
    """How the weights' distance goes on after a rounding-sized start, where rounding does not: or nothing."""
    later = views[first.index :]
    if len(later) < 2 or not first.layout.kinds["weight"].any():
        return ""
    return _at_once(views, later) or _steadily(later)


def _beyond(view: View) -> Bools:
    """Of the weights, which differ by more than rounding of their own."""
    rows, s = view.layout.kinds["weight"], view.pair.sums
    with np.errstate(invalid="ignore"):
        allowed = ROUNDING_EPS * view.layout.eps * np.sqrt(np.maximum(s["aa"], s["bb"]))
        found: Bools = (np.sqrt(s["dd"]) > allowed)[rows]
    return found


def _at_once(views: Sequence[View], later: Sequence[View]) -> str:
    """From rounding to a multiple of it in the next step, in most weights."""
    before, after = (v.relative_l2(v.layout.kinds["weight"]) for v in later[:2])
    beyond = _beyond(later[1])
    if not (later[1].near and before > 0 and after > AT_ONCE * before and beyond.mean() >= MOST):
        return ""
    first = later[0].index == 1 and later[0].near and later[0].pair.a.step in (1, None)
    which = "from the second step on (betas of the moments, momentum)" if first else "or its input does from there on"
    return (
        f"one step later, at {brief(later[1].pair)}, the weights' relative L2 is {figure(after)}, "
        f"{figure(after / before)} times as much, in {int(beyond.sum())} of {many(len(beyond), 'weight')}: "
        f"not rounding, the update rule differs {which}"
    )


def _steadily(later: Sequence[View]) -> str:
    """As a power of the steps, far beyond rounding, in most weights."""
    series, beyond = distance_series(later), _beyond(later[-1])
    course = trend(series)
    if course is None or course.shape not in ("linear", "power") or beyond.mean() < MOST:
        return ""
    if not series.values[-1] > AT_ONCE * series.values[0]:
        return ""
    end = f"{figure(float(series.values[-1]))} in {int(beyond.sum())} of {many(len(beyond), 'weight')}"
    return (
        f"then the weights' relative L2 {course.words}, to {end}; rounding stays small or grows exponentially: the "
        "update rule or its input differs"
    )
