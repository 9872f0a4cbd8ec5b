"""The whole zoo, cold and warm: ``python benchmarks/zoo.py``.

Runs a plain FlopCounterMode loop over timm and modelcmp over timm and torchvision, each in processes of
their own on an idle machine, then times answers from the cache; renews its section of
``docs/benchmarks.md`` and prints it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from cold_start import BASE, resolved
from rich.console import Console
from speed_environment import describe
from speed_processes import ROOT, run_measured
from speed_report import Table, markdown, print_table, write_section

WORKER = str(Path(__file__).with_name("zoo_worker.py"))
PAIR = ("resnet18", "mobilenet_v2")
QUERY = ("timm:*", "--where", "macs < 5e9 and params < 30e6 and ai > 10", "--top", "20")
ZOO = ("timm:*", "torchvision:*")


@dataclass(frozen=True, slots=True)
class Run:
    """One command over many models."""

    label: str
    seconds: float
    peak_bytes: int  # resident memory of all its processes together
    models: int
    failed: int


def main() -> None:
    """Measure, print and write."""
    options = _options()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        tables = list(_measured(options, Path(folder)))
    for table in tables:
        print_table(table, Console())
    if options.write:
        text = "\n\n".join(
            ["## The zoo", describe(sys.argv[1:], load, "benchmarks/zoo.py"), *(markdown(t) for t in tables)]
        )
        write_section(ROOT / "docs" / "benchmarks.md", text, "zoo")


def _measured(options: argparse.Namespace, folder: Path) -> Iterator[Table]:
    tool = resolved(options.command)
    models = options.models.split(",") if options.models else []
    plain, failures = _plain_loop(models)
    runs = [plain]
    for jobs in options.jobs:
        runs.append(_cold(tool, models or list(ZOO), jobs, folder / f"cold{jobs}"))
    yield _cold_table(runs, failures)
    yield _phases_table(_worker("phases", models))
    yield _warm_table(tool, folder / f"cold{options.jobs[-1]}", options.repeats)


def _worker(what: str, models: list[str]) -> dict[str, Any]:
    lines: list[str] = []
    done = run_measured([sys.executable, WORKER, what, *models], lines.append, OMP_NUM_THREADS="1")
    if done.returncode:
        sys.exit(f"{what}: {done.last_words}")
    return dict(json.loads(lines[-1]))


def _plain_loop(models: list[str]) -> tuple[Run, dict[str, int]]:
    """The loop over timm on one core; its seconds are those of the loop, imports aside."""
    with _peak() as peak:
        found = _worker("flop-counter", [m.removeprefix("timm:") for m in models])
    failed = sum(found["failed"].values())
    label = "FlopCounterMode loop on meta, timm, 1 process"
    return Run(label, found["seconds"], peak[0], found["models"], failed), found["failed"]


def _cold(tool: list[str], models: list[str], jobs: int, cache: Path) -> Run:
    """The command line over everything, with an empty cache; imports and starts of processes included."""
    out = cache.with_suffix(".json")
    command = [*tool, *models, "--jobs", str(jobs), "--cache-dir", str(cache), "--output", str(out)]
    with _peak() as peak:
        done = run_measured(command)
    if not out.exists():
        sys.exit(f"modelcmp --jobs {jobs}: {done.last_words}")
    document = json.loads(out.read_text("utf-8"))
    failed = len(document["errors"])
    return Run(f"compare-models 'timm:*' 'torchvision:*' --jobs {jobs}", done.seconds, peak[0],
               len(document["models"]) + failed, failed)  # fmt: skip


@contextmanager
def _peak() -> Iterator[list[int]]:
    """Largest resident memory of this process's children together, looked at ten times a second."""
    found = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            found[0] = max(found[0], total)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _cold_table(runs: list[Run], failures: dict[str, int]) -> Table:
    plain = runs[0]
    rows = tuple(
        (r.label, str(r.models), str(r.failed), f"{r.seconds:.1f}", f"{plain.seconds / r.seconds:.1f}",
         f"{r.peak_bytes / 1e9:.2f}") for r in runs
    )  # fmt: skip
    why = "; ".join(f"{n} × {words}" for words, n in failures.items()) or "none"
    return Table(
        "Cold: everything profiled",
        ("command", "models", "failed", "seconds", "× faster than the loop", "peak GB"),
        rows,
        (f"Failures of the loop: {why}.",
         "The loop's seconds leave out its imports; those of compare-models are of the whole command, imports, "
         "starting processes, writing the cache and the table included. Peak GB adds up the resident memory of "
         "all processes, pages that they share counted in each."),
    )  # fmt: skip


def _phases_table(found: dict[str, Any]) -> Table:
    rows = [("importing torch, torchvision and timm", f"{found['import_s']:.1f}", "–")]
    rows += [
        (name, f"{seconds:.1f}", f"{100 * seconds / found['seconds']:.0f} %")
        for name, seconds in sorted(found["phases"].items(), key=lambda item: -item[1])
    ]
    return Table(
        f"Where the time goes: {found['models']} models in one process", ("phase", "seconds", "share"), tuple(rows),
        ("The rest is finding models, making inputs and what the metrics do not explain.",),
    )  # fmt: skip


def _warm_table(tool: list[str], cache: Path, repeats: int) -> Table:
    """Answers from the cache beside the bare import of torch and torchvision, run in turn."""
    kept = ["--cache-dir", str(cache)]
    commands = {
        f'python -c "{BASE}"': [sys.executable, "-c", BASE],
        f"compare-models {' '.join(PAIR)}": [*tool, *PAIR, *kept],
        f"compare-models '{QUERY[0]}' --where '{QUERY[2]}' --top 20": [*tool, *QUERY, *kept],
        "compare-models 'timm:*' --format csv": [*tool, "timm:*", "--format", "csv", *kept],
    }
    times: dict[str, list[float]] = {label: [] for label in commands}
    for i in range(repeats + 1):
        for label, words in commands.items():
            done = run_measured(words)
            if done.returncode:
                sys.exit(f"{label}: {done.last_words}")
            if i:  # the first round fills the page cache
                times[label].append(done.seconds)
    base = median(next(iter(times.values())))
    rows = tuple(
        (label, f"{median(s):.2f}", f"{min(s):.2f} – {max(s):.2f}", str(len(s)), f"{median(s) / base:.3f}")
        for label, s in times.items()
    )
    return Table("Warm: answered from the cache", ("command", "median s", "range", "runs", "× the import"), rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", default="", help="only these, as timm:NAME,timm:NAME")
    parser.add_argument("--jobs", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--command", default="compare-models", help="what starts the command line")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/benchmarks.md alone")
    return parser.parse_args()


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s")
