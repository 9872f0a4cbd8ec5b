"""``compare-models cache info|clear``: the profiles that are kept."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from .. import options as opt
from .. import screen

app = typer.Typer(no_args_is_help=True, help="Look at the profiles that are kept, or forget them.")


@app.command("info")
def info(
    cache_dir: opt.CacheDir = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Show where profiles are kept, how many they are and how many were made by other versions.

    \b
    Examples:
      compare-models cache info
      compare-models cache info --cache-dir /data/profiles --json
    """
    from dataclasses import asdict

    from modelcmp.reports.export import json_text
    from modelcmp.store.cache import Cache
    from modelcmp.store.place import cache_folder
    from modelcmp.units import scaled

    with Cache(cache_folder(cache_dir), screen.warn) as cache:
        found = cache.info()
    if json:
        screen.write_text(json_text(asdict(found) | {"path": str(found.path)}), None)
        return 0
    sources = ", ".join(f"{count} {name}" for name, count in found.by_source.items())
    lines = [
        f"file      {found.path}" + ("" if found.path.is_file() else " (not made yet)"),
        f"size      {scaled(found.size_bytes, 'B')}",
        f"profiles  {found.profiles}" + (f" ({sources})" if sources else ""),
        f"stale     {found.stale} (made by other versions; `compare-models cache clear --stale` forgets them)",
    ]
    if found.newest_s is not None and found.oldest_s is not None:
        lines.append(f"made      {_date(found.oldest_s)} to {_date(found.newest_s)}")
    screen.write_text("".join(f"{line}\n" for line in lines), None)
    return 0


@app.command("clear")
def clear(
    stale: Annotated[bool, typer.Option("--stale", help="Only what other versions made.")] = False,
    cache_dir: opt.CacheDir = None,
) -> int:
    """Forget the profiles that are kept.

    \b
    Examples:
      compare-models cache clear
      compare-models cache clear --stale
    """
    from modelcmp.store.cache import Cache
    from modelcmp.store.place import cache_folder

    with Cache(cache_folder(cache_dir), screen.warn) as cache:
        forgotten = cache.clear(stale_only=stale)
    screen.note(f"{forgotten} profiles forgotten in {cache.path}")
    return 0


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
