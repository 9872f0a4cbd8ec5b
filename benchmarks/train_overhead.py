"""What our training loop costs: steps a second beside loops by hand and Lightning's Trainer, and start-up.

    python benchmarks/train_overhead.py --write

Runs the loops in turn on the same model, data, order of batches and threads, checks first that they come to the same
losses, and prints medians of the ratios within each round. ``--write`` renews a section of ``docs/benchmarks.md``.
Times are reported, never asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import geometric_mean, median, quantiles
from typing import Any

from rich.console import Console
from speed_environment import describe
from speed_processes import ROOT, run_measured
from speed_report import NONE, UNSTEADY, Table, markdown, print_table, write_section
from train_startup import Startup, measure

WORKER = Path(__file__).with_name("train_worker.py")
BATCH_SIZE = 128
#: glibc keeps what was freed. By itself it returns it to the kernel and fetches it again each step, or not, as the
#: heap happens to lie: up to a fifth of a step's time, at random.
_STEADY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 30)}
_TINY = {"name": "mlp", "kwargs": {"hidden": 1, "depth": 0}}
CASES: dict[str, tuple[Any, Any]] = {
    "mlp, digits": ("mlp", "digits"),
    "mlp, mnist_5k": ("mlp", "mnist_5k"),
    "cnn, digits 16x16": ("cnn", {"name": "digits", "kwargs": {"size": 16}}),
    "resnet, digits 16x16": ("resnet", {"name": "digits", "kwargs": {"size": 16}}),
    "a single unit, digits 8x8": (_TINY, {"name": "digits", "kwargs": {"size": 8}}),
}
EMPTY = "a single unit, digits 8x8"  # nothing but overhead: in microseconds, not in the targets
QUICK = ("mlp, digits", EMPTY)
LOOPS = {
    "ours": "modelcmp", "bars": "with progress bars", "bare": "by hand, indexing", "loader": "by hand, DataLoader",
    "lightning": "Lightning",
}  # fmt: skip


@dataclass(slots=True)
class Result:
    """One case: steps a second of each loop in each round."""

    case: str
    threads: int
    steps: int = 0  # of a round
    epoch: int = 0  # steps of a whole epoch
    apart: float = 0.0  # the largest difference between losses
    error: str = ""
    rounds: list[dict[str, float]] = field(default_factory=list)

    def rate(self, loop: str) -> float | None:
        """Its median."""
        found = [r[loop] for r in self.rounds if loop in r]
        return median(found) if found else None

    def ratios(self, other: str) -> list[float]:
        """Our steps a second over another's, in each round."""
        return [r["ours"] / r[other] for r in self.rounds if other in r]

    def extra_us(self) -> float | None:
        """Microseconds a step that ours takes longer than the loop by hand."""
        found = [1e6 / r["ours"] - 1e6 / r["bare"] for r in self.rounds]
        return median(found) if found else None


def main(arguments: list[str]) -> int:
    """Parse, run, report."""
    options = parse(arguments)
    load = os.getloadavg()[0]
    results = [r for threads in options.threads for r in run_loops(options, threads)]
    startup = measure(options.repeats, tell) if options.repeats else None
    tables = [rates_table(results), ratios_table(results)]
    tables += [startup_table(startup)] if startup else []
    tables.append(targets_table(results, startup))
    for table in tables:
        print_table(table, Console())
    if options.write:
        intro = ["## Overhead of training", described(arguments, load)]
        write_section(options.output, "\n\n".join([*intro, *map(markdown, tables)]), "train_overhead")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read and check the options."""
    parser = argparse.ArgumentParser(
        prog="train_overhead.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="two cases, one number of threads, few rounds: under a minute")
    add("--cases", type=_cases, metavar="A;B", help=f"of {'; '.join(CASES)} (default: all)")
    add("--threads", type=_threads, metavar="N,N", help="numbers of threads (default: 2,1)")
    add("--seconds", type=float, metavar="S", help="how long each case is measured for (default: 30)")
    add("--repeats", type=int, metavar="N", help="starts that are measured (default: 5; 0: none)")
    add("--write", action="store_true", help="renew the section of the output file")
    add("--output", type=Path, default=ROOT / "docs" / "benchmarks.md", help="file (default: docs/benchmarks.md)")
    options = parser.parse_args(arguments)
    standard = (list(QUICK), [2], 2.0, 1) if options.quick else (list(CASES), [2, 1], 30.0, 5)
    for name, value in zip(("cases", "threads", "seconds", "repeats"), standard, strict=True):
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def _cases(text: str) -> list[str]:
    names = [name.strip() for name in text.split(";") if name.strip()]
    for name in names:
        if name not in CASES:
            raise argparse.ArgumentTypeError(f"no case {name!r}; there are {'; '.join(CASES)}")
    return names


def _threads(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isdigit() and int(word) for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers like 2,1")
    return [int(word) for word in words]


def tell(text: str) -> None:
    """One line on stderr that is overwritten; nothing where that is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:79]}", end="", file=sys.stderr, flush=True)


