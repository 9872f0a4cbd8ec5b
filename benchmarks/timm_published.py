"""modelcmp beside timm's published GMACs, activations and parameters, under fvcore's convention.

    python benchmarks/timm_published.py tests/data/timm_published.csv --no-write

Reads timm's tables ``results/benchmark-infer-*.csv``, or what ``--save`` made of them; where two hold
the same model at the same size, the file named last decides. Prints its tables and renews its section
of ``docs/published.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from published_figures import ABOUT, Figures, Published, Result, Row, installed, measure, read, save
from rich.console import Console
from speed_processes import ROOT
from speed_report import Table, markdown, print_table, write_section

UNITS = "A cell of three figures: GMACs / millions of activations / millions of parameters."


def main(arguments: list[str]) -> int:
    """Parse, measure, report."""
    options = parse(arguments)
    tables = {path.name: read(path) for path in options.tables}
    published: Published = {}
    for table in tables.values():
        published |= table
    if options.save:
        save(options.save, published)
    results = measure(told(installed(published)))
    drawn = [share_table(results, tables), *group_tables(results)]
    for part in drawn:
        print_table(part, Console(width=None if sys.stdout.isatty() else 140))
    if not options.no_write:
        body = "\n\n".join(["## Result", summary(results, published, tables), *map(markdown, drawn)])
        write_section(options.output, body, "timm_published")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="timm_published.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", type=Path, nargs="+", metavar="CSV", help="published tables, the newest last")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "published.md", help="file to renew")
    parser.add_argument("--save", type=Path, metavar="CSV", help="write the tables' figures as one small table")
    parser.add_argument("--no-write", action="store_true", help="print only")
    return parser.parse_args(arguments)


def told(rows: list[Row]) -> Iterator[Row]:
    """The rows, each named on a terminal's last line while it is worked on."""
    for i, row in enumerate(rows):
        if sys.stderr.isatty():
            print(f"\r\x1b[K{i}/{len(rows)} {row.model}"[:79], end="", file=sys.stderr, flush=True)
        yield row


# -- tables -----------------------------------------------------------------------------------------


def share_table(results: list[Result], tables: dict[str, Published]) -> Table:
    """How many rows are met, figure by figure."""
    deployed = [r.again if r.again and r.group == "Deployed form" else r.built for r in results]
    lines = [
        _share("as built", [r.built for r in results], results),
        _share("as built or deployed", deployed, results),
        _share("as built or recomputed", [r.again or r.built for r in results], results),
    ]
    for name, published in tables.items() if len(tables) > 1 else ():
        own = [r for r in results if (r.row.published_as, r.row.size) in published]
        own = [r._replace(row=r.row._replace(published=published[r.row.published_as, r.row.size])) for r in own]
        lines.append(_share(f"as built, `{name}` alone", [r.built for r in own], own))
    columns = ("", "rows", "GMACs", "activations", "parameters", "all three")
    return Table("Rows within 1 %, or half of the last printed digit", columns, tuple(lines))


def _share(label: str, ours: list[Figures], results: list[Result]) -> tuple[str, ...]:
    met = [figures.meets(r.row.published) for figures, r in zip(ours, results, strict=True)]
    counts = [*map(sum, zip(*met, strict=True)), sum(map(all, met))] if met else []
    return (label, f"{len(met):,}", *(f"{n:,} ({100 * n / len(met):.1f} %)" for n in counts))


def group_tables(results: list[Result]) -> Iterator[Table]:
    """The rows that the model as built does not meet, by explanation."""
    columns = ("model", "size", "published", "as built", "recomputed")
    for group, about in ABOUT.items():
        lines = tuple(_line(r) for r in sorted(results) if r.group == group)
        if lines:
            yield Table(f"{group} ({len(lines)})", columns, lines, (about,))


def _line(result: Result) -> tuple[str, ...]:
    row, again = result.row, str(result.again or "–")
    recomputed = f"{again} ({result.twin})" if result.twin else again
    return (row.published_as, str(row.size), str(row.published), str(result.built), recomputed)


def summary(results: list[Result], published: Published, tables: dict[str, Published]) -> str:
    """What was compared, as Markdown list items."""
    models = {r.row.model.partition(".")[0] for r in results}
    gone = sorted({name for name, _ in published} - {r.row.published_as for r in results})
    items = [
        f"- Tables: {', '.join(f'`{name}`' for name in tables)}",
        f"- {', '.join(f'{name} {version(name)}' for name in ('modelcmp', 'timm', 'torch'))}",
        f"- {len(results):,} rows (a model at a size) of {len(models):,} architectures. {UNITS}",
        f"- {len(published) - len(results)} more rows are of names that this timm has no more: {', '.join(gone)}.",
    ]
    if len(tables) > 1:
        *earlier, last = tables.values()
        twice = [last[key].meets(table[key]) for table in earlier for key in table.keys() & last.keys()]
        apart = sum(not all(met) for met in twice)
        items.append(f"- {len(twice)} rows are in both tables; {apart} of them differ by more than the tolerance.")
    return "\n".join(items)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
