"""Why gradients or the optimizer's moments differ, while the weights they were computed with agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .swaps import FIRST_MOMENTS, state_key, swap_reason
from .updates import MOST, PARALLEL, Reason, meaningful, one_factor
from .views import EPS32, Rows, View
from .words import figure, listed, many

#: Relative L2 of gradients, in epsilons, that another order of summation explains.
GRADIENT_ROUNDING_EPS = 256.0


def gradient_reason(view: View, before: View | None, rows: Sequence[int]) -> Reason | None:
    """Why gradients differ: what moments tell of recovered ones, zero in one run, a common factor, or rounding."""
    if all(view.layout.tensors[r].recovered for r in rows):
        swap = swap_reason(view, view.layout.causal("optimizer", view.differs))
        if swap:
            return swap
    decay = _decay(view, before, [r for r in rows if view.layout.tensors[r].recovered])
    return decay or _zero(view, rows) or common_factor(view, rows, "gradients", _SCALES) or _rounding(view, rows)


_SCALES = "they are scaled (mean or sum, accumulation, clipping, loss scale)"


def _zero(view: View, rows: Sequence[int]) -> Reason | None:
    s, chosen = view.pair.sums, np.array(rows)
    for side, mine, other in (("B", "bb", "aa"), ("A", "aa", "bb")):
        if (s[mine][chosen] == 0).all() and (s[other][chosen] > 0).all():
            names = listed(view.layout.names(list(rows)))
            return Reason(f"the gradient of {names} is zero in {side}", {"tensors": float(len(rows))})
    return None


def common_factor(view: View, rows: Sequence[int], thing: str, meaning: str) -> Reason | None:
    """The same direction, and one ratio of norms: words and the ratio of B over A; None where there is none."""
    chosen = meaningful(view, rows)
    if not len(chosen):
        return None
    s = view.pair.sums
    with np.errstate(all="ignore"):
        a, b = np.sqrt(s["aa"][chosen]), np.sqrt(s["bb"][chosen])
        across = np.sqrt(np.maximum(s["dd"][chosen] - (a - b) ** 2, 0) / (a * b))
        along = np.abs(s["ds"][chosen]) / np.sqrt(s["dd"][chosen] * s["ss"][chosen])
        ratio = b / a
    fits = (along > PARALLEL) & (s["ab"][chosen] > 0) & np.isfinite(ratio) & (ratio > 0)
    if fits.mean() < MOST:
        return None
    middle = float(np.median(ratio[fits]))
    alike = fits & (np.abs(ratio - middle) <= 0.05 * abs(middle - 1))
    if alike.sum() < MOST * len(chosen):
        return None
    names = listed(view.layout.names(chosen[alike].tolist()))
    clause = f"B's {thing} are {figure(middle)} times A's, in the same direction ({names}): {meaning}"
    return Reason(clause, {"ratio": middle, "angle_rad": float(np.median(across[alike]))})


def _rounding(view: View, rows: Sequence[int]) -> Reason | None:
    mask = np.zeros(len(view.layout.tensors), dtype=bool)
    mask[list(rows)] = True
    size = view.relative_l2(mask)
    if not 0 < size <= GRADIENT_ROUNDING_EPS * EPS32:
        return None
    clause = (
        f"gradients differ by rounding (relative L2 {figure(size)}; {many(len(rows), 'gradient')}): "
        "other kernels, or another order of summation"
    )
    return Reason(clause, {"total_relative_l2": size})


def optimizer_reason(view: View, before: View | None, rows: Sequence[int]) -> Reason | None:
    """Why the optimizer's state differs: swapped parameters, weight decay, momentum, or a factor (betas)."""
    firsts = [r for r in rows if state_key(view, r) in FIRST_MOMENTS]
    return (
        swap_reason(view, rows)
        or _decay(view, before, firsts)
        or _momentum(view, before, firsts)
        or _betas(view, rows)
    )  # fmt: skip


def _decay(view: View, before: View | None, rows: Sequence[int]) -> Reason | None:
    """g + wd * w: the difference is as long as a fixed share of the weights before the step, in every tensor."""
    if before is None or not rows:
        return None
    chosen = meaningful(view, rows)
    weights = [before.row("weight", view.layout.tensors[int(r)].owner) for r in chosen]
    share = _share(view, before, chosen, weights)
    if share is None:
        return None
    share /= _one_minus_beta(view, int(chosen[0]))
    more = _who_decays(view, chosen)
    clause = (
        f"{_thing(view, int(chosen[0]))} differ by {figure(share)} times the weights, in "
        f"{many(len(chosen), 'tensor')} alike: weight decay differs by {figure(share)}{more}"
    )
    return Reason(clause, {"weight_decay_difference": share})


def _thing(view: View, row: int) -> str:
    tensor = view.layout.tensors[row]
    return "recovered gradients" if tensor.kind == "grad" else f"the optimizer's {state_key(view, row)}s"


def _one_minus_beta(view: View, row: int) -> float:
    """What a term of the gradient is multiplied with in Adam's first moment; recovered gradients have it taken out."""
    tensor = view.layout.tensors[row]
    if tensor.kind == "grad" or state_key(view, row) != "exp_avg":
        return 1.0
    betas = view.pair.a.settings.get(tensor.owner, {}).get("betas") or (0.9,)
    return 1.0 - float(betas[0])


def _who_decays(view: View, rows: Rows) -> str:
    """The run whose weights end up smaller, where the weights of this dump tell."""
    found = [view.row("weight", view.layout.tensors[int(r)].owner) for r in rows]
    known = [i for i in found if i is not None]
    slant = float(view.pair.sums["ds"][known].sum()) if known else 0.0
    return "" if not slant else f" (larger in {'B' if slant > 0 else 'A'})"


def _share(view: View, before: View, rows: Rows, partners: Sequence[int | None]) -> float | None:
    """||d|| over the norm that a partner had a step before, where one factor fits all."""
    found = [(int(r), p) for r, p in zip(rows, partners, strict=True) if p is not None]
    if not found:
        return None
    ours, theirs = (np.array(x) for x in zip(*found, strict=True))
    with np.errstate(all="ignore"):
        return one_factor(np.sqrt(view.pair.sums["dd"][ours] / before.pair.sums["aa"][theirs]))


def _momentum(view: View, before: View | None, rows: Sequence[int]) -> Reason | None:
    """mu * buffer + g: the difference is as long as a fixed share of the buffer before the step."""
    rows = [r for r in rows if state_key(view, r) == "momentum_buffer"]
    if before is None or not rows:
        return None
    chosen = meaningful(view, rows)
    share = _share(view, before, chosen, [before.row("optimizer", view.layout.tensors[int(r)].name) for r in chosen])
    if share is None:
        return None
    clause = (
        f"momentum buffers differ by {figure(share)} times the buffers before, in {many(len(chosen), 'tensor')} "
        f"alike: momentum differs by {figure(share)}"
    )
    return Reason(clause, {"momentum_difference": share})


def _betas(view: View, rows: Sequence[int]) -> Reason | None:
    """A moment that is a multiple of the other run's."""
    for key, meaning in (("exp_avg", "beta1 differs, or the gradient's scale"),
                         ("exp_avg_sq", "beta2 differs, or the gradient's scale"),
                         ("momentum_buffer", "dampening differs, or the gradient's scale")):  # fmt: skip
        chosen = [r for r in rows if state_key(view, r) == key]
        reason = common_factor(view, chosen, f"{key}s", meaning) if chosen else None
        if reason:
            return reason
    return None
