"""From results to tables, and from tables to a terminal or a section of a Markdown file.

A table is data first (`Table`), so that the terminal and the file show the same cells.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cold_start import BASE, LARGEST_TIMM, LARGEST_TORCHVISION, MODELS, WITH_TIMM, ColdStart
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text
from speed_results import Results, ToolRun
from speed_tools import TOOLS

INTRO = """# Benchmarks

Measured by the scripts in `benchmarks/`. Each section names the machine and the command that made
it; run that command again to renew it. Seconds depend on the machine, ratios hardly.
"""

NONE = "–"
#: Rounds of one tool that differ by more than this say that something else used the machine.
UNSTEADY = 1.3


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table of text, with what there is to say about it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


# -- tables -----------------------------------------------------------------------------------------


def tools_table(results: Results) -> Table:
    """Every tool against the published counts and against modelcmp's time."""
    counts = ("models", "within 1 %", "within 3 %", "failed", "furthest off")
    return Table(
        "Counting, building included",
        ("tool", *counts, "import s", "seconds", "× modelcmp", "peak MB"),
        tuple(_tool_row(run, results) for run in results.runs.values()),
        (
            'Truth is `weights.meta["_ops"]` of each model\'s first weights, at their crop size, batch 1, eval. '
            "Each tool has a process of its own; imports beyond torch and torchvision are told apart. "
            "`× modelcmp` compares the models at which both worked.",
            *_remarks(results),
        ),
    )


def _tool_row(run: ToolRun, results: Results) -> tuple[str, ...]:
    tool = TOOLS[run.name]
    if run.missing:
        return (tool.label, run.missing, *[NONE] * 8)
    worst = run.worst
    return (
        tool.label,
        str(len(run.samples)),
        str(run.within(0.01)) if tool.counts else NONE,
        str(run.within(0.03)) if tool.counts else NONE,
        str(len(run.failed)),
        f"{worst.model} ×{_factor(worst.off)}" if worst else NONE,
        f"{run.import_s:.2f}",
        f"{run.seconds:.2f}",
        _times(results.ratio(run.name)),
        _mb(run.peak_bytes),
    )


def _remarks(results: Results) -> tuple[str, ...]:
    """Failures by reason, and figures that a tool itself calls incomplete."""
    said = []
    for run in results.runs.values():
        label = TOOLS[run.name].label
        for reason, times in Counter(row.error for row in run.failed).most_common(3):
            said.append(f"{label}: {times} failed with `{reason.replace('`', chr(39))}`.")
        if run.partial:
            said.append(f"{label}: calls {run.partial} of its own figures incomplete.")
        if run.spread > UNSTEADY:
            said.append(f"{label}: its runs differ {run.spread:.1f} times; the machine was not idle, measure again.")
    for times in sorted({run.rounds for run in results.runs.values()} - {1}):
        labels = [TOOLS[run.name].label for run in results.runs.values() if run.rounds == times]
        said.append(f"Medians of {times} runs: {'; '.join(labels)}.")
    return tuple(said)


def _factor(off: float | None) -> str:
    return NONE if off is None else f"{off:.3f}" if off >= 0.1 else f"{off:.2g}"


def split_table(results: Results) -> Table:
    """Where modelcmp's time goes, beside the baselines that count nothing."""
    rows = []
    for name in ("modelcmp", "bare-meta", "construct-meta"):
        run = results.runs.get(name)
        if run is not None and not run.missing:
            parts = [f"{run.part(p):.2f}" for p in ("build_s", "forward_s", "rest_s")]
            rows.append((TOOLS[name].label, str(len(run.samples)), *parts))
    notes = (
        "modelcmp's forward is the traced one, until every operation is recorded; the rest is finding the model, "
        "making its input and evaluating all metrics. It keeps what it learnt about a call (operation, shapes, dtypes) "
        "for the models that follow in the same process, and pauses the garbage collector.",
        "The bare forward runs under `inference_mode`, each operation's meta kernel once. Models that "
        'cannot be built under `torch.device("meta")` are built on the CPU and moved there for it.',
    )
    return Table(
        "Construction and forward apart",
        ("", "models", "construction s", "forward s", "rest s"),
        tuple(rows),
        notes,
    )