def run_loops(options: argparse.Namespace, threads: int) -> list[Result]:
    """All cases with a number of threads, in a fresh process; ends the program where loops disagree."""
    results = {name: Result(name, threads) for name in options.cases}
    order = {
        "threads": threads, "batch_size": BATCH_SIZE, "seconds": options.seconds, "round_s": 0.5,
        "least_rounds": 2 if options.quick else 3,
        "cases": [{"label": name, "model": CASES[name][0], "data": CASES[name][1]} for name in options.cases],
    }  # fmt: skip

    def on_line(line: str) -> None:
        told = json.loads(line)
        if "case" in told:
            note(results[told["case"]], told)
            tell(f"{threads} threads, {told['case']}: round {len(results[told['case']].rounds)}")

    done = run_measured([sys.executable, str(WORKER), json.dumps(order)], on_line, **_STEADY)
    if done.returncode:
        sys.exit(done.last_words)
    return list(results.values())


def note(result: Result, told: dict[str, Any]) -> None:
    """Add a line of the worker to a case."""
    result.error = told.get("error", result.error)
    result.epoch, result.steps = told.get("epoch", result.epoch), told.get("steps", result.steps)
    result.apart = max([result.apart, *told.get("apart", {}).values()])
    if "rates" in told:
        result.rounds.append(told["rates"])


# -- tables -----------------------------------------------------------------------------------------


def rates_table(results: list[Result]) -> Table:
    """Steps a second, and what every loop does."""
    rows = tuple(
        (r.case, str(r.threads), *([r.error or NONE, *[NONE] * 6] if not r.rounds else _rates(r))) for r in results
    )
    notes = (
        f"Batch {BATCH_SIZE}, Adam, fp32. All loops start from the same weights and see the same batches in the same "
        "order; before they are timed, the losses of their first steps are compared, and must agree within 1e-6 "
        f"(largest difference here: {max((r.apart for r in results), default=0.0):.0e}).",
        "Each step of each loop: forward, cross-entropy, backward, the optimizer, zeroed gradients, how many were "
        "right. Loss and that number are read as Python numbers; Lightning is given them as tensors with `self.log`.",
        "One clock for all, over the epochs of training: making the order of batches, fetching them, recording. After "
        "each epoch all validate, and write a checkpoint to the disk once a second, which no clock counts. Nor does it "
        "count the first two steps of a round.",
        "*modelcmp*: the loop of `compare-models train`, a row of its session for each step included, as it runs where "
        "stderr is no terminal; *with progress bars* as on one. *by hand, indexing*: `x[order[i:j]]` on tensors in "
        "memory, sums of loss and of right ones. *by hand, DataLoader*: the same on `DataLoader(TensorDataset(x, y), "
        "batch_size, sampler)`, no worker processes; the sampler does what that of `shuffle=True` does.",
        "*Lightning*: `Trainer(logger=False, enable_progress_bar=False, enable_checkpointing=False, "
        "enable_model_summary=False)`, its fastest with `self.log`, fed by indexing as the loop by hand is.",
        "glibc is told to keep freed memory (`MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_`), for all loops: else "
        "page faults take up to a fifth of a step, from one loop or the other at random.",
    )
    head = ("case", "threads", *LOOPS.values(), "steps a round", "rounds")
    return Table("Steps a second", head, rows, notes)


