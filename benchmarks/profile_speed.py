"""How fast and how right: modelcmp beside its peers on torchvision's classifiers, and its cold start.

    python benchmarks/profile_speed.py --models resnet18,vit_b_16 --tools modelcmp,fvcore --no-write

Prints its tables and renews its own section of ``docs/benchmarks.md``. Times are reported, never
asserted: they depend on the machine and on what else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cold_start
from rich.console import Console
from speed_environment import describe
from speed_processes import ROOT, run_measured
from speed_report import (
    Table,
    cold_tables,
    markdown,
    print_table,
    replace_section,
    split_table,
    targets_table,
    tools_table,
    write_section,
)
from speed_results import Results, Row, ToolRun, merged
from speed_tools import TOOLS, Sample

WORKER = Path(__file__).with_name("speed_worker.py")


def main(arguments: list[str]) -> int:
    """Parse, run, report."""
    options = parse(arguments)
    say, load = progress_line(), os.getloadavg()[0]
    try:
        results = run_tools(options, say)
        cold = cold_start.measure(options.command, options.repeats, say) if options.cold_start else None
    finally:
        say("")
    tables = [tools_table(results), split_table(results)]
    tables += cold_tables(cold) if cold else ()
    tables.append(targets_table(results, cold))
    report(tables, describe(arguments, load), None if options.no_write else options.output)
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read and check the options."""
    parser = argparse.ArgumentParser(
        prog="profile_speed.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", type=_words, default=[], metavar="A,B,C", help="torchvision classifiers (default: all 80)")
    add("--tools", type=_tools, default=list(TOOLS), metavar="X,Y", help=f"of {', '.join(TOOLS)} (default: all)")
    add("--repeats", type=_positive, default=5, metavar="N",
        help="runs of each cold start command and of each tool that computes nothing (medians; default 5)")  # fmt: skip
    add("--peer-repeats", type=_positive, default=1, metavar="N", help="runs of each tool that computes (default: 1)")
    add("--command", default="compare-models", help="what starts the command line (default: compare-models)")
    add("--cold-start", action=argparse.BooleanOptionalAction, default=True, help="measure cold start and peak memory")
    add(
        "--output",
        type=Path,
        default=ROOT / "docs" / "benchmarks.md",
        help="file to renew (default: docs/benchmarks.md)",
    )
    add("--no-write", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    if options.output.is_dir():
        parser.error(f"--output {options.output} is a directory; name a file in it")
    try:
        if options.output.exists():
            replace_section(options.output.read_text(encoding="utf-8"), "")
    except ValueError as error:
        parser.error(f"--output {options.output}: {error}")
    if not options.command.split():
        parser.error("--command is empty")
    return options


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _tools(text: str) -> list[str]:
    unknown = [name for name in _words(text) if name not in TOOLS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no tool {unknown[0]!r}; there are {', '.join(TOOLS)}")
    return _words(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def run_tools(options: argparse.Namespace, say: Callable[[str], None]) -> Results:
    """Each tool as often as asked, in turn: what disturbs the machine for a while then disturbs them all."""
    rounds: dict[str, list[ToolRun]] = {name: [] for name in options.tools}
    for i in range(max(options.repeats, options.peer_repeats)):
        for name, runs in rounds.items():
            wanted = options.peer_repeats if TOOLS[name].computes else options.repeats
            if i < wanted and not (runs and runs[0].missing):
                runs.append(run_tool(name, options.models, say))
    return Results({name: merged(runs) for name, runs in rounds.items()})


def run_tool(name: str, models: list[str], say: Callable[[str], None]) -> ToolRun:
    """One tool over all models in a fresh process; what it had done when it died still counts."""
    head: dict[str, Any] = {}
    rows: list[Row] = []

    def on_line(line: str) -> None:
        told = json.loads(line)
        if "model" not in told:
            head.update(told)
            return
        rows.append(row_of(told))
        say(f"{name}: {len(rows)}/{head['plan']} {rows[-1].model}")

    say(f"{name}: starting")
    done = run_measured([sys.executable, str(WORKER), name, *models], on_line)
    if "missing" in head or not head:
        return ToolRun(name, missing=head.get("missing", f"fails on import: {done.last_words}"))
    lost = head["plan"] - len(rows)
    rows += [Row(f"unreached {i + 1}", error=f"its process {died(done.returncode)}") for i in range(lost)]
    return ToolRun(name, tuple(rows), head["import_s"], done.peak_bytes)


def died(returncode: int) -> str:
    """How a process ended that should not have."""
    return f"was ended by signal {-returncode}" if returncode < 0 else f"ended with status {returncode}"


def row_of(told: dict[str, Any]) -> Row:
    """A worker's line about one model."""
    model = told.pop("model")
    if "error" in told:
        return Row(model, error=told["error"])
    published = told.pop("published_gmacs")
    return Row(model, Sample(**told), published)


def progress_line() -> Callable[[str], None]:
    """One line on stderr that is overwritten; where that is no terminal, nothing but the start of each tool."""
    if sys.stderr.isatty():
        return lambda text: print(f"\r\x1b[K{text[:79]}", end="", file=sys.stderr, flush=True)
    return lambda text: print(text, file=sys.stderr, flush=True) if text.endswith("starting") else None


def report(tables: list[Table], about: str, output: Path | None) -> None:
    """Print the tables, and write them where asked."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    for table in tables:
        print_table(table, console)
    console.print(about, markup=False, highlight=False)
    if output is not None:
        body = "\n\n".join(["## Speed of profiling", about, *(markdown(table) for table in tables)])
        write_section(output, body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
