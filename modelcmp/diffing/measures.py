"""The measures of how two tensors differ, from sums over their elements.

All are for the places where both tensors are finite; NaN and infinities are counted apart. Unknown or undefined is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .sums import Array, Sums

Columns = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Measure:
    """One column: its key in files, and what it means."""

    key: str
    label: str
    meaning: str


#: Every column that files, tables and pictures know, in their order.
MEASURES = (
    Measure("elements", "elements", "numbers in the tensor"),
    Measure("l2", "L2", "‖a − b‖, summed in float64"),
    Measure("relative_l2", "rel. L2", "‖a − b‖ / max(‖a‖, ‖b‖); 0 where both are zero"),
    Measure("cosine", "cosine", "⟨a, b⟩ / (‖a‖ ‖b‖); undefined where a norm is zero"),
    Measure("angle_rad", "angle", "2 atan2(‖u − v‖, ‖u + v‖) of the unit vectors, in radians: what 1 − cosine loses"),
    Measure("max_abs", "max |a − b|", "the largest absolute difference"),
    Measure("max_index", "at", "its place in the flattened tensor of A"),
    Measure("equal_share", "equal", "share of places with the same number (+0 = −0)"),
    Measure("ulp_median", "ULP median", "median distance in representable numbers; exact below 64, else within 1.6 %"),
    Measure("ulp_max", "ULP max", "largest distance in representable numbers of the stored type"),
    Measure("a_norm", "‖a‖", "norm in A"),
    Measure("b_norm", "‖b‖", "norm in B"),
    Measure("nan_a", "NaN in A", "places that are NaN in A"),
    Measure("nan_b", "NaN in B", "places that are NaN in B"),
    Measure("inf_a", "Inf in A", "infinite places in A"),
    Measure("inf_b", "Inf in B", "infinite places in B"),
    Measure("distance_a", "moved A", "‖a_t − a_0‖ since the first dump"),
    Measure("distance_b", "moved B", "‖b_t − b_0‖ since the first dump"),
    Measure("update_cosine", "update cos", "cosine of a_t − a_0 and b_t − b_0"),
    Measure("per_distance", "L2 / moved", "‖a_t − b_t‖ / ‖a_t − a_0‖"),
)


def derive(sums: Sums) -> Columns:
    """The columns of MEASURES from sums; arrays of shape (rows,)."""
    with np.errstate(all="ignore"):
        return {key: values.astype(np.float64) for key, values in _derive(sums).items()}


def _derive(s: Sums) -> Columns:
    some = np.where((s["measured"] == 0) & (s["elements"] > 0), np.nan, 1.0)  # nothing finite: no length, not 0
    a, b, l2 = (some * np.sqrt(s[key]) for key in ("aa", "bb", "dd"))
    cosine, angle = _directions(s, a, b)
    moved_a, moved_b = np.sqrt(s["uu"]), np.sqrt(s["vv"])
    return {
        "elements": s["elements"], "l2": l2, "relative_l2": _share(l2, np.maximum(a, b)),
        "cosine": cosine, "angle_rad": angle, "max_abs": s["max_abs"], "max_index": s["max_index"],
        "equal_share": np.where(s["elements"] == 0, 1.0, s["equal"] / s["elements"]),
        "ulp_median": s["ulp_median"], "ulp_max": s["ulp_max"], "a_norm": a, "b_norm": b,
        "nan_a": s["nan_a"], "nan_b": s["nan_b"], "inf_a": s["inf_a"], "inf_b": s["inf_b"],
        "distance_a": moved_a, "distance_b": moved_b,
        "update_cosine": np.clip(s["uv"] / (moved_a * moved_b), -1, 1),
        "per_distance": l2 / np.where(moved_a == 0, np.nan, moved_a),
    }  # fmt: skip


def _share(part: Array, whole: Array) -> Array:
    """part / whole, and 0 of nothing."""
    return np.where(whole == 0, np.where(np.isnan(part), np.nan, 0.0), part / whole)


def _directions(s: Sums, a: Array, b: Array) -> tuple[Array, Array]:
    """Cosine and angle, right near 0, near 1 and near -1.

    Where the vectors are nearly parallel, the angle comes from unit vectors u, v: |u - v|^2 = (|a - b|^2 -
    (|a| - |b|)^2) / (|a| |b|), with <a - b, a + b> / (|a| + |b|) for |a| - |b|: every term is summed from differences,
    so that nothing cancels (Kahan, *How Futile are Mindless Assessments of Roundoff*, 2006, on angles).
    """
    product = np.where(a * b == 0, np.nan, a * b)
    cosine = np.clip(s["ab"] / product, -1, 1)
    slant = (s["ds"] / (a + b)) ** 2
    apart = np.sqrt(np.maximum(s["dd"] - slant, 0) / product)
    together = np.sqrt(np.maximum(s["ss"] - slant, 0) / product)
    return cosine, np.where(np.abs(cosine) < 0.9, np.arccos(cosine), 2 * np.arctan2(apart, together))
