"""Data of the picture of measured times: predicted against measured where there are predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...measuring.results import BenchFailure, BenchResult

#: A prediction within this factor of the measurement lies in the band.
BAND = 2.0


@dataclass(frozen=True, slots=True)
class Mark:
    """One measured row."""

    name: str
    batch_size: int
    dtype: str
    measured_ms: float
    p5_ms: float
    p95_ms: float
    predicted_ms: float | None

    @property
    def ratio(self) -> float | None:
        """Predicted over measured."""
        return None if self.predicted_ms is None else self.predicted_ms / self.measured_ms


@dataclass(frozen=True, slots=True)
class Measured:
    """Every row that was measured; with ``predicted`` only those that have a prediction."""

    marks: tuple[Mark, ...]
    predicted: bool
    left_out: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Models, each once."""
        return tuple(dict.fromkeys(m.name for m in self.marks))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Types, each once."""
        return tuple(dict.fromkeys(m.dtype for m in self.marks))

    @property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes, each once."""
        return tuple(dict.fromkeys(m.batch_size for m in self.marks))

    @property
    def in_band(self) -> int:
        """How many predictions lie within a factor of BAND."""
        return sum(1 for m in self.marks if m.ratio is not None and 1 / BAND <= m.ratio <= BAND)

    def label(self, mark: Mark) -> str:
        """The model, and what tells its rows apart."""
        batch = [f"batch {mark.batch_size}"] if len(self.batches) > 1 else []
        return ", ".join([mark.name, *batch, *([mark.dtype] if len(self.dtypes) > 1 else [])])


def measured(outcomes: Sequence[BenchResult | BenchFailure]) -> Measured:
    """The picture of what was measured; failures are left out and named."""
    results = [o for o in outcomes if isinstance(o, BenchResult)]
    predicted = any(r.prediction for r in results)
    shown = [r for r in results if r.prediction or not predicted]
    left_out = [o.name for o in outcomes if o not in shown]
    marks = (
        Mark(r.name, r.batch_size, r.dtype, r.latency_ms, r.p5_ms, r.p95_ms, r.predicted_ms) for r in shown
    )  # fmt: skip
    return Measured(tuple(marks), predicted, tuple(dict.fromkeys(left_out)))
