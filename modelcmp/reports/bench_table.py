"""Measured times as terminal tables, rows and Markdown, predictions beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table

from .. import __version__, units
from ..errors import UnknownName
from ..measuring.predicted import calibrated_threads
from ..measuring.results import OUT_OF_MEMORY, BenchFailure, BenchResult
from ..measuring.samples import BUSY_ABOVE_PCT
from ..registry import suggest
from ..tabular import Row
from .export import SCHEMA, markdown_table
from .tables import NAME_WIDTH, Column, split_tables

Outcome = BenchResult | BenchFailure

#: What ``--sort-by`` takes: the figure, and whether more of it is better.
SORTS: dict[str, tuple[Callable[[BenchResult], float], bool]] = {
    "latency": (lambda r: r.latency_ms, False),
    "throughput": (lambda r: r.throughput, True),
    "memory": (lambda r: r.peak_memory_bytes, False),
}
#: Heads of the table where there is room, and where there is less.
_WIDE = ("Batch", "Dtype", "Median ms", "p5–p95", "Samples/s", "Peak mem", "Predicted ms", "Ratio")
_NARROW = ("Setting", "ms", "p5–p95", "Per s", "Memory", "Pred.", "Ratio")
_SHORTER = {OUT_OF_MEMORY: "no memory"}
CONVENTIONS = {
    "latency_ms": "median time of one forward pass of the whole batch",
    "p5_ms, p95_ms": "5th and 95th percentile of the samples; one is a run, or the mean of a block of short runs",
    "throughput": "batch size over the median, samples a second",
    "spread": "(p95 - p5) / median",
    "peak_memory_bytes": "weights, inputs and the most that torch's allocator held besides during one forward pass",
    "predicted_ratio": "predicted over measured: below 1 the prediction is too fast",
}


def check_sort(name: str | None) -> None:
    """Refuse an unknown sort key; raises UnknownName."""
    if name is not None and name not in SORTS:
        raise UnknownName("sort key", name, suggest(name, SORTS))


def ordered(outcomes: Sequence[Outcome], sort_by: str | None) -> list[Outcome]:
    """Best first, failures at the end; as they were without a key."""
    if sort_by is None:
        return list(outcomes)
    figure, more = SORTS[sort_by]
    results = [o for o in outcomes if isinstance(o, BenchResult)]
    failures = [o for o in outcomes if isinstance(o, BenchFailure)]
    return [*sorted(results, key=figure, reverse=more), *failures]


def ms_text(ms: float | None) -> str:
    """Write milliseconds with three significant digits.

    >>> ms_text(12.345), ms_text(0.01234), ms_text(12345.6), ms_text(None)
    ('12.3', '0.0123', '12346', '-')
    """
    if ms is None:
        return "-"
    if ms >= 999.5:
        return units.plain(float(round(ms)))
    return units.scaled(ms) if ms >= 0.9995 else units.ratio(ms)


# -- terminal -------------------------------------------------------------------------------------


def bench_tables(outcomes: Sequence[Outcome], width: int) -> list[Table]:
    """One row a model, batch size and dtype; where the width is short, with shorter heads."""
    names = [o.name for o in outcomes]
    longest = max(map(len, names))
    wide, narrow = _columns(outcomes, _WIDE), _merged(_columns(outcomes, _WIDE))
    for columns, name_width in ((wide, longest), (narrow, longest), (narrow, NAME_WIDTH - 5)):
        found = split_tables(names, columns, width, name_width=name_width)
        if len(found) == 1:
            return found
    # Several tables: each needs to say which row is which.
    settled = [f"{o.name}, {o.batch_size} {o.dtype}" for o in outcomes]
    figures = [c for c in narrow if c.head not in (_WIDE[0], _WIDE[1], _NARROW[0])]
    return split_tables(settled, figures, width, name_width=2 * NAME_WIDTH)


def _columns(outcomes: Sequence[Outcome], heads: Sequence[str]) -> list[Column]:
    """All columns; without predictions where there are none."""
    predicted = any(isinstance(o, BenchResult) and o.prediction for o in outcomes)
    shown = heads if predicted else heads[:-2]
    rows = [_cells(o) for o in outcomes]
    best = _best(outcomes)
    return [
        Column(head, tuple(row[i] for row in rows), "left" if head == "Dtype" else "right", best.get(head))
        for i, head in enumerate(shown)
    ]


def _cells(outcome: Outcome) -> list[str]:
    setting = [str(outcome.batch_size), outcome.dtype]
    if isinstance(outcome, BenchFailure):
        return [*setting, "-", OUT_OF_MEMORY if outcome.kind == OUT_OF_MEMORY else "failed", *["-"] * 4]
    r = outcome
    ratio = "-" if r.ratio is None else units.ratio(r.ratio)
    between = f"{ms_text(r.p5_ms)}–{ms_text(r.p95_ms)}"
    memory = units.scaled(r.peak_memory_bytes, "B")
    return [
        *setting,
        ms_text(r.latency_ms),
        between,
        units.scaled(r.throughput),
        memory,
        ms_text(r.predicted_ms),
        ratio,
    ]


def _merged(columns: Sequence[Column]) -> list[Column]:
    """Shorter heads, batch and dtype in one column; what is the same in all rows stands below the table."""
    batch, dtype, *rest = columns
    short = [
        Column(head, tuple(_SHORTER.get(cell, cell) for cell in c.cells), c.justify, c.best)
        for head, c in zip(_NARROW[1:], rest, strict=False)
    ]
    both = [f"{b} {d}" for b, d in zip(batch.cells, dtype.cells, strict=True)]
    if len(set(dtype.cells)) == 1:
        return [*([] if len(set(batch.cells)) == 1 else [batch]), *short]
    return [dtype if len(set(batch.cells)) == 1 else Column(_NARROW[0], tuple(both)), *short]


def _best(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """The row to emphasise in a column; latency and memory only compare at the same batch size."""
    results = [(i, o) for i, o in enumerate(outcomes) if isinstance(o, BenchResult)]
    if len(results) < 2:
        return {}
    found = {"Samples/s": max(results, key=lambda pair: pair[1].throughput)[0]}
    if len({o.batch_size for _, o in results}) == 1:
        found["Median ms"] = min(results, key=lambda pair: pair[1].latency_ms)[0]
        found["Peak mem"] = min(results, key=lambda pair: pair[1].peak_memory_bytes)[0]
    return found


def settings_line(outcomes: Sequence[Outcome]) -> str:
    """What the figures hold for."""
    results = [o for o in outcomes if isinstance(o, BenchResult)]
    if not results:
        return ""
    first = results[0]
    batches = "/".join(str(b) for b in sorted({o.batch_size for o in outcomes}))
    dtypes = "/".join(dict.fromkeys(o.dtype for o in outcomes))
    how = [word for word, said in (("compiled", first.compiled), ("channels last", first.channels_last)) if said]
    threads = f"{first.threads} thread{'s' if first.threads > 1 else ''}"
    where = f"{first.environment.get('device', first.device)} ({first.device}), {threads}"
    return ", ".join([f"batch {batches}", dtypes, *how, where, f"torch {first.environment.get('torch', '?')}"])


def prediction_line(outcomes: Sequence[Outcome]) -> str:
    """What the predictions are for, "" where there are none."""
    for o in outcomes:
        if isinstance(o, BenchResult) and o.prediction:
            device = o.prediction.device
            return f"predicted for {device.name} ({device.title}), {o.prediction.level}; ratio: predicted over measured"
    return ""


def threads_line(outcomes: Sequence[Outcome]) -> str:
    """A remark where predictions are for another number of threads than was measured with; else ""."""
    for o in outcomes:
        if isinstance(o, BenchResult) and o.prediction and o.device == "cpu":
            threads = calibrated_threads(o.prediction.device)
            if threads not in (None, o.threads):
                name = o.prediction.device.name
                return (f"{name} was calibrated with --threads {threads}, and this ran with {o.threads}: "
                        f"`compare-models calibrate --threads {o.threads} --name {name}_{o.threads}`")  # fmt: skip
    return ""


def noise_line(outcomes: Sequence[Outcome]) -> str:
    """A warning where the spread, or what else was running, says that the machine is noisy; else "".

    Under a steady load nothing spreads, and everything is slow.
    """
    results = [o for o in outcomes if isinstance(o, BenchResult)]
    noisy = [r for r in results if r.noisy]
    busy = max((float(r.environment.get("cpu_busy_pct", 0)) for r in results), default=0.0)
    told = []
    if noisy:
        worst = max(noisy, key=lambda r: r.spread)
        told.append(
            f"{len(noisy)} of {len(outcomes)} rows are noisy: p5 to p95 of {worst.name} (batch {worst.batch_size}, "
            f"{worst.dtype}) span {units.percent(100 * worst.spread)} of its median"
        )
    if busy > BUSY_ABOVE_PCT:
        told.append(f"other programs had {units.percent(busy)} of the CPU before it began")
    advice = "Close other programs, leave a core free with --threads, or measure longer with --time"
    return f"{'; '.join(told)}. {advice}" if told else ""


# -- files ----------------------------------------------------------------------------------------


def bench_row(result: BenchResult) -> Row:
    """One result in base units, with what it was measured with."""
    shapes = [list(s) for s in result.input_shape]
    prediction = result.prediction
    return {
        "name": result.name,
        "input_shape": shapes[0] if len(shapes) == 1 else shapes,
        "batch_size": result.batch_size,
        "dtype": result.dtype,
        "device": result.device,
        "compiled": result.compiled,
        "channels_last": result.channels_last,
        "threads": result.threads,
        "latency_ms": result.latency_ms,
        "p5_ms": result.p5_ms,
        "p95_ms": result.p95_ms,
        "spread": result.spread,
        "noisy": result.noisy,
        "throughput": result.throughput,
        "peak_memory_bytes": result.peak_memory_bytes,
        "hardware": prediction.device.name if prediction else None,
        "predicted_ms": result.predicted_ms,
        "predicted_ratio": result.ratio,
        "samples": len(result.samples_ms),
        "environment": dict(result.environment),
    }


def failure_row(failure: BenchFailure) -> Row:
    """One failure, with its place."""
    return {"name": failure.name, "batch_size": failure.batch_size, "dtype": failure.dtype,
            "error": failure.kind, "message": failure.message}  # fmt: skip


def bench_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The JSON document, each result with all its samples."""
    results = [o for o in outcomes if isinstance(o, BenchResult)]
    return {
        "schema": SCHEMA,
        "tool": {"name": "modelcmp", "version": __version__},
        "environment": dict(results[0].environment) if results else {},
        "conventions": CONVENTIONS,
        "models": [bench_row(r) | {"samples_ms": list(r.samples_ms)} for r in results],
        "errors": [failure_row(o) for o in outcomes if isinstance(o, BenchFailure)],
    }


def bench_csv_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """One row an outcome, for ``export.csv_text``; failures fill the column ``error``."""
    rows = []
    for o in outcomes:
        if isinstance(o, BenchResult):
            rows.append(bench_row(o) | {"error": ""})
        else:
            rows.append({"name": o.name, "batch_size": o.batch_size, "dtype": o.dtype, "error": o.message})
    return rows


def bench_markdown(outcomes: Sequence[Outcome]) -> str:
    """The table as GitHub Markdown, its conditions below."""
    columns = _columns(outcomes, _WIDE)
    rows = [[o.name, *(c.cells[i] for c in columns)] for i, o in enumerate(outcomes)]
    lines = [line for line in (settings_line(outcomes), prediction_line(outcomes)) if line]
    table = markdown_table(["Model", *(c.head for c in columns)], rows, text=["Dtype"])
    return table + "".join(f"\n{line}\n" for line in lines)
