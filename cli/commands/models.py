"""``compare-models list``: what can be named."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import screen


def list_models(
    pattern: Annotated[
        str, typer.Argument(metavar="[PATTERN]", help="A glob, a part of the name, or a folder.", show_default=False)
    ] = "*",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """List the models of every source, one a line, without importing any of them.

    \b
    Examples:
      compare-models list
      compare-models list resnet
      compare-models list 'timm:vit_*'
      compare-models list 'torchvision:*'
      compare-models list nets/
    """
    from modelcmp.reports.export import json_text
    from modelcmp.sources import SOURCES, find_names

    found = _own(pattern) or find_names(pattern)
    first = next(iter(SOURCES))
    specs = [name if source in (first, "file") else f"{source}:{name}" for source, name in found]
    if json:
        rows = [{"spec": spec, "source": s, "name": n} for spec, (s, n) in zip(specs, found, strict=True)]
        screen.write_text(json_text(rows), None)
        return 0
    screen.write_text("".join(f"{spec}\n" for spec in specs), None)
    counted = ["file"] if found and found[0][0] == "file" else list(SOURCES)
    counts = ", ".join(f"{sum(s == source for s, _ in found)} in {source}" for source in counted)
    screen.note(f"{len(found)} models ({counts})")
    if not found:
        screen.warn(f"no model matches {pattern!r}: try a shorter part of its name")
        return 1
    return 0


def _own(pattern: str) -> list[tuple[str, str]]:
    """The models of a folder or of files of the user's own."""
    from modelcmp.sources.selection import expand

    if "/" not in pattern and not pattern.endswith(".py"):
        return []
    return [("file", spec) for spec in expand([f"{pattern}:*" if pattern.endswith(".py") else pattern])]
