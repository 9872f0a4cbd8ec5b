"""``compare-models recipes``: packaged runs to start from."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import screen


def recipes(
    show: Annotated[
        str | None, typer.Option("--show", "-s", metavar="NAME", help="Print one, to copy and change.")
    ] = None,
) -> int:
    """List the packaged trainings and sweeps, or print one.

    \b
    Examples:
      compare-models recipes
      compare-models recipes --show quickstart > run.yaml
      compare-models train --config run.yaml
      compare-models sweep --recipe quick_sweep
    """
    from modelcmp.training import config_file

    if show is not None:
        screen.write_text(config_file.recipe_text(show), None)
        return 0
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("Recipe", no_wrap=True)
    table.add_column("Command", no_wrap=True)
    table.add_column("What it compares")
    for command, packaged in (("train", config_file.recipes()), ("sweep", config_file.sweep_recipes())):
        for name, text in packaged.items():
            table.add_row(name, command, text.splitlines()[0].removeprefix("# "))
    screen.show([table], None)
    screen.note(
        "run one with `compare-models COMMAND --recipe NAME`, copy one with `compare-models recipes --show NAME`"
    )
    return 0
