"""What dumping costs training: added time, how long a step is blocked, bytes a second to the disk.

    python benchmarks/dump_overhead.py --write

Trains ResNet-18 with Adam on the CPU in one process, ten steps with a dump and ten without in turn, there and back, and
compares within each round. ``--write`` renews a section of ``docs/benchmarks.md``. Times are reported, never asserted.
"""

from __future__ import annotations

import argparse
import mmap
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter as clock
from time import process_time

import psutil
import torch
import torchvision
from rich.console import Console
from speed_environment import describe
from speed_processes import ROOT
from speed_report import Table, markdown, print_table, write_section
from torch import Tensor, nn

import modelcmp
from modelcmp.dumps import writer
from modelcmp.training.memory import keep_freed_memory

#: Steps between two dumps.
EVERY = 10
#: (samples a step, height and width of the inputs)
CASES = ((128, 32), (64, 64))


@dataclass(slots=True)
class Case:
    """Measurements of one size of step, a value a round or a dump."""

    batch: int
    side: int
    plain_s: list[float] = field(default_factory=list)  # of EVERY steps
    dumped_s: list[float] = field(default_factory=list)
    plain_cpu_s: list[float] = field(default_factory=list)  # all threads
    dumped_cpu_s: list[float] = field(default_factory=list)
    thread_cpu_s: list[float] = field(default_factory=list)  # of the thread that writes
    blocked_s: list[float] = field(default_factory=list)
    copy_s: list[float] = field(default_factory=list)  # the same tensors, one by one, into memory that is ready
    clone_s: list[float] = field(default_factory=list)  # into fresh memory
    written_s: list[float] = field(default_factory=list)
    disk_s: list[float] = field(default_factory=list)  # a plain write and fsync of as many bytes
    bytes: int = 0

    @property
    def added(self) -> list[float]:
        """Shares of time that dumping adds, by round."""
        return [b / a - 1 for a, b in zip(self.plain_s, self.dumped_s, strict=True)]

    @property
    def added_quiet(self) -> float:
        """The share of time that dumping adds, from the quicker rounds of both: others only make them longer."""
        return _lower(self.dumped_s) / _lower(self.plain_s) - 1

    @property
    def added_cpu(self) -> list[float]:
        """Shares of processor time that dumping adds, by round."""
        return [b / a - 1 for a, b in zip(self.plain_cpu_s, self.dumped_cpu_s, strict=True)]

    @property
    def limit(self) -> float:
        """The share of the time of EVERY steps that the disk alone needs, at its own speed."""
        return _lower(self.disk_s) / _lower(self.plain_s)


def main(arguments: list[str]) -> int:
    """Parse, run, report."""
    options = parse(arguments)
    load = os.getloadavg()[0]
    keep_freed_memory()
    cases = [measured(batch, side, options.rounds, options.folder) for batch, side in options.cases]
    tables = [time_table(cases), blocked_table(cases), targets_table(cases)]
    for table in tables:
        print_table(table, Console())
    if options.write:
        head = ["## Overhead of dumping", describe(arguments, load, "benchmarks/dump_overhead.py")]
        write_section(options.output, "\n\n".join([*head, *map(markdown, tables)]), "dump_overhead")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="dump_overhead.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=int, default=15, metavar="N", help="rounds of each case (default: 15)")
    add("--cases", type=_cases, default=list(CASES), metavar="BxS,BxS", help="batch x side (default: 128x32,64x64)")
    add("--folder", type=Path, default=Path.cwd(), help="on the disk that is measured (default: here)")
    add("--write", action="store_true", help="renew the section of the output file")
    add("--output", type=Path, default=ROOT / "docs" / "benchmarks.md", help="file (default: docs/benchmarks.md)")
    return parser.parse_args(arguments)


def _cases(text: str) -> list[tuple[int, int]]:
    try:
        found = [tuple(int(n) for n in word.split("x")) for word in text.split(",")]
        return [(batch, side) for batch, side in found]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 128x32,64x64") from None


# -- measuring --------------------------------------------------------------------------------------


