"""``compare-models calibrate``: what this machine can do, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen
from .bench import DeviceName, DTypes, Threads, listed

if TYPE_CHECKING:
    from modelcmp.measuring.results import Calibration


def calibrate(
    device: DeviceName = "cpu",
    dtype: DTypes = None,
    threads: Threads = None,
    quick: Annotated[bool, typer.Option("--quick", help="In about 15 seconds, and less sure.")] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="What to call the machine: a-z, 0-9 and _.", show_default="by its model"
        ),
    ] = None,
    format: opt.Format = None,
    output: opt.Output = None,
) -> int:
    """Measure in about a minute what this machine can do, and keep it as a device.

    Matrix products, convolutions, other operations, copies and launches are
    timed per dtype: the machine's roofs. On a CPU small pieces of networks
    are timed, too, and what kernels reach of the roofs is fitted to all of
    them: predictions at the level "this machine". From then on `this` names the machine wherever
    `--hardware` is asked for, and `bench` shows what was predicted beside
    what it measures. Interrupted, it keeps nothing.

    \b
    Examples:
      compare-models calibrate
      compare-models calibrate --quick --threads 4
      compare-models bench resnet18 mobilenet_v2        measured and predicted
      compare-models calibrate --device cuda --dtype fp32,tf32,bf16
      compare-models calibrate --name my_laptop --format json --output roofs.json
    """
    style = opt.choose_format(format, output)
    _check_name(name)
    with screen.progress(100) as progress:
        from modelcmp.hardware.catalogue import save
        from modelcmp.measuring.calibrate import calibrate as measure

        found = measure(
            device, dtypes=listed(dtype) or None, threads=threads, quick=quick, name=name, progress=progress
        )
    kept = save(found.device)
    _render(found, style, output)
    from modelcmp.reports.calibration_table import noise_line

    if line := noise_line(found):
        screen.warn(line)
    screen.note(f"kept as {found.device.name} in {kept}: name it with --hardware, or say `this`")
    return 0


def _check_name(name: str | None) -> None:
    """Refuse a name that could not be kept, before a minute is spent."""
    import re

    from modelcmp.errors import BadInput

    if name is None:
        return
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise BadInput(f"--name {name!r} cannot be a machine's name: use a-z, 0-9 and _")
    from modelcmp.hardware.catalogue import devices

    known = devices()
    if name in known and not known[name].measured:
        raise BadInput(f"--name {name!r} is taken by {known[name].title}: give this machine another")


def _render(found: Calibration, style: str, output: opt.Output) -> None:
    from modelcmp.reports import calibration_table as report
    from modelcmp.reports import export, tables

    if style == "json":
        screen.write_text(export.json_text(report.calibration_json(found)), output)
    elif style == "csv":
        screen.write_text(export.csv_text(report.calibration_csv_rows(found)), output)
    elif style == "markdown":
        screen.write_text(report.calibration_markdown(found), output)
    else:
        width = screen.stdout().width if output is None else 120
        rows = report.roof_rows(found)
        columns = [
            tables.Column("Measured", tuple(r[1] for r in rows)),
            tables.Column("By", tuple(r[2] for r in rows), "left"),
        ]
        title = f"{found.device.name}: {found.device.title}"
        names = [r[0] for r in rows]
        found_tables = tables.split_tables(
            names, columns, width, title=title, head="Roof", name_width=max(map(len, names))
        )
        line = report.fit_line(found)
        screen.show([*found_tables, *([line] if line else [])], output)
