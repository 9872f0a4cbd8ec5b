"""Why weights differ that were equal a step before: what their first difference is proportional to.

An optimizer step is a sum of few terms, so the first difference d = a - b of two runs that had equal weights is a
multiple of the one that differs: of the update (learning rate), of the weights (weight decay), of the update before
(momentum). Derivations and thresholds: docs/verdicts.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..sums import Array
from .views import Rows, View
from .words import figure, listed, many, percent_more

#: |cosine| from which two vectors count as parallel: 0.98 leaves room for a rounding error of a fifth of d.
PARALLEL = 0.98
#: Differences below this many epsilons of the tensor are rounding and have no direction of their own.
ROUNDING_EPS = 4.0
#: How far the ratios of eight in ten tensors may be from their median, to be one factor.
SPREAD = 0.02
#: How many tensors must agree on a factor when only norms are known, not directions.
AGREEING = 3
#: Share of the differing tensors (with more than rounding in them) that a reason must hold for.
MOST = 0.8


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something differs, as far as its numbers tell."""

    clause: str
    numbers: dict[str, float] = field(default_factory=dict)
    what: str = ""  # another kind of finding than the tensor's


def one_factor(values: Array) -> float | None:
    """The median of ratios that agree, or None where they do not or are too few.

    >>> one_factor(np.array([0.1, 0.1001, 0.0999])), one_factor(np.array([0.1, 0.2, 0.4]))
    (0.1, None)
    """
    known = values[np.isfinite(values) & (values > 0)]
    if len(known) < AGREEING:
        return None
    middle = float(np.median(known))
    return middle if np.quantile(np.abs(known / middle - 1), 0.8) <= SPREAD else None


def meaningful(view: View, rows: Sequence[int]) -> Rows:
    """The rows whose difference is more than rounding of the stored numbers."""
    s, chosen = view.pair.sums, np.array(rows, dtype=np.int64)
    size = np.sqrt(np.maximum(s["aa"], s["bb"])[chosen]) * np.nan_to_num(view.layout.eps[chosen])
    with np.errstate(invalid="ignore"):
        return chosen[np.sqrt(s["dd"][chosen]) > ROUNDING_EPS * size]


def weight_reason(views: Sequence[View], view: View, rows: Sequence[int]) -> Reason | None:
    """Why the weights differ here; they were equal in the pair of dumps before."""
    chosen = meaningful(view, rows)
    if not len(chosen):
        return None
    return (
        _scaled(view, chosen)
        or _decayed(view, chosen)
        or _momentum(views, view, chosen)
        or _scaled_direction(view, chosen)
    )  # fmt: skip


def _scaled(view: View, rows: Rows) -> Reason | None:
    """d is parallel to the update: known where the dump before is the one that updates are measured from."""
    s = view.pair.sums
    if view.index != 1:
        return None
    with np.errstate(all="ignore"):
        u, v, d = s["uu"][rows], s["vv"][rows], s["dd"][rows]
        cosine = (u - v) / np.sqrt(d * np.maximum(2 * u + 2 * v - d, 0))
        ratio = np.sqrt(v / u)
        angle = np.sqrt(np.maximum(d - (np.sqrt(u) - np.sqrt(v)) ** 2, 0) / np.sqrt(u * v))
    fits = (np.abs(cosine) > PARALLEL) & (s["uv"][rows] > 0) & np.isfinite(ratio) & (ratio > 0)
    if fits.mean() < MOST:
        return None
    middle = float(np.median(ratio[fits]))
    alike = fits & (np.abs(ratio - middle) <= 0.05 * abs(middle - 1))
    if alike.sum() < MOST * len(rows):
        return _factors(view, rows[fits], ratio[fits])
    names = view.layout.names(rows[alike].tolist())
    since = "" if view.near else " since the first dump"
    clause = (
        f"B's updates of {listed(names)}{since} are {figure4(middle)} times A's, in the same direction "
        f"(angle {figure(float(np.median(angle[alike])))} rad): {_rate(view, middle, names)}"
    )
    return Reason(clause, {"update_ratio": middle, "angle_rad": float(np.median(angle[alike]))}, "update")


def _factors(view: View, rows: Rows, ratio: Array) -> Reason:
    """Several learning rates differ, each in its own way."""
    most = int(np.argmax(np.abs(np.log(ratio))))
    name = view.layout.tensors[int(rows[most])].name
    clause = (
        f"B's updates have A's direction and other lengths ({figure(float(ratio.min()))} to "
        f"{figure(float(ratio.max()))} times, most in {name}): learning rates differ in {many(len(rows), 'tensor')}"
    )
    return Reason(clause, {"update_ratio_min": float(ratio.min()), "update_ratio_max": float(ratio.max())}, "update")