def measured(batch: int, side: int, rounds: int, folder: Path) -> Case:
    """One case: warm up, then rounds of EVERY steps with a dump and without."""
    torch.manual_seed(0)
    case = Case(batch, side)
    model = torchvision.models.resnet18(num_classes=10)
    optimizer = torch.optim.Adam(model.parameters())
    data = [(torch.randn(batch, 3, side, side), torch.randint(0, 10, (batch,))) for _ in range(4)]
    place = Path(tempfile.mkdtemp(dir=folder, prefix=".dump_overhead."))
    timed_writing(case)
    dumper = modelcmp.BatchDumper(place, EVERY, keep_last=3)
    try:
        for warm in (True, False):
            for number in range(2 if warm else rounds):
                run_round(case, number, model, optimizer, data, dumper)
                if not warm:
                    copies(case, model, optimizer)
                    case.disk_s.append(plain_write(place, case.bytes))
                    tell(f"{batch} x {side}: round {number + 1} of {rounds}, added {median(case.added):+.1%}")
            if warm:
                forget(case)
        dumper.close()
    finally:
        shutil.rmtree(place)
    return case


def run_round(
    case: Case, number: int, model: nn.Module, optimizer: torch.optim.Optimizer, data: list[tuple[Tensor, Tensor]],
    dumper: modelcmp.BatchDumper,
) -> None:  # fmt: skip
    """EVERY steps twice; the first of those with dumps is the one that dumps, so that all of its cost falls in them."""
    for dumps in (True, False) if number % 2 else (False, True):
        dumper.go_on(epoch=number + 1, batch=EVERY - 1, step=0)
        thread, process, start = writer_cpu(), process_time(), clock()
        for i in range(EVERY):
            x, y = data[i % len(data)]
            loss = train_step(model, optimizer, x, y)
            if dumps:
                before = clock()
                dumper.step(model, optimizer, loss=loss, batch=(x, y))
                if i == 0:
                    case.blocked_s.append(clock() - before)
        seconds, cpu = clock() - start, process_time() - process
        dumper.flush()
        (case.dumped_s if dumps else case.plain_s).append(seconds)
        (case.dumped_cpu_s if dumps else case.plain_cpu_s).append(cpu)
        if dumps:
            case.thread_cpu_s.append(writer_cpu() - thread)


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    """An ordinary step; its loss."""
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def timed_writing(case: Case) -> None:
    """Have the thread that writes say how long each file took, and how large it is."""
    real: Callable[..., int] = getattr(writer.write_file, "real", writer.write_file)

    def timed(*arguments: object) -> int:
        start = clock()
        case.bytes = real(*arguments)
        case.written_s.append(clock() - start)
        return case.bytes

    timed.real = real  # type: ignore[attr-defined]
    writer.write_file = timed


def forget(case: Case) -> None:
    """What was measured while everything warmed up."""
    for name in ("plain_s", "dumped_s", "plain_cpu_s", "dumped_cpu_s", "thread_cpu_s", "blocked_s", "written_s"):
        getattr(case, name).clear()


def writer_cpu() -> float:
    """Seconds that the thread that writes has computed, to a hundredth; 0 before there is one."""
    import threading

    numbers = {t.native_id for t in threading.enumerate() if t.name == "dumps"}
    return sum(t.user_time + t.system_time for t in psutil.Process().threads() if t.id in numbers)


def copies(case: Case, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One plain copy of what is dumped, into memory that is ready and into fresh memory."""
    moments = [t for entry in optimizer.state.values() for t in entry.values() if isinstance(t, Tensor)]
    tensors = [*model.state_dict().values(), *moments]
    ready = [torch.zeros_like(t) for t in tensors]
    with torch.no_grad():
        start = clock()
        for target, tensor in zip(ready, tensors, strict=True):
            target.copy_(tensor)
        case.copy_s.append(clock() - start)
    pages = mmap.mmap(-1, sum(t.nbytes for t in tensors))
    fresh = torch.frombuffer(pages, dtype=torch.uint8)
    start, end = clock(), 0
    for tensor in tensors:
        fresh[end : end + tensor.nbytes].copy_(tensor.detach().reshape(-1).view(torch.uint8))
        end += tensor.nbytes
    case.clone_s.append(clock() - start)


def plain_write(folder: Path, size: int) -> float:
    """Seconds of one write and fsync of that many bytes."""
    data = mmap.mmap(-1, size)
    data[:] = os.urandom(1 << 20) * (size >> 20) + b"\1" * (size % (1 << 20))
    path = folder / "plain"
    start = clock()
    with path.open("wb", buffering=0) as file:
        view, done = memoryview(data), 0
        while done < size:
            done += file.write(view[done:])
        os.fsync(file.fileno())
    seconds = clock() - start
    view.release()
    path.unlink()
    return seconds


def tell(text: str) -> None:
    """One line on stderr that is overwritten; nothing where that is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:79]}", end="", file=sys.stderr, flush=True)


