"""How well predicted times agree with published ones: scores, baselines, fits, bounds, and what is furthest off.

Nothing here looks at a model's name: what is said about a row is computed from its kernels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import mean
from typing import NamedTuple

import numpy as np
from latency_data import Published, Row, Table
from scipy.optimize import least_squares
from scipy.stats import kendalltau

from modelcmp.hardware.catalogue import find
from modelcmp.hardware.columns import Array, columns_of
from modelcmp.hardware.device import Device
from modelcmp.hardware.efficiency import Efficiencies
from modelcmp.hardware.fitting import fit, predicted_seconds
from modelcmp.hardware.latency import timed
from modelcmp.kernels import Kernel

SAMPLE = 50  # models that a fit of few is given
SEEDS = 10
#: A measured time this much below the strict bound is no noise: the published tables repeat within 1 % or so.
NOISE = 0.02
_TINY = 16  # rows and columns of a product that no matrix unit is filled by
_NOTICEABLE = 0.05  # share of the predicted time


class Score(NamedTuple):
    """Kendall's tau over times of an image; the median and the 90th percentile of |predicted / measured − 1|."""

    tau: float
    median: float
    p90: float


class Spread(NamedTuple):
    """Several scores of one kind."""

    scores: tuple[Score, ...]

    def of(self, name: str) -> tuple[float, float, float]:
        """Mean, least and most of a figure."""
        values = [getattr(score, name) for score in self.scores]
        return mean(values), min(values), max(values)


class Data(NamedTuple):
    """A table in the form that scoring takes."""

    table: Table
    seconds: Array
    per_image: Array

    @property
    def device(self) -> Device:
        """Where it was measured."""
        return find(self.table.conditions.device)

    def predicted(self, coefficients: Efficiencies) -> Array:
        """Seconds of each row."""
        return predicted_seconds(self.table.measured(), coefficients)

    def score(self, coefficients: Efficiencies, which: Sequence[int] | None = None) -> Score:
        """Of the rows, or of those of these positions."""
        chosen = np.arange(len(self.seconds)) if which is None else np.asarray(which)
        times = self.predicted(coefficients) / self.seconds * self.per_image
        return scored(times[chosen], self.per_image[chosen])


def data_of(table: Table) -> Data:
    """Seconds of the batches and of an image."""
    seconds = np.array([row.published.seconds for row in table.rows])
    return Data(table, seconds, seconds / [row.published.batch_size for row in table.rows])


def scored(predicted: Array, measured: Array) -> Score:
    """Compare times of an image.

    >>> scored(np.array([1.0, 2.2, 3.0]), np.array([1.0, 2.0, 4.0]))
    Score(tau=1.0, median=0.1, p90=0.22)
    """
    off = np.abs(predicted / measured - 1)
    tau = float(kendalltau(predicted, measured).statistic)
    return Score(tau, round(float(np.median(off)), 6), round(float(np.percentile(off, 90)), 6))


# -- baselines --------------------------------------------------------------------------------------


def baselines(data: Data) -> dict[str, Score]:
    """Published MACs, activations and the best fit of both; a figure alone is scaled to the measured times."""
    figures = np.array([row.published.figures for row in data.table.rows])
    macs, activations = figures[:, 0] + 1e-4, figures[:, 1] + 1e-4  # some are printed as 0.00
    return {
        "MACs alone, scaled": _scaled(macs, data.per_image),
        "activations alone, scaled": _scaled(activations, data.per_image),
        "a + b · MACs + c · activations, fitted": three_coefficients(macs, activations, data.per_image),
    }


def _scaled(figure: Array, measured: Array) -> Score:
    return scored(figure * np.median(measured / figure), measured)


def three_coefficients(macs: Array, activations: Array, measured: Array) -> Score:
    """Robust least squares on the logarithm, no coefficient negative, on the rows that are scored."""
    sizes = np.stack([np.full_like(macs, np.median(macs)), macs, activations])

    def predicted(x: Array) -> Array:
        total: Array = np.exp(x) @ sizes
        return total

    start = np.log(np.median(measured / sizes, axis=1) / 3)
    found = least_squares(lambda x: np.log(predicted(x) / measured), start, loss="soft_l1", f_scale=0.05)
    return scored(predicted(found.x), measured)


# -- fits -------------------------------------------------------------------------------------------


def few(data: Data, prior: Efficiencies | None, stiffness: float = 0.3, seeds: int = SEEDS) -> Spread:
    """Fits to a few random models, each scored on all others."""
    found = []
    for seed in range(seeds):
        chosen = np.random.default_rng(seed).choice(len(data.seconds), SAMPLE, replace=False)
        rest = np.setdiff1d(np.arange(len(data.seconds)), chosen)
        found.append(data.score(fit([data.table.measured(chosen)], prior=prior, stiffness=stiffness), rest))
    return Spread(tuple(found))


# -- the strict bound -------------------------------------------------------------------------------


