"""What it takes to see what a large search has recorded: ours beside Optuna's own way.

    python benchmarks/list_trials.py --write

Makes a search of two architectures with 10,000 recorded trials in an SQLite file, then reads it in fresh processes, in
turn: Optuna's ``load_study(...).trials``, our ``list_sweep``, and the command ``compare-models study``. Times are
reported, never asserted.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from rich.console import Console
from speed_environment import describe
from speed_processes import ROOT, Finished, run_measured
from speed_report import UNSTEADY, Table, markdown, print_table, write_section
from sweep_studies import EPOCHS

FILLER = Path(__file__).with_name("sweep_studies.py")
LIMIT_S = 2.0
_BY_OPTUNA = """
import logging, sys, time
import optuna
optuna.logging.set_verbosity(logging.ERROR)
began = time.perf_counter()
url = "sqlite:///" + sys.argv[1] + "/study.db"
count = sum(len(optuna.load_study(study_name=name, storage=url).trials) for name in ("measured/cnn", "measured/mlp"))
print(time.perf_counter() - began, count)
"""
_BY_US = """
import sys, time
began = time.perf_counter()
from modelcmp.sweeps.listing import list_sweep
count = len(list_sweep(sys.argv[1], intermediate=sys.argv[2] == "all").trials)
print(time.perf_counter() - began, count)
"""
OPTUNA, OURS, EPOCH_BY_EPOCH, COMMAND = (
    "optuna.load_study(...).trials", "list_sweep(folder)", "list_sweep(folder, intermediate=True)",
    "compare-models study FOLDER",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Fill, read in turn, report."""
    options = parse(arguments)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="list_trials-") as place:
        folder = Path(place) / "sweep"
        # In a process of its own: a child's peak memory counts what its parent held when it was made.
        run([sys.executable, str(FILLER), str(folder), str(options.trials)], "filling")
        ways = {
            OPTUNA: [sys.executable, "-c", _BY_OPTUNA, str(folder)],
            OURS: [sys.executable, "-c", _BY_US, str(folder), "few"],
            EPOCH_BY_EPOCH: [sys.executable, "-c", _BY_US, str(folder), "all"],
            COMMAND: [sys.executable, str(ROOT / "cli" / "compare_models.py"), "study", str(folder)],
        }
        found: dict[str, list[Read]] = {name: [] for name in ways}
        for _ in range(options.repeats):
            for name, command in ways.items():
                found[name].append(read(name, command, options.trials))
        size = (folder / "study.db").stat().st_size
    table = listing_table(found, options.trials, size)
    print_table(table, Console())
    if options.write:
        about = describe(arguments, load, "benchmarks/list_trials.py")
        write_section(
            options.output, "\n\n".join(["## Listing recorded trials", about, markdown(table)]), "list_trials"
        )
    return 0


#: Seconds of the process, seconds of the call (None for a command), peak bytes.
Read = tuple[float, float | None, int]


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="list_trials.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--trials", type=int, default=10_000, metavar="N", help="how many are recorded (default: 10,000)")
    add("--repeats", type=int, default=5, metavar="N", help="rounds (default: 5)")
    add("--folder", type=Path, default=None, help="where the study is made, and removed (default: the system's)")
    add("--write", action="store_true", help="renew the section of the output file")
    add("--output", type=Path, default=ROOT / "docs" / "benchmarks.md", help="file (default: docs/benchmarks.md)")
    return parser.parse_args(arguments)


def read(name: str, command: list[str], trials: int) -> Read:
    """One way in a process of its own; ends the program where it fails or does not find all trials."""
    done, said = run(command, name)
    if name == COMMAND:
        return done.seconds, None, done.peak_bytes
    seconds, count = said[-1].split()
    if int(count) != trials:
        raise SystemExit(f"{name} found {count} trials, not {trials}")
    return done.seconds, float(seconds), done.peak_bytes


def run(command: list[str], name: str) -> tuple[Finished, list[str]]:
    """A process and its lines; ends the program where it fails."""
    said: list[str] = []
    done = run_measured(command, said.append)
    if done.returncode != 0:
        raise SystemExit(f"{name} failed: {done.last_words}")
    return done, said


def listing_table(found: dict[str, list[Read]], trials: int, size: int) -> Table:
    """Medians, and how many times faster than Optuna's own way."""
    base = [whole for whole, _, _ in found[OPTUNA]]
    rows = []
    for name, reads in found.items():
        whole = [r[0] for r in reads]
        calls = [r[1] for r in reads if r[1] is not None]
        times = median(b / w for b, w in zip(base, whole, strict=True))
        rows.append((name, f"{median(whole):.2f}", f"{min(whole):.2f} – {max(whole):.2f}",
                     f"{median(calls):.2f}" if calls else "–", f"{times:.1f}",
                     f"{max(r[2] for r in reads) / 1e6:.0f}"))  # fmt: skip
    notes = [
        f"Two studies, {trials:,} trials together, with three or four parameters, one value, {EPOCHS} values by epoch "
        f"and our facts each, in an SQLite file of {size / 1e6:.0f} MB. Seconds of a fresh process, imports included, "
        "medians; *call*: those of the call alone, without Optuna's import and with that of ours.",
        f"Aim: the command under {LIMIT_S:g} s.",
    ]
    if max(base) > UNSTEADY * min(base):
        notes.append("Rounds differ: the machine was not idle.")
    columns = ("how", "seconds", "range", "call, s", "× Optuna's", "peak MB")
    return Table(f"{trials:,} trials", columns, tuple(rows), tuple(notes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