# -- tables -----------------------------------------------------------------------------------------


def time_table(cases: list[Case]) -> Table:
    """Time and processor time that dumping adds."""
    rows = tuple(
        (
            _label(c), f"{1e3 * _lower(c.plain_s) / EVERY:.0f}", f"{100 * c.added_quiet:+.1f} %", _share(c.added),
            _share(c.added_cpu),
            f"{1e3 * median(c.thread_cpu_s):.0f}", f"{100 * c.limit:.1f} %", str(len(c.plain_s)),
        )
        for c in cases
    )  # fmt: skip
    notes = (
        f"ResNet-18 of torchvision (10 classes), Adam, fp32, {torch.get_num_threads()} threads; every {EVERY} steps "
        f"a dump of weights, optimizer and the batch's fingerprint. In a round {EVERY} steps with a dump at the first "
        "of them and as many without, in turn.",
        "*ms a step*, *added time* and *limit* are of the lower quartiles of the rounds' times, since what else runs "
        "makes them longer and never shorter; *by round*: medians of the ratios within a round, in brackets the middle "
        "half, which shows how idle the machine was.",
        "*CPU* is that of all threads of the process (those of torch that wait for each other compute, too); *thread* "
        "what the one that writes has computed for a dump, to 10 ms. *Limit*: the share of the time between two dumps "
        "that the disk needs for them, at the speed of a plain write and fsync.",
    )
    head = ("batch, input", "ms a step", "added time", "by round", "added CPU", "thread, ms a dump", "limit", "rounds")
    return Table("Training with a dump every 10 steps", head, rows, notes)


def blocked_table(cases: list[Case]) -> Table:
    """How long the step is blocked, and writing."""
    rows = tuple(
        (
            _label(c), f"{c.bytes / 1e6:.0f}", _ms(c.blocked_s), _ms(c.copy_s), _ms(c.clone_s), _ms(c.written_s),
            f"{c.bytes / 1e9 / median(c.written_s):.2f}", f"{c.bytes / 1e9 / median(c.disk_s):.2f}",
        )
        for c in cases
    )  # fmt: skip
    notes = (
        "*blocked*: the whole call of `dumper.step` that dumps, state dicts and the batch included; *copy*: tensors "
        "of the dump one by one into memory that is ready, *fresh*: into memory that the kernel has yet to hand out, "
        "as `clone` gets it. Medians, in brackets the middle half.",
        "*written*: until the file is on the disk under its name, while training goes on; GB/s of that, and of a plain "
        "write and fsync of as many bytes while nothing else runs in this process.",
    )
    head = ("batch, input", "MB a dump", "blocked, ms", "copy, ms", "fresh, ms", "written, ms", "GB/s", "disk GB/s")
    return Table("The step that dumps, and the disk", head, rows, notes)


def targets_table(cases: list[Case]) -> Table:
    """What was aimed for."""
    rows = []
    for c in cases:
        added, ratio = c.added_quiet, median(c.blocked_s) / median(c.copy_s)
        rows.append((f"{_label(c)}: added time", "≤ 5 %", f"{100 * added:.1f} %", _yes(added <= 0.05)))
        rows.append((f"{_label(c)}: blocked over a copy", "≤ 1", f"{ratio:.2f}", _yes(ratio <= 1)))
        ratio = median(c.blocked_s) / median(c.clone_s)
        rows.append((f"{_label(c)}: blocked over a copy into fresh memory", "≤ 1", f"{ratio:.2f}", _yes(ratio <= 1)))
    return Table("Targets of dumping", ("figure", "target", "measured", "met"), tuple(rows))


def _label(case: Case) -> str:
    return f"{case.batch}, 3x{case.side}x{case.side}"


def _yes(met: bool) -> str:
    return "yes" if met else "no"


def _lower(values: list[float]) -> float:
    return quantiles(values, n=4, method="inclusive")[0]


def _share(values: list[float]) -> str:
    low, _, high = quantiles(values, n=4, method="inclusive")
    return f"{100 * median(values):+.1f} % ({100 * low:+.1f} – {100 * high:+.1f})"


def _ms(values: list[float]) -> str:
    low, _, high = quantiles(values, n=4, method="inclusive")
    return f"{1e3 * median(values):.1f} ({1e3 * low:.1f} – {1e3 * high:.1f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
