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
    """List the packaged runs, or print one.

    \b
    Examples:
      compare-models recipes
      compare-models recipes --show quickstart > run.yaml
      compare-models train --config run.yaml
    """
    from modelcmp.training.config_file import recipe_text
    from modelcmp.training.config_file import recipes as packaged

    if show is not None:
        screen.write_text(recipe_text(show), None)
        return 0
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("Recipe", no_wrap=True)
    table.add_column("What it compares")
    for name, text in packaged().items():
        table.add_row(name, text.splitlines()[0].removeprefix("# "))
    screen.show([table], None)
    screen.note("run one with `compare-models train --recipe NAME`, copy one with `compare-models recipes --show NAME`")
    return 0
