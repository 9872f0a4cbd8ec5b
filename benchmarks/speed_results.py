"""What the runs showed: pure functions over the rows that the workers wrote."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from speed_tools import Sample


@dataclass(frozen=True, slots=True)
class Row:
    """One model under one tool; an error instead of a sample where the tool failed."""

    model: str
    sample: Sample | None = None
    published_gmacs: float = math.nan
    error: str = ""

    @property
    def off(self) -> float | None:
        """Counted over published MACs."""
        if self.sample is None or self.sample.macs is None:
            return None
        return self.sample.macs / 1e9 / self.published_gmacs


@dataclass(frozen=True, slots=True)
class ToolRun:
    """One tool over all models."""

    name: str
    rows: tuple[Row, ...] = ()
    import_s: float = 0.0
    peak_bytes: int = 0
    missing: str = ""
    rounds: int = 1
    spread: float = 1.0  # the slowest round's seconds over the fastest's

    @property
    def samples(self) -> dict[str, Sample]:
        """What worked, by model."""
        return {row.model: row.sample for row in self.rows if row.sample is not None}

    @property
    def failed(self) -> tuple[Row, ...]:
        """The models at which the tool failed."""
        return tuple(row for row in self.rows if row.sample is None)

    @property
    def seconds(self) -> float:
        """All models that worked, building included, imports not."""
        return sum(s.seconds for s in self.samples.values())

    def part(self, name: str) -> float:
        """One part (``build_s``, ``forward_s``, ``rest_s``) summed over the models that worked."""
        return sum(getattr(s, name) for s in self.samples.values())

    def within(self, tolerance: float) -> int:
        """How many models are that close to the published figure."""
        return sum(row.off is not None and abs(row.off - 1) <= tolerance for row in self.rows)

    @property
    def worst(self) -> Row | None:
        """The model furthest from its published figure, by factor."""
        known = [row for row in self.rows if row.off is not None]
        return max(known, key=_distance, default=None)

    @property
    def partial(self) -> int:
        """How many figures the tool itself calls incomplete."""
        return sum(s.partial for s in self.samples.values())


def _distance(row: Row) -> float:
    return abs(math.log(row.off)) if row.off else math.inf


@dataclass(frozen=True, slots=True)
class Results:
    """Every tool's run."""

    runs: dict[str, ToolRun] = field(default_factory=dict)

    def ratio(self, name: str, part: str = "seconds", over: str = "modelcmp") -> float | None:
        """How many times as long as another tool, over the models at which both worked."""
        if name not in self.runs or over not in self.runs:
            return None
        mine, theirs = self.runs[name].samples, self.runs[over].samples
        both = mine.keys() & theirs.keys()
        below = sum(getattr(theirs[m], part) for m in both)
        return sum(getattr(mine[m], part) for m in both) / below if below else None


def merged(rounds: Iterable[ToolRun]) -> ToolRun:
    """Several rounds of one tool as one: the median of every time, the highest peak."""
    runs = list(rounds)
    first = runs[0]
    if len(runs) == 1 or first.missing:
        return first
    rows = tuple(_merged_row(row, [run.samples.get(row.model) for run in runs]) for row in first.rows)
    return ToolRun(
        first.name,
        rows,
        median(run.import_s for run in runs),
        max(run.peak_bytes for run in runs),
        rounds=len(runs),
        spread=max(run.seconds for run in runs) / (min(run.seconds for run in runs) or math.inf),
    )


def _merged_row(row: Row, samples: list[Sample | None]) -> Row:
    known = [s for s in samples if s is not None]
    if row.sample is None or not known:
        return row
    times = {part: median(getattr(s, part) for s in known) for part in ("build_s", "forward_s", "rest_s")}
    return Row(row.model, Sample(row.sample.macs, row.sample.partial, **times), row.published_gmacs)