def cold_tables(cold: ColdStart) -> tuple[Table, ...]:
    """Waiting and memory, each against importing torch and torchvision."""
    base = f'python -c "{BASE}"'
    times = []
    for w in cold.times:
        spread = f"{min(w.seconds):.2f} – {max(w.seconds):.2f}" if w.seconds else w.error
        seconds = NONE if w.median_s is None else f"{w.median_s:.2f}"
        times.append((w.label, seconds, spread, str(len(w.seconds)), _times(cold.ratio(w.label, base))))
    peaks = tuple((w.label, w.error or _mb(w.peak_bytes), _mb(cold.above(w.label, base))) for w in cold.peaks)
    return (
        Table("Cold start", ("command", "median s", "range", "runs", "× the import"), tuple(times)),
        Table("Peak memory of the process", ("command", "peak MB", "above the import, MB"), peaks),
    )


def targets_table(results: Results, cold: ColdStart | None) -> Table:
    """What was aimed for, and what came out."""
    rows = [
        _target("fvcore's time over modelcmp's", results.ratio("fvcore"), 12, at_least=True),
        _target("profiled forward over bare meta forward", results.ratio("modelcmp", "forward_s", "bare-meta"), 1),
    ]
    if cold is not None:
        base, timm, run = f'python -c "{BASE}"', f'python -c "{WITH_TIMM}"', f"compare-models {' '.join(MODELS)}"
        help_s = next((w.median_s for w in cold.times if w.label.endswith("--help")), None)
        rows += [
            _target(f"`{run}` over importing torch and torchvision", cold.ratio(run, base), 1.15),
            _target("`compare-models --help`, seconds", help_s, 0.5),
            ("`compare-models --help` imports torch", "no", *_never(cold.help_imports_torch)),
            _target(f"peak for {LARGEST_TORCHVISION} above that import, MB",
                    _in_mb(cold.above(f"compare-models {LARGEST_TORCHVISION}", base)), 150),
            _target(f"peak for {LARGEST_TIMM} above importing timm too, MB",
                    _in_mb(cold.above(f"compare-models {LARGEST_TIMM}", timm)), 150),
        ]  # fmt: skip
    return Table("Targets", ("figure", "target", "measured", "met"), tuple(rows))


def _target(label: str, measured: float | None, limit: float, at_least: bool = False) -> tuple[str, ...]:
    wanted = f"{'≥' if at_least else '≤'} {limit:g}"
    if measured is None:
        return (label, wanted, NONE, NONE)
    met = measured >= limit if at_least else measured <= limit
    return (label, wanted, f"{measured:.3g}", "yes" if met else "no")


def _never(imported: bool | None) -> tuple[str, str]:
    return (NONE, NONE) if imported is None else ("yes", "no") if imported else ("no", "yes")


def _times(ratio: float | None) -> str:
    return NONE if ratio is None else f"{ratio:.2f}"


def _in_mb(size: int | None) -> float | None:
    return None if size is None else size / 1e6


def _mb(size: int | None) -> str:
    return NONE if size is None else f"{size / 1e6:.0f}"


# -- terminal and file ------------------------------------------------------------------------------


def print_table(table: Table, console: Console) -> None:
    """Draw a table on the terminal."""
    drawn = RichTable(title=table.title, title_justify="left")
    for i, column in enumerate(table.columns):
        drawn.add_column(column, justify="right" if i else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    console.print(drawn)
    for note in table.notes:
        console.print(Text(note, style="dim"))


def markdown(table: Table) -> str:
    """Write a table as Markdown, its notes below."""
    lines = [f"### {table.title}", ""]
    body = (table.columns, ("---", *["---:"] * (len(table.columns) - 1)), *table.rows)
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in body]
    if table.notes:
        lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines)


def replace_section(text: str, body: str, name: str = "profile_speed") -> str:
    """The text with the marked section's content replaced, or appended where there is none.

    Raises ValueError when only one of the two markers is there, or they are in the wrong order.

    >>> replace_section("before\\n<!-- a:begin -->\\nold\\n<!-- a:end -->\\nafter\\n", "new", "a")
    'before\\n<!-- a:begin -->\\nnew\\n<!-- a:end -->\\nafter\\n'
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    section = f"{begin}\n{body}\n{end}"
    if begin not in text and end not in text:
        return f"{text.rstrip()}\n\n{section}\n" if text.strip() else f"{section}\n"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"the markers {begin} and {end} are not a pair: put both back, or remove both")
    return before + section + after


def write_section(path: Path, body: str, name: str = "profile_speed") -> None:
    """Renew a section of a file; a file that is missing starts with a short introduction."""
    text = path.read_text(encoding="utf-8") if path.exists() else INTRO
    renewed = replace_section(text, body, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(renewed, encoding="utf-8", newline="\n")
