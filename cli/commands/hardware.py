"""``compare-models hardware [PATTERN]``: the machines that times are predicted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen

if TYPE_CHECKING:
    from modelcmp.hardware.device import Device


def hardware(
    pattern: Annotated[
        str,
        typer.Argument(
            metavar="PATTERN",
            help="A name, a part of one, a glob, my.toml, or this (the machine calibrated here).",
            show_default=False,
        ),
    ] = "*",
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            metavar="TYPE",
            help="Whose peak and ridge point: fp64, fp32, tf32, bf16, fp16, fp8 or int8.",
            show_default="the faster of fp16 and bf16",
        ),
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option("--hardware", metavar="FILE", help="Add the machines of my.toml; may be repeated."),
    ] = None,
    format: opt.Format = None,
    output: opt.Output = None,
) -> int:
    """List the machines by name: peaks, bandwidth, cache, memory and ridge point. One machine: all about it.

    Peaks are dense and accumulate in fp32. Machines that were calibrated are
    marked as measured. docs/hardware.md says how to add your own.

    \b
    Examples:
      compare-models hardware
      compare-models hardware h100
      compare-models hardware rtx --dtype fp8
      compare-models hardware --hardware my.toml
      compare-models hardware 'a100*' --format json --output machines.json
    """
    from modelcmp.hardware.catalogue import select
    from modelcmp.reports.machine_table import check_dtype

    style = opt.choose_format(format, output)
    dtypes = check_dtype(dtype)
    found = select(pattern)
    for file in own or ():
        found += select(file)
    _render(found, dtypes, style, output)
    return 0


def _render(found: list[Device], dtypes: tuple[str, ...], style: str, output: opt.Output) -> None:
    from modelcmp.reports import export
    from modelcmp.reports import machine_table as report

    if style == "json":
        screen.write_text(export.json_text(report.machine_json(found)), output)
    elif style == "csv":
        screen.write_text(export.csv_text(report.machine_csv_rows(found, dtypes)), output)
    elif style == "markdown":
        screen.write_text(report.machine_markdown(found, dtypes), output)
    elif len(found) == 1:
        screen.show(report.machine_details(found[0]), output)
    else:
        screen.show(report.machine_tables(found, dtypes), output)
