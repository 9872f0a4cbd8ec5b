"""What trained models are ranked by, their order, and their figures as rows.

RANK_KEYS is the one registry: ``rank --by``, the tables and the columns of the summary files derive from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .. import units
from ..errors import UnknownName
from ..ranking import awarded
from ..registry import Registry, suggest
from .results import RunResult

Row = dict[str, Any]
Unit = Literal["share", "loss", "scaled", "bytes", "seconds", "milliseconds", "rate", "count"]
#: States in which a figure says nothing of what the model can do.
BROKEN = ("diverged", "failed")
DEFAULT_KEY = "val_accuracy"

_WRITERS: dict[Unit, Callable[[float], str]] = {
    "share": units.share,
    "loss": lambda v: f"{v:.4f}" if v == 0 or 1e-3 <= v < 100 else f"{v:.2e}" if v < 1e-3 else units.plain(v),
    "scaled": units.scaled,
    "bytes": lambda v: units.scaled(v, "B"),
    "seconds": units.seconds,
    "milliseconds": units.milliseconds,
    "rate": lambda v: f"{units.scaled(v)}/s",
    "count": units.count,
}


@dataclass(frozen=True, slots=True)
class RankKey:
    """One figure of a trained model: how it is found, written and ordered."""

    key: str
    label: str
    short: str  # heading of a table
    better: Literal["high", "low"] | None
    unit: Unit
    get: Callable[[RunResult], Any]
    alias: str = ""
    split: Literal["val", "test"] | None = None
    figure: str = ""  # its key in what ``evaluate`` found on that split

    def value(self, result: RunResult) -> float | None:
        """The figure in base units; None where it is unknown or not finite."""
        found = self.get(result)
        return found if isinstance(found, int | float) and math.isfinite(found) else None

    def interval(self, result: RunResult) -> tuple[float, float] | None:
        """The ends of its bootstrap interval, None without one."""
        evaluated = getattr(result, self.split) if self.split else None
        ends = ((evaluated or {}).get("intervals") or {}).get(self.figure)
        return (float(ends[0]), float(ends[1])) if ends else None

    def text(self, result: RunResult) -> str:
        """The figure as a terminal shows it."""
        return self.written(self.value(result))

    def written(self, value: float | None) -> str:
        """A value of this figure, such as a mean of several, as a terminal shows it."""
        return units.UNKNOWN if value is None else _WRITERS[self.unit](value)

    def text_with_interval(self, result: RunResult) -> str:
        """The same, with half of its interval behind it: ``96.0 ±1.2 %``."""
        ends, value = self.interval(result), self.value(result)
        if ends is None or value is None:
            return self.text(result)
        half = (ends[1] - ends[0]) / 2
        return f"{100 * value:.1f} ±{100 * half:.1f} %" if self.unit == "share" else f"{self.text(result)} ±{half:.2g}"


RANK_KEYS: Registry[RankKey] = Registry("rank key")

_EVALUATED: tuple[tuple[str, str, str, Literal["high", "low"], Unit], ...] = (
    ("accuracy", "accuracy", "acc", "high", "share"),
    ("loss", "loss", "loss", "low", "loss"),
    ("top5", "top-5 accuracy", "top-5", "high", "share"),
    ("precision", "precision", "precision", "high", "share"),
    ("recall", "recall", "recall", "high", "share"),
    ("f1", "F1", "F1", "high", "share"),
    ("auc", "AUC", "AUC", "high", "share"),
    ("average_precision", "average precision", "AP", "high", "share"),
    ("calibration_error", "calibration error", "ECE", "low", "share"),
    ("brier", "Brier score", "Brier", "low", "loss"),
)
_SPLITS: tuple[tuple[Literal["val", "test"], str], ...] = (("val", "Validation"), ("test", "Test"))


def _add_evaluated() -> None:
    """The figures of both splits."""
    for split, word in _SPLITS:
        for figure, label, short, better, unit in _EVALUATED:
            key = f"{split}_{figure}"
            alias = "calibration" if key == "test_calibration_error" else ""
            get = _Found(split, figure)
            made = RankKey(
                key, f"{word} {label}", f"{split.capitalize()} {short}", better, unit, get, alias, split, figure
            )
            RANK_KEYS.add(key, made)


@dataclass(frozen=True, slots=True)
class _Found:
    """A figure of what was evaluated on a split."""

    split: Literal["val", "test"]
    figure: str

    def __call__(self, result: RunResult) -> Any:
        evaluated: Mapping[str, Any] | None = getattr(result, self.split)
        return (evaluated or {}).get(self.figure)


def _throughput(result: RunResult) -> float | None:
    """Samples a second at the largest batch that was timed."""
    timed = {int(size): ms for size, ms in result.latency_ms.items()}
    return max(timed) / timed[max(timed)] * 1e3 if timed and timed[max(timed)] else None


_add_evaluated()
for _key in (
    RankKey("params", "Parameters", "Params", "low", "scaled", lambda r: r.params),
    RankKey("trainable_params", "Trainable parameters", "Trainable", "low", "scaled", lambda r: r.trainable_params),
    RankKey("flops_per_epoch", "FLOPs per epoch", "FLOPs/epoch", "low", "scaled", lambda r: r.flops_per_epoch),
    RankKey("train_seconds", "Training time", "Train time", "low", "seconds", lambda r: r.train_seconds),
    RankKey("samples_per_second", "Training throughput", "Trained/s", "high", "rate", lambda r: r.samples_per_second),
    RankKey("peak_memory_bytes", "Peak memory", "Memory", "low", "bytes", lambda r: r.peak_memory_bytes),
    RankKey(
        "latency_ms", "Latency at batch 1", "Latency", "low", "milliseconds", lambda r: r.latency_ms.get("1"), "latency"
    ),
    RankKey("throughput", "Inference at the largest batch", "Infer/s", "high", "rate", _throughput),
    RankKey("best_epoch", "Best epoch", "Best at", None, "count", lambda r: r.best_epoch),
    RankKey("epochs", "Epochs trained", "Epochs", None, "count", lambda r: r.epochs),
    RankKey("steps", "Steps trained", "Steps", None, "count", lambda r: r.steps),
):
    RANK_KEYS.add(_key.key, _key)


def check_key(name: str) -> RankKey:
    """The entry of a key or alias that models can be ordered by; raises UnknownName with what was probably meant."""
    wanted = name.strip().lower().replace("-", "_")
    usable = [entry for entry in RANK_KEYS.values() if entry.better is not None]
    for entry in usable:
        if wanted and wanted in (entry.key, entry.alias):
            return entry
    names = [n for entry in usable for n in (entry.key, entry.alias) if n]
    ends = [entry.key for entry in usable if entry.figure and entry.figure == wanted]
    hint = f"write {' or '.join(ends)}" if ends else suggest(wanted, names)
    raise UnknownName("rank key", name, hint)


# -- order ----------------------------------------------------------------------------------------


def chosen_key(results: Sequence[RunResult], by: str | None) -> RankKey:
    """The entry of ``by``; without it what chose the epochs, where all runs agree, else val_accuracy."""
    selectors = {r.selected_by for r in results}
    fallback = selectors.pop() if len(selectors) == 1 else DEFAULT_KEY
    return check_key(by or fallback)


def rank_runs(results: Sequence[RunResult], by: str | None = "val_accuracy") -> list[RunResult]:
    """Best first, then those whose figure is unknown, then what diverged or failed: nothing is dropped.

    Equal values keep the order in which they were given. Raises UnknownName.
    """
    entry = chosen_key(results, by)

    def place(result: RunResult) -> tuple[int, float]:
        value = ranked_value(result, entry)
        if value is None:
            return (2 if result.status in BROKEN else 1), 0.0
        return 0, -value if entry.better == "high" else value

    return sorted(results, key=place)


def ranked_value(result: RunResult, entry: RankKey) -> float | None:
    """The figure that a run is ranked by; None for one that diverged or failed, whatever it reached before."""
    return None if result.status in BROKEN else entry.value(result)


def run_medals(results: Sequence[RunResult], by: str | None = "val_accuracy") -> dict[int, str]:
    """Medal of each of the best three, by position in ``results``; equal values share one. Raises UnknownName."""
    entry = chosen_key(results, by)
    return awarded([ranked_value(r, entry) for r in results], entry.better)


def run_places(results: Sequence[RunResult], by: str | None = "val_accuracy") -> list[int | None]:
    """Place of each run, from 1, equal values sharing the better one; None where it has none. Raises UnknownName."""
    entry = chosen_key(results, by)
    values = [ranked_value(r, entry) for r in results]
    order = sorted((v for v in values if v is not None), reverse=entry.better == "high")
    return [None if v is None else 1 + order.index(v) for v in values]


def unique_names(results: Sequence[RunResult]) -> list[str]:
    """What to call each run: its name, numbered where runs of several workspaces share it.

    >>> unique_names([RunResult(n, n, "finished") for n in ("cnn", "vit", "cnn")])
    ['cnn', 'vit', 'cnn (2)']
    """
    seen: dict[str, int] = {}
    names = []
    for result in results:
        seen[result.name] = seen.get(result.name, 0) + 1
        names.append(result.name if seen[result.name] == 1 else f"{result.name} ({seen[result.name]})")
    return names


# -- rows -----------------------------------------------------------------------------------------


def summary_rows(results: Sequence[RunResult], by: str | None = "val_accuracy") -> list[Row]:
    """One row a run, best first: every figure unrounded in base units, intervals as ``_low`` and ``_high``.

    Keys are those of RANK_KEYS beside ``place``, ``name``, ``model``, ``status``, ``message`` and latencies of
    further batch sizes. Raises UnknownName.
    """
    ordered = rank_runs(results, by)
    places = run_places(ordered, by)
    sizes = sorted({int(size) for r in ordered for size in r.latency_ms})
    rows = []
    for name, place, r in zip(unique_names(ordered), places, ordered, strict=True):
        row: Row = {"place": place, "name": name, "model": r.model, "status": r.status, "message": r.message}
        for entry in RANK_KEYS.values():
            row |= _with_interval(entry, r)
        row |= {f"latency_ms_batch_{size}": r.latency_ms.get(str(size)) for size in sizes}
        rows.append(row | {"selected_by": r.selected_by})
    return rows


def _with_interval(entry: RankKey, result: RunResult) -> Row:
    """The figure, and the ends of its interval where its kind has one."""
    found: Row = {entry.key: entry.value(result)}
    if entry.split and entry.figure != "top5":
        low, high = entry.interval(result) or (None, None)
        found |= {f"{entry.key}_low": low, f"{entry.key}_high": high}
    return found
