"""What a diff costs: gigabytes a second and memory, beside a script that loads, flattens and reduces.

    python benchmarks/diff_speed.py --write

Writes two runs of ResNet-50 with Adam (307 MB a dump; every number differs), reads them once into the page cache, and
compares them in turn: by ``modelcmp.diffing``, all measures, and by the script that one would write by hand, three.
Times are reported, never asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from speed_environment import describe
from speed_processes import ROOT, run_measured
from speed_report import NONE, UNSTEADY, Table, markdown, print_table, write_section

WORKER = Path(__file__).with_name("diff_worker.py")
#: What is compared: bytes of A and B a second; how many times the script by hand; memory beyond importing torch.
FASTEST_GB_S, TIMES, MEMORY_MB = 3.0, 8.0, 300


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over all pairs."""

    seconds: float
    start_s: float  # of which: until the first pair was begun (imports, compiled code)
    memory_bytes: int  # peak beyond what importing torch takes
    disk_bytes: int  # read, although all was in the page cache before: something took it away


def main(arguments: list[str]) -> int:
    """Make the dumps, measure, report."""
    options = parse(arguments)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="diff_speed-") as folder:
        made = work("make", Path(folder), options, options.pairs)
        runs: dict[str, list[Run]] = {"ours": [], "naive": []}
        few = max(1, options.pairs // 4)
        for _ in range(options.repeats):
            runs["ours"].append(as_run(work("ours", Path(folder), options, options.pairs)))
            runs["naive"].append(as_run(work("naive", Path(folder), options, few)))
        smaller = as_run(work("ours", Path(folder), options, few))
    table = speeds(runs, smaller, made["pair_bytes"], options.pairs, few)
    print_table(table, Console())
    if options.write:
        about = describe(arguments, load, "benchmarks/diff_speed.py")
        write_section(options.output, "\n\n".join(["## Speed of a diff", about, markdown(table)]), "diff_speed")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="diff_speed.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--pairs", type=int, default=20, metavar="N", help="pairs of dumps (default: 20; 614 MB each)")
    add("--model", default="resnet50", help="a torchvision model (default: resnet50)")
    add("--repeats", type=int, default=3, metavar="N", help="rounds (default: 3)")
    add("--threads", type=int, default=None, metavar="N", help="threads (default: one a core)")
    add("--folder", type=Path, default=None, help="where the dumps are made, and removed (default: the system's)")
    add("--write", action="store_true", help="renew the section of the output file")
    add("--output", type=Path, default=ROOT / "docs" / "benchmarks.md", help="file (default: docs/benchmarks.md)")
    return parser.parse_args(arguments)


def work(what: str, folder: Path, options: argparse.Namespace, pairs: int) -> dict[str, Any]:
    """One part in a process of its own; ends the program where it fails."""
    order = {"what": what, "folder": str(folder), "model": options.model, "pairs": pairs, "threads": options.threads}
    told: list[dict[str, Any]] = []
    done = run_measured([sys.executable, str(WORKER), json.dumps(order)], lambda line: told.append(json.loads(line)))
    if done.returncode != 0:
        raise SystemExit(f"{what} failed: {done.last_words}")
    return told[-1]


def as_run(told: dict[str, Any]) -> Run:
    """A worker's answer."""
    return Run(told["seconds"], told["start_s"], told["memory_bytes"], told["disk_bytes"])


def speeds(runs: dict[str, list[Run]], smaller: Run, pair_bytes: int, pairs: int, few: int) -> Table:
    """GB/s of both, their ratio and memory."""
    ours = [pair_bytes * pairs / r.seconds / 1e9 for r in runs["ours"]]
    naive = [pair_bytes * few / r.seconds / 1e9 for r in runs["naive"]]
    ratio = median(x / y for x, y in zip(ours, naive, strict=True))
    peak = {name: max(r.memory_bytes for r in found) / 1e6 for name, found in runs.items()}
    small = pair_bytes * few / smaller.seconds / 1e9
    rows = (
        ("modelcmp, all measures", str(pairs), f"{median(ours):.2f}", f"{ratio:.1f}", f"{peak['ours']:.0f}"),
        ("modelcmp, all measures", str(few), f"{small:.2f}", NONE, f"{smaller.memory_bytes / 1e6:.0f}"),
        ("load, flatten, reduce: three measures", str(few), f"{median(naive):.2f}", "1", f"{peak['naive']:.0f}"),
    )
    notes = [
        f"A pair is two dumps, {pair_bytes / 1e6:.0f} MB of tensors together (weights and both moments of Adam), in "
        "the page cache; GB/s of A and B together, opening and checksums included, without imports and loading "
        f"the loops ({median(r.start_s for r in runs['ours']):.1f} s). Memory is the peak beyond importing torch.",
        f"Aims: {FASTEST_GB_S:g} GB/s, {TIMES:g} times the script by hand, {MEMORY_MB} MB.",
    ]
    missed = max(r.disk_bytes for r in runs["ours"])
    if missed > pair_bytes // 10:
        notes.append(f"Up to {missed / 1e9:.1f} GB came from the disk: they had left the page cache.")
    if max(ours) > UNSTEADY * min(ours):
        notes.append(f"Rounds differ, the machine was not idle: {', '.join(f'{g:.2f}' for g in ours)} GB/s.")
    return Table("Two runs of ResNet-50", ("how", "pairs", "GB/s", "× by hand", "memory MB"), rows, tuple(notes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
