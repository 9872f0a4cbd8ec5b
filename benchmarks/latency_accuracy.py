"""Predicted inference times beside those that timm publishes, on two GPUs.

    python benchmarks/latency_accuracy.py TABLE.csv TABLE.csv

Reads timm's ``results/benchmark-infer-amp-nchw-*.csv``. Scores simple predictors, the data sheet alone, coefficients
fitted on the other GPU and on a few models of this one; counts measurements that are faster than the strict bound, and
lists what is furthest off. Prints its tables and renews its section of ``docs/benchmarks.md``. ``--ship`` writes the
coefficients that fit both tables into the package.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from datetime import date
from importlib.metadata import version
from pathlib import Path

import latency_ship
from latency_data import Table as Published
from latency_data import tables
from latency_fits import (
    NOISE,
    SAMPLE,
    SEEDS,
    Data,
    Off,
    Score,
    Spread,
    baselines,
    bounded,
    data_of,
    few,
    violations,
    worst,
)
from rich.console import Console
from speed_environment import describe
from speed_processes import ROOT
from speed_report import Table, markdown, print_table, write_section

from modelcmp.hardware.efficiency import DATASHEET, Efficiencies
from modelcmp.hardware.fitting import fit

_CLOSEST = 5
_TARGETS = {  # least tau, most median error
    "datasheet": (0.91, None),
    "fitted on the other GPU": (0.93, 0.10),
    f"{SAMPLE} random models over the other GPU's fit": (0.95, 0.07),
}
Result = Score | Spread


def main(arguments: list[str]) -> int:
    """Parse, collect, score, report."""
    load = os.getloadavg()[0]
    options = parse(arguments)
    found = [data_of(table) for table in tables(options.tables, options.keep, options.jobs)]
    told("fitting")
    fits = [fit([data.table.measured()]) for data in found]
    pooled = fit([data.table.measured() for data in found])
    results = [scores(data, own, other, pooled) for data, own, other in zip(found, fits, reversed(fits), strict=True)]
    drawn = [scores_table(found, results), targets_table(found, results), bound_table(found)]
    drawn += [worst_table(data, other) for data, other in zip(found, reversed(fits), strict=True)]
    for part in drawn:
        print_table(part, Console(width=None if sys.stdout.isatty() else 140))
    if options.ship:
        latency_ship.ship(pooled, fitted_on(found), [data.score(pooled) for data in found])
    if not options.no_write:
        about = f"{describe(arguments, load, 'benchmarks/latency_accuracy.py')}\n{summary(found)}"
        write_section(
            options.output, "\n\n".join(["## Predicted latency", about, *map(markdown, drawn)]), "latency_accuracy"
        )
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="latency_accuracy.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", type=Path, nargs=2, metavar="CSV", help="timm's tables of two GPUs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md", help="file to renew")
    parser.add_argument("--no-write", action="store_true", help="print only")
    parser.add_argument("--ship", action="store_true", help="write the fit of both tables into the package")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=1, help="processes that profile")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the models' kernels there, and take them")
    return parser.parse_args(arguments)


def told(text: str) -> None:
    """Say on a terminal's last line what is going on."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def scores(data: Data, own: Efficiencies, other: Efficiencies, pooled: Efficiencies) -> dict[str, Result]:
    """Every way of predicting a table's times."""
    told(f"scoring {data.device.name}")
    return {
        **baselines(data),
        "datasheet": data.score(DATASHEET),
        "fitted on the other GPU": data.score(other),
        f"{SAMPLE} random models alone": few(data, None),
        f"{SAMPLE} random models over the other GPU's fit": few(data, other),
        "fitted on both GPUs, as shipped": data.score(pooled),
        "fitted on this GPU": data.score(own),
    }


# -- tables -----------------------------------------------------------------------------------------


def scores_table(found: list[Data], results: list[dict[str, Result]]) -> Table:
    """Tau and error of every predictor on each GPU."""
    columns = [f"{data.device.name} {what}" for data in found for what in ("tau", "median %", "90th %")]
    rows = [(label, *(cell for result in results for cell in _cells(result[label]))) for label in results[0]]
    notes = (
        "Kendall's tau over times of an image; error: |predicted / measured − 1|, its median and 90th percentile.",
        "The first three use the published MACs and activations and are fitted on the rows that they are scored on, "
        "and so are the last two.",
        f"{SAMPLE} random models: {SEEDS} draws, each scored on all other models: mean (least – most). "
        "What they say nothing about stays at the coefficients' starts, or where the other GPU's fit has it.",
    )
    return Table("Accuracy", ("predictor", *columns), tuple(rows), notes)