def _rates(r: Result) -> list[str]:
    return [*(_number(r.rate(loop)) for loop in LOOPS), str(r.steps), str(len(r.rounds))]


def ratios_table(results: list[Result]) -> Table:
    """Ours over each, with the spread between rounds."""
    others = [loop for loop in LOOPS if loop != "ours"]
    rows = tuple(
        (r.case, str(r.threads), *(_spread(r.ratios(loop)) for loop in others), _number(r.extra_us()))
        for r in results
        if r.rounds
    )
    notes = (
        "Medians of the ratios within a round, in which the loops run in turn, there and back; in brackets the middle "
        f"half. {_unsteady(results)}".strip(),
        f"*{EMPTY}* has next to nothing to compute: its last column is what a step of our loop costs, "
        "in epochs of ten steps.",
    )
    head = ("case", "threads", *(f"over {LOOPS[loop]}" for loop in others), "µs a step over by hand")
    return Table("Steps a second of modelcmp over those of the others", head, rows, notes)


def _unsteady(results: Iterable[Result]) -> str:
    """What to think of ratios that differ much from round to round."""
    wide = [f"{r.case} ({r.threads})" for r in results if len(r.rounds) > 1 and _width(r.ratios("bare")) > UNSTEADY]
    return f"The machine was not idle, measure again: {', '.join(wide)}." if wide else ""


def _width(ratios: list[float]) -> float:
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    return high / low


def startup_table(startup: Startup) -> Table:
    """What a person waits for before the first step."""
    rows = tuple(
        (label, f"{median(seconds):.2f}", f"{min(seconds):.2f} – {max(seconds):.2f}", str(len(seconds)))
        for label, seconds in (
            ("import torch, torchvision", startup.base),
            *((f"compare-models train {' '.join(w)}, to its first step", s) for w, s in startup.train.items()),
        )
    )
    notes = ("Fresh processes in turn, files in the cache; each ends there at once, without a teardown.",)
    return Table("Start-up", ("process", "median s", "range", "runs"), rows, notes)


_AIMS = (
    ("bare", "steps a second over by hand, indexing", 0.95),
    ("loader", "steps a second over by hand, DataLoader", 0.95),
    ("lightning", "steps a second over Lightning", 1.0),
)


def targets_table(results: list[Result], startup: Startup | None) -> Table:
    """What was aimed for: over all cases, and in the worst one."""
    counted = [r for r in results if r.rounds and r.case != EMPTY]
    rows = []
    for other, label, limit in _AIMS:
        ratios = [median(r.ratios(other)) for r in counted if r.ratios(other)]
        rows.append(_at_least(f"{label}; geometric mean", geometric_mean(ratios) if ratios else None, limit))
        rows.append(_at_least(f"{label}; worst case", min(ratios, default=None), limit))
    if startup is not None:
        over = startup.over_s
        rows.append(("start-up over importing torch and torchvision, s", "≤ 2", f"{over:.2f}", _yes(over <= 2)))
    return Table("Targets", ("figure", "target", "measured", "met"), tuple(rows))


def _at_least(label: str, measured: float | None, limit: float) -> tuple[str, ...]:
    if measured is None:
        return (label, f"≥ {limit:g}", NONE, NONE)
    return (label, f"≥ {limit:g}", f"{measured:.3f}", _yes(measured >= limit))


def _yes(met: bool) -> str:
    return "yes" if met else "no"


def _spread(ratios: list[float]) -> str:
    if not ratios:
        return "not installed"
    if len(ratios) < 2:
        return f"{ratios[0]:.2f}"
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    return f"{median(ratios):.2f} ({low:.2f} – {high:.2f})"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f}" if abs(value) >= 20 else f"{value:.1f}"


def described(arguments: list[str], load: float) -> str:
    """The environment, with the packages that are compared."""
    found = []
    for name in ("accelerate", "lightning"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return f"{describe(arguments, load, 'benchmarks/train_overhead.py')}\n- {', '.join(found)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
