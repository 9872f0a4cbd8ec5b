"""Which models of a comparison are shown, and in what order: --join, --where, --pareto, --sort-by, --top."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelcmp.comparison import Comparison
    from modelcmp.joining import Joined
    from modelcmp.metrics import Metric
    from modelcmp.where import Condition


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for, read and checked before anything is profiled."""

    tables: tuple[Joined, ...]
    condition: Condition | None
    axes: tuple[Metric, ...]
    by: Metric | None
    reverse: bool
    front_only: bool
    top: int | None
    columns: tuple[Metric, ...] | None

    def narrowed(self, everyone: Comparison, remark: Callable[[str], None]) -> Comparison:
        """Joined, filtered, with the front marked and in order."""
        found = everyone
        for table in self.tables:
            found = found.join(table, remark)
        if self.condition is not None:
            found = found.where(self.condition)
        if self.axes:
            found = found.pareto(self.axes)
        return found.sorted(self.by, self.reverse) if self.by else found

    def shown(self, narrowed: Comparison) -> Comparison:
        """The part of a narrowed comparison that a table shows."""
        from dataclasses import replace

        found = replace(narrowed, profiles=narrowed.front) if self.front_only else narrowed
        return found.top(self.top) if self.top is not None else found

    @property
    def named(self) -> list[Metric]:
        """Metrics that order, filter or rank: a table shows them unasked."""
        from modelcmp.comparison import IDENTITY

        names = [n for n in (self.condition.names if self.condition else ()) if n not in IDENTITY]
        found = [*self.axes, *([self.by] if self.by else []), *(self.find(name) for name in names)]
        return list({m.key: m for m in found}.values())

    def find(self, name: str) -> Metric:
        """The metric or joined column of a name; raises UnknownName."""
        from modelcmp.metrics import find

        return find(name, [column for table in self.tables for column in table.columns])

    def summary(self, everyone: Comparison, narrowed: Comparison, shown: Comparison) -> list[str]:
        """How many models are left, and what the front is of."""
        lines = []
        if len(shown) < len(everyone):
            passing = f", {len(narrowed)} of them with {self.condition.text}" if self.condition else ""
            lines.append(f"{len(shown)} models shown of {len(everyone)} profiled{passing}")
        if self.axes:
            axes = ", ".join(f"{m.key} {m.better}" for m in self.axes)
            known = sum(all(p.values.get(m.key) is not None for m in self.axes) for p in narrowed)
            unknown = f"; {len(narrowed) - known} without a figure left out" if known < len(narrowed) else ""
            lines.append(f"◆ Pareto front ({axes}): {len(narrowed.front)} of {known} models{unknown}")
        return lines


def read_choice(
    *,
    join: list[Path] | None = None,
    where: str | None = None,
    pareto: str | None = None,
    sort_by: str | None = None,
    reverse: bool = False,
    front_only: bool = False,
    top: int | None = None,
    columns: str | None = None,
) -> Choice:
    """Read the options; raises UsageError."""
    from modelcmp.comparison import Comparison
    from modelcmp.errors import BadInput
    from modelcmp.pareto import parse_axes

    tables = _read_tables(join or [])
    known = Comparison(())
    for table in tables:
        known = known.join(table)
    axes = parse_axes(pareto, known.find) if pareto is not None else ()
    if front_only and not axes:
        raise BadInput("--front-only shows the front of --pareto: add --pareto top1:macs")
    by = known.find(sort_by) if sort_by is not None else axes[0] if axes else None
    return Choice(tables, known.condition(where) if where is not None else None, axes, by, reverse, front_only, top,
                  _columns(columns, known) if columns is not None else None)  # fmt: skip


def _read_tables(paths: list[Path]) -> tuple[Joined, ...]:
    if not paths:
        return ()
    from modelcmp.joining import read_joined

    return tuple(read_joined(path) for path in paths)


def _columns(text: str, known: Comparison) -> tuple[Metric, ...]:
    """The chosen metrics, each once; raises UnknownName or BadInput."""
    from modelcmp.errors import BadInput

    chosen = [known.find(name) for name in text.split(",") if name.strip()]
    if not chosen:
        raise BadInput("--columns names no metric: write --columns params,macs,ai")
    return tuple(dict.fromkeys(chosen))
