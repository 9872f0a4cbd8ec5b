"""What a search costs beside the training: ms a trial, next to plain Optuna's; and what a whole sweep takes besides.

    python benchmarks/sweep_overhead.py --write

Asks and tells the same number of trials with the same sampler, in blocks in turn: through ``modelcmp.sweeps.study``,
and through plain Optuna, each into an SQLite file of its own. Then whole searches of 20 tiny trainings, in this
process: how long they take, and how much of that the trainings themselves. Times are reported, never asserted.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from speed_environment import describe
from speed_processes import ROOT
from speed_report import UNSTEADY, Table, markdown, print_table, write_section
from sweep_studies import config, facts, opened

METHODS = ("random", "tpe", "grid")
LIMIT_MS = 50.0
#: Trials of one side before it is the other's turn.
_BLOCK = 10
Step = Callable[[int], None]


def main(arguments: list[str]) -> int:
    """Measure both, report."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options = parse(arguments)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="sweep_overhead-") as place:
        tables = [asking_table({m: asking(m, options.trials, Path(place)) for m in METHODS}, options.trials)]
        if options.trainings:
            rounds = [whole(options.trainings, Path(place) / str(n)) for n in range(options.repeats)]
            tables.append(whole_table(rounds, options.trainings))
    for table in tables:
        print_table(table, Console())
    if options.write:
        about = describe(arguments, load, "benchmarks/sweep_overhead.py")
        text = "\n\n".join(["## Overhead of a search", about, *map(markdown, tables)])
        write_section(options.output, text, "sweep_overhead")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="sweep_overhead.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--trials", type=int, default=200, metavar="N", help="trials that are asked and told (default: 200)")
    add("--trainings", type=int, default=20, metavar="N", help="tiny trainings of the sweep (default: 20; 0: none)")
    add("--repeats", type=int, default=3, metavar="N", help="sweeps (default: 3)")
    add("--folder", type=Path, default=None, help="where all is written, and removed (default: the system's)")
    add("--write", action="store_true", help="renew the section of the output file")
    add("--output", type=Path, default=ROOT / "docs" / "benchmarks.md", help="file (default: docs/benchmarks.md)")
    return parser.parse_args(arguments)


# -- asking and telling -----------------------------------------------------------------------------------


def asking(method: str, trials: int, folder: Path) -> dict[str, list[float]]:
    """Milliseconds of each trial, of both sides, in turn."""
    sides = {"ours": ours(method, trials, folder / method), "plain": plain(method, trials, folder / method)}
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for block in range(0, trials, _BLOCK):
        order = list(sides) if block % (2 * _BLOCK) else list(sides)[::-1]
        for name in order:
            for n in range(block, min(block + _BLOCK, trials)):
                began = time.perf_counter()
                sides[name](n)
                spent[name].append(1e3 * (time.perf_counter() - began))
    return spent


def value(n: int) -> float:
    """What a trial reached."""
    return ((37 * n) % 101) / 101


def ours(method: str, trials: int, folder: Path) -> Step:
    """A trial as a search has it: asked, and told with its facts."""
    from modelcmp.sweeps.methods import sampler_of

    chosen = config(method, trials)
    study, space = opened(chosen, "mlp", folder), chosen.spaces["mlp"]
    sampler = sampler_of(chosen.method, 1)
    if sampler is None:
        study.enqueue([space.to_optuna(point) for point in space.points()])

    def step(n: int) -> None:
        asked = study.ask(space, sampler)
        study.tell(asked.number, "finished", [value(n)], facts(f"mlp-{asked.number:04}"))

    return step