class Bounded(NamedTuple):
    """A published row beside its strict bound."""

    published: Published
    strict_s: float
    profiled: bool  # False: the bound is of the published figures, as today's model is another

    @property
    def share(self) -> float:
        """Bound over measured time: above 1 the measurement is faster than the machine can be."""
        return self.strict_s / self.published.seconds


def bounded(table: Table) -> list[Bounded]:
    """All published rows, those included that could not be profiled, the closest to the bound first."""
    device = find(table.conditions.device)
    rows = [Bounded(row.published, row.strict_s, True) for row in table.rows]
    rows += [Bounded(row, bound_of_figures(row, device), False) for row, _ in table.left_out]
    return sorted(rows, key=lambda row: -row.share)


def bound_of_figures(row: Published, device: Device) -> float:
    """The strict bound of published MACs and parameters, in half precision: no traffic but the weights is known."""
    compute = 2e9 * row.figures.gmacs * row.batch_size / device.peak_flops("fp16")
    return max(compute, 2e6 * row.figures.params / device.bandwidth_bytes_s)


def violations(rows: Sequence[Bounded], noise: float = NOISE) -> list[Bounded]:
    """Those that were measured to be faster than their bound, by more than noise."""
    return [row for row in rows if row.share > 1 + noise]


# -- the worst --------------------------------------------------------------------------------------


class Off(NamedTuple):
    """A row whose predicted time is far from the measured one."""

    row: Row
    predicted_s: float
    shares: tuple[tuple[str, float], ...]  # of the predicted time, by kind of kernel, largest first
    remarks: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted_s / self.row.published.seconds


def worst(data: Data, coefficients: Efficiencies, count: int = 20) -> list[Off]:
    """The rows that are furthest off, by the logarithm of predicted over measured."""
    predicted = data.predicted(coefficients)
    order = np.argsort(-np.abs(np.log(predicted / data.seconds)), kind="stable")[:count]
    return [_off(data.table.rows[i], float(predicted[i]), data.device, coefficients) for i in order]


def _off(row: Row, predicted: float, device: Device, coefficients: Efficiencies) -> Off:
    times = timed(columns_of([row.kernels]), device, coefficients).total
    taken = times * [kernel.calls for kernel in row.kernels]
    shares: Counter[str] = Counter()
    for kernel, seconds in zip(row.kernels, taken.tolist(), strict=True):
        shares[kernel.kind] += seconds / predicted
    return Off(row, predicted, tuple(shares.most_common()), tuple(remarks(row, taken / predicted)))


def remarks(row: Row, shares: Array) -> Iterator[str]:
    """What is unusual about a row's kernels, each with its share of the predicted time."""
    for about, matches in _UNUSUAL.items():
        if any(found := [matches(kernel, row) for kernel in row.kernels]):
            share = float(shares[np.array(found)].sum())
            calls = sum(kernel.calls for kernel, it in zip(row.kernels, found, strict=True) if it)
            if share >= _NOTICEABLE or about in _ODD:
                yield f"{calls} {about} ({100 * share:.0f} %)"


def _tiny_product(kernel: Kernel, _: Row) -> bool:
    return kernel.kind in ("gemm", "conv1x1") and 1 < kernel.n <= _TINY and 1 < kernel.k <= _TINY


def _group_a_sample(kernel: Kernel, row: Row) -> bool:
    """The batch is folded into the groups, so the product's rows are pixels of one sample."""
    size = row.published.batch_size
    return kernel.kind == "grouped_conv" and size > 1 and kernel.batch % size == 0 and kernel.m % size > 0


def _odd_width(kernel: Kernel, _: Row) -> bool:
    return kernel.kind == "batch_norm" and kernel.n % 2 == 1


_TINY_PRODUCTS = "products over 16 channels or fewer"
_CONV3D = "3-D convolutions"
_PER_SAMPLE = "convolutions per sample"
_ODD = (_TINY_PRODUCTS, _CONV3D, _PER_SAMPLE)  # told however little time they are predicted to take
_UNUSUAL: dict[str, Callable[[Kernel, Row], bool]] = {
    _TINY_PRODUCTS: _tiny_product,
    _CONV3D: lambda kernel, _: kernel.op == "aten.conv3d",
    _PER_SAMPLE: _group_a_sample,
    "steps of attention in parts": lambda k, _: k.op.endswith("dot_product_attention") and "attention" not in k.kind,
    "casts": lambda kernel, _: kernel.kind == "cast",
    "pointwise operations in fp32": lambda k, _: k.kind.endswith("pointwise") and k.dtype == "fp32",
    "norms in fp32": lambda kernel, _: kernel.kind == "row_norm" and kernel.dtype == "fp32",
    "large depthwise convolutions": lambda kernel, _: kernel.kind == "depthwise" and kernel.k > 25,
    "grouped convolutions": lambda kernel, _: kernel.kind == "grouped_conv",
    "batch norms over rows of odd length": _odd_width,
    "concatenations and copies": lambda kernel, _: kernel.kind == "move",
}