def figure4(value: float) -> str:
    """Enough digits to see one percent and less.

    >>> figure4(1.01), figure4(1.00012)
    ('1.01', '1.00012')
    """
    return f"{value:.6g}"


def _rate(view: View, ratio: float, names: Sequence[str]) -> str:
    """What scales an update: the gradient too, unless it is known to agree."""
    higher = percent_more(round(ratio, 5))
    if view.agree("grad", names) or view.agree("optimizer", names):
        return f"its learning rate is {higher}" if ratio < 2 else f"its learning rate is {higher} A's"
    return f"its learning rate (or its gradient) is {higher}" + (" A's" if ratio >= 2 else "")


def _decayed(view: View, rows: Rows) -> Reason | None:
    """d is parallel to the weights themselves."""
    s = view.pair.sums
    with np.errstate(all="ignore"):
        cosine = s["ds"][rows] / np.sqrt(s["dd"][rows] * s["ss"][rows])
        factor = 2 * s["ds"][rows] / s["ss"][rows]
    fits = np.abs(cosine) > PARALLEL
    if fits.mean() < MOST or abs(np.sign(factor[fits]).sum()) != fits.sum():
        return None
    middle = float(np.median(factor[fits]))
    less, more = ("B", "A") if middle < 0 else ("A", "B")
    numbers = {"shrinks_by": abs(middle), "cosine": float(np.median(np.abs(cosine[fits])))}
    clause = (
        f"weights differ along themselves, by {figure(abs(middle))} of their size "
        f"(|cosine| {figure(numbers['cosine'])}; {many(int(fits.sum()), 'tensor')}): {more} decays weights, "
        f"{less} does not or less{_decay(view, int(rows[fits][0]), abs(middle), numbers)}"
    )
    return Reason(clause, numbers, "update")


def _decay(view: View, row: int, factor: float, numbers: dict[str, float]) -> str:
    """The weight decay that it amounts to, where the learning rate is known."""
    rate = view.pair.a.settings.get(view.layout.tensors[row].name, {}).get("lr")
    if not isinstance(rate, float) or rate <= 0:
        return ""
    numbers["weight_decay"] = factor / rate
    return f" (a weight decay of {figure(factor / rate)} at the learning rate {figure(rate)})"


def _momentum(views: Sequence[View], view: View, rows: Rows) -> Reason | None:
    """d is as long as a fixed share of the update before, in every tensor: known in the third dump alone."""
    if view.index != 2 or not (views[1].near and view.near):
        return None
    s, before = view.pair.sums, [views[1].row("weight", view.layout.tensors[int(r)].name) for r in rows]
    if None in before:
        return None
    with np.errstate(all="ignore"):
        share = one_factor(np.sqrt(s["dd"][rows] / views[1].pair.sums["uu"][np.array(before)]))
    if share is None:
        return None
    clause = (
        f"weights differ by {figure(share)} times the update before, in {many(len(rows), 'tensor')} alike: "
        f"momentum differs by {figure(share)}"
    )
    return Reason(clause, {"momentum_difference": share}, "update")


def _scaled_direction(view: View, rows: Rows) -> Reason | None:
    """d is as long as a fixed share of what the optimizer steps along, which agrees: momentum, else the gradient."""
    s = view.pair.sums
    for kind, suffix, word in (("optimizer", "/momentum_buffer", "momentum buffer"), ("grad", "", "gradient")):
        partners = [view.row(kind, view.layout.tensors[int(r)].name + suffix) for r in rows]  # type: ignore[arg-type]
        found = [(int(r), p) for r, p in zip(rows, partners, strict=True) if p is not None and not view.differs[p]]
        if not found:
            continue
        ours, theirs = (np.array(x) for x in zip(*found, strict=True))
        with np.errstate(all="ignore"):
            share = one_factor(np.sqrt(s["dd"][ours] / s["aa"][theirs]))
        if share is not None:
            clause = (
                f"weights differ by {figure(share)} times the {word}, which agrees, in {many(len(ours), 'tensor')} "
                f"alike: learning rates differ by {figure(share)}"
            )
            return Reason(clause, {"lr_difference": share}, "update")
    return None