def plain(method: str, trials: int, folder: Path) -> Step:
    """The same written by hand, into Optuna's own storage with its own settings."""
    import optuna

    space = config(method, trials).spaces["mlp"]
    samplers = {
        "random": lambda: optuna.samplers.RandomSampler(seed=1),
        "tpe": lambda: optuna.samplers.TPESampler(seed=1),
        "grid": lambda: optuna.samplers.GridSampler({"point": list(range(len(space.points())))}, seed=1),
    }
    url = f"sqlite:///{folder}/plain.db"
    study = optuna.create_study(storage=url, study_name="plain", sampler=samplers[method]())

    def suggest(trial: Any) -> None:
        if method == "grid":  # it has no conditionals: a point stands for its parameters
            trial.suggest_int("point", 0, len(space.points()) - 1)
            return
        trial.suggest_float("lr", 1e-4, 0.1, log=True)
        trial.suggest_categorical("batch_size", [256, 512, 1024])
        if trial.suggest_categorical("optimizer.name", ["adam", "sgd"]) == "sgd":
            trial.suggest_categorical("optimizer.momentum", [0.0, 0.9])

    def step(n: int) -> None:
        trial = study.ask()
        suggest(trial)
        trial.set_user_attr("facts", facts(f"mlp-{n:04}"))
        study.tell(trial, value(n))

    return step


def asking_table(found: dict[str, dict[str, list[float]]], trials: int) -> Table:
    """Milliseconds a trial of each method."""
    rows = []
    for method, spent in found.items():
        mine, other = spent["ours"], spent["plain"]
        late = mine[-max(1, trials // 4) :]
        rows.append((method, f"{mean(mine):.1f}", f"{median(mine):.1f}", f"{max(mine):.0f}", f"{mean(late):.1f}",
                     f"{mean(other):.1f}", f"{mean(mine) / mean(other):.2f}"))  # fmt: skip
    notes = (
        f"{trials} trials of one study, four parameters of which one is conditional, into an SQLite file: asked, and "
        "told with value, state and facts; nothing is trained. *Last*: the mean of the last quarter, since what there "
        "is to read grows. By hand: Optuna's own storage, sampler, `ask`, `suggest`, `set_user_attr` and `tell`; its "
        "grid draws one number instead of four parameters.",
        f"Aim: under {LIMIT_MS:g} ms.",
    )
    columns = ("method", "mean ms", "median", "longest", "last", "by hand, ms", "× by hand")
    return Table("A trial, without its training", columns, tuple(rows), notes)


def mean(values: list[float]) -> float:
    """Their mean."""
    return sum(values) / len(values)


# -- a whole sweep ----------------------------------------------------------------------------------------


def whole(trainings: int, folder: Path) -> tuple[float, float]:
    """Seconds of a sweep of tiny trainings, and of the trainings in it."""
    from modelcmp.sweeps import crew
    from modelcmp.sweeps.search import search

    if folder.name == "0":
        search(config("random", 1, epochs=1), folder / "first")  # imports, and torch's first steps
    run_unit, trained = crew.run_unit, 0.0

    def timed(*arguments: Any) -> Any:
        nonlocal trained
        began = time.perf_counter()
        try:
            return run_unit(*arguments)
        finally:
            trained += time.perf_counter() - began

    crew.run_unit = timed
    try:
        began = time.perf_counter()
        sweep = search(config("random", trainings // 2, epochs=1), folder / "sweep")
        searched = time.perf_counter() - began
    finally:
        crew.run_unit = run_unit
    if {t.state for t in sweep.trials} != {"finished"} or len(sweep.trials) != 2 * (trainings // 2):
        raise SystemExit(f"the sweep ended with {[t.state for t in sweep.trials]}")
    return searched, trained


def whole_table(rounds: list[tuple[float, float]], trainings: int) -> Table:
    """Seconds of both, and what a trial costs beyond its training."""
    rows = []
    for n, (searched, trained) in enumerate(rounds, 1):
        extra = 1e3 * (searched - trained) / trainings
        rows.append((str(n), f"{searched:.2f}", f"{trained:.2f}", f"{extra:.1f}"))
    notes = [
        f"{trainings} trainings of one epoch on scikit-learn's digits, half a CNN's, half an MLP's, one after the "
        "other, each in its workspace: planned, trained, evaluated, saved. *Besides*: asking and telling, and what a "
        "sweep does once (planning, opening the storage, writing its config).",
        f"Aim: under {LIMIT_MS:g} ms a trial.",
    ]
    seconds = [t for _, t in rounds]
    if max(seconds) > UNSTEADY * min(seconds):
        notes.append("Rounds differ: the machine was not idle.")
    columns = ("round", "sweep, s", "of which trainings, s", "besides, ms a trial")
    return Table(f"A whole sweep of {trainings} tiny trainings", columns, tuple(rows), tuple(notes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