def _cells(result: Result) -> list[str]:
    if isinstance(result, Score):
        return [f"{result.tau:.3f}", *(f"{100 * value:.1f}" for value in (result.median, result.p90))]
    errors = ("{:.1f} ({:.1f} – {:.1f})".format(*(100 * v for v in result.of(name))) for name in ("median", "p90"))
    return ["{:.3f} ({:.3f} – {:.3f})".format(*result.of("tau")), *errors]


def targets_table(found: list[Data], results: list[dict[str, Result]]) -> Table:
    """What was aimed for, and what came out on each GPU."""
    rows = []
    for label, (tau, median) in _TARGETS.items():
        for data, result in zip(found, results, strict=True):
            name = f"{label}, {data.device.name}"
            rows.append(_target(f"{name}: tau", _mean(result[label], "tau"), tau, "≥", 1))
            if median is not None:
                rows.append(_target(f"{name}: median error, %", _mean(result[label], "median"), median, "≤", 100))
    return Table("Targets for predicted latency", ("figure", "target", "measured", "met"), tuple(rows))


def _mean(result: Result, name: str) -> float:
    return float(getattr(result, name)) if isinstance(result, Score) else result.of(name)[0]


def _target(label: str, value: float, limit: float, sign: str, scale: float) -> tuple[str, ...]:
    met = value >= limit if sign == "≥" else value <= limit
    return (label, f"{sign} {scale * limit:g}", f"{scale * value:.3g}", "yes" if met else "no")


def bound_table(found: list[Data]) -> Table:
    """How close measurements come to the strict bound, and which are beyond."""
    rows, notes = [], []
    for data in found:
        everything = bounded(data.table)
        beyond = violations(everything)
        notes.append(
            f"{data.device.name}: {len(beyond)} of {len(everything):,} published rows are faster than the bound by "
            f"more than {100 * NOISE:.0f} %, {sum(row.share > 1 for row in everything)} by anything; "
            f"{sum(not row.profiled for row in everything)} of them have it from published figures."
        )
        for row in beyond or everything[:_CLOSEST]:
            p = row.published
            name = (data.device.name, p.published_as, str(p.size), str(p.batch_size))
            rows.append((*name, *_ms(p.seconds, row.strict_s), f"{row.share:.3f}"))
    columns = ("GPU", "model", "size", "batch", "measured ms", "bound ms", "bound / measured")
    return Table("The strict bound: violations, or else the closest", columns, tuple(rows), tuple(notes))


def worst_table(data: Data, coefficients: Efficiencies) -> Table:
    """The rows that are furthest off with the other GPU's coefficients."""
    rows = tuple(_worst_row(off) for off in worst(data, coefficients))
    columns = ("model", "size", "batch", "measured ms", "predicted ms", "ratio", "where the time is predicted to go")
    notes = ("Ratio: predicted over measured. What is unusual about a model's kernels stands behind; docs/latency.md "
             "says what is known about the reasons.",)  # fmt: skip
    return Table(f"Furthest off on {data.device.name}, fitted on the other GPU", columns, rows, notes)


def _worst_row(off: Off) -> tuple[str, ...]:
    p = off.row.published
    kinds = ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in off.shares[:3])
    return (p.published_as, str(p.size), str(p.batch_size), *_ms(p.seconds, off.predicted_s), f"{off.ratio:.2f}",
            "; ".join((kinds, *off.remarks)))  # fmt: skip


def _ms(*seconds: float) -> list[str]:
    return [f"{1e3 * value:.4g}" if value < 1 else f"{1e3 * value:.0f}" for value in seconds]


def summary(found: list[Data]) -> str:
    """What was compared, as Markdown list items."""
    return "\n".join(_about(data.table) for data in found)


def _about(table: Published) -> str:
    deployed = sum(row.deployed for row in table.rows)
    why = Counter(reason.partition(":")[0] for _, reason in table.left_out)
    gone = "; ".join(f"{count} {reason}" for reason, count in why.items())
    left_out = f"{len(table.left_out)} left out" + (f" ({gone})" if gone else "")
    return f"- `{table.name}`: {len(table.rows):,} rows, {deployed} of them in deployed form; {left_out}"


def fitted_on(found: list[Data]) -> str:
    """What the shipped coefficients were fitted on."""
    names = " and ".join(f"{data.table.name} ({len(data.table.rows)} models)" for data in found)
    packages = ", ".join(f"{name} {version(name)}" for name in ("timm", "torch"))
    return f"{names}; profiled with {packages}; {date.today().isoformat()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
