"""``compare-models scale MODEL``: how figures grow with the batch or the input size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen
from ..choosing import read_choice
from ..profiled import check_profiling, profiled

if TYPE_CHECKING:
    from modelcmp.comparison import Comparison
    from modelcmp.growth import Turn
    from modelcmp.metrics import Metric
    from modelcmp.profiling.many import Means
    from modelcmp.records import ModelProfile
    from modelcmp.reports.growth_table import Over
    from modelcmp.sources import Request


def scale(
    model: opt.Model,
    batch: Annotated[
        str, typer.Option("--batch", "--batch-size", "-b", metavar="N,N,...", help="Batch sizes: 1,2,4,...,256.")
    ] = "",
    input_size: Annotated[
        str,
        typer.Option("--input-size", "-i", metavar="N,N,...", help="Input sizes: 128,160,...,512; one may be 3x64x64."),
    ] = "",
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the growth: .png, .svg or .html.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", "-c", metavar="A,B,C", help="Only these metrics, in this order.")
    ] = None,
    format: opt.Format = None,
    output: opt.Output = None,
    dtype: opt.DType = "fp32",
    mode: opt.Mode = "eval",
    convention: opt.Convention = "total",
    kwargs: opt.Kwargs = None,
    reparam: opt.Reparam = False,
    strict: opt.Strict = False,
    jobs: opt.Jobs = None,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
) -> int:
    """Show how one model's MACs, traffic, AI and peak memory grow with its batch or its input size.

    Weights are read once a batch, so that AI grows with it: below the table stands where the roofline
    class turns. Vary one of the two; the other takes one value. Dots continue a series by its step, else
    by its factor.

    \b
    Examples:
      compare-models scale resnet18 --batch 1,2,4,...,256
      compare-models scale vit_b_16 --input-size 128,160,...,512 --plot growth.png
      compare-models scale timm:convnext_tiny --batch 1,8,64 --input-size 288 --format csv
    """
    from modelcmp.sources import identify

    style = opt.choose_format(format, output)
    chosen = read_choice(columns=columns).columns
    if plot is not None:
        from modelcmp.reports.plots import check_picture

        check_picture(plot)
    over, requests = _requests(batch, input_size, dtype, kwargs, reparam, mode, convention)
    identify(model)
    means = opt.means(cache_dir, no_cache, jobs)
    found = profiled([(model, request) for request in requests], mode, convention, means)
    if not found.profiles:
        screen.report_failures(found.failures)
        return 1
    turns = _turns(found, over, requests[0], mode, convention, means)
    _render(found, over, turns, style, chosen, output, convention)
    screen.report_failures(found.failures)
    if plot is not None and len(found.profiles) > 1:
        _draw(found, turns, over, plot)
    return 1 if found.failures or (strict and any(p.uncounted for p in found)) else 0


def _requests(
    batch: str, input_size: str, dtype: str, kwargs: str | None, reparam: bool, mode: str, convention: str
) -> tuple[Over, list[Request]]:
    """What varies, and the request for each value; raises BadInput."""
    from modelcmp.errors import BadInput
    from modelcmp.growth import parse_values

    batches = parse_values(batch, "--batch") if batch else (1,)
    sizes: tuple[str | None, ...] = (input_size or None,)
    if "," in input_size:
        sizes = tuple(str(size) for size in parse_values(input_size, "--input-size"))
    if len(batches) > 1 and len(sizes) > 1:
        raise BadInput("vary --batch or --input-size, and give the other one value")
    if len(batches) == len(sizes) == 1:
        raise BadInput("nothing varies: give --batch 1,2,4,...,256 or --input-size 128,160,...,512")
    factory_kwargs = opt.parse_kwargs(kwargs)
    requests = [
        check_profiling(n, size, dtype, factory_kwargs, reparam, mode, convention) for n in batches for size in sizes
    ]
    return "batch_size" if len(batches) > 1 else "input_size", requests


def _turns(
    found: Comparison, over: Over, request: Request, mode: str, convention: str, means: Means
) -> tuple[Turn, ...]:
    """Where the class changes, to the exact batch size where the batch varies."""
    from dataclasses import replace

    from modelcmp.growth import narrowed, turns
    from modelcmp.profiling.many import Means

    here = Means(means.cache)  # one size at a time: a process for each would mostly import torch

    def at(batch_size: int) -> ModelProfile:
        pair = (found.profiles[0].name, replace(request, batch_size=batch_size))
        return profiled([pair], mode, convention, here).profiles[0]

    rough = turns(found.profiles)
    return tuple(narrowed(turn, at) for turn in rough) if over == "batch_size" else rough


def _render(
    found: Comparison,
    over: Over,
    turns: tuple[Turn, ...],
    style: str,
    columns: tuple[Metric, ...] | None,
    output: opt.Output,
    convention: str,
) -> None:
    from modelcmp.reports import export
    from modelcmp.reports.growth_table import growth_markdown, growth_tables, turn_lines

    words = [*turn_lines(found.profiles, turns, over), *export.settings_lines(found.profiles)[:1]]
    if style == "table":
        width = screen.stdout().width if output is None else 120
        tables = growth_tables(found.profiles, over, width, columns)
        screen.show([found.profiles[0].name, *tables, *words], output)
    elif style == "markdown":
        text = growth_markdown(found.profiles, over, columns) + "".join(f"\n{line}\n" for line in words)
        screen.write_text(text, output)
    elif style == "csv":
        screen.write_text(export.csv_text(export.comparison_rows(found, columns)), output)
    else:
        document = export.document(convention, export.comparison_rows(found, columns), found.failures)
        screen.write_text(export.json_text(document), output)


def _draw(found: Comparison, turns: tuple[Turn, ...], over: Over, plot: Path) -> None:
    """The sizes asked for, and those between which the class turns."""
    from modelcmp.reports.growth_table import size_of
    from modelcmp.reports.plots import growth, save

    everything = [*found.profiles, *(p for turn in turns for p in (turn.before, turn.after))]
    by_size = {size_of(p, over): p for p in everything}
    word = {"batch_size": "batch size", "input_size": "input size"}[over]
    save(
        growth([by_size[size] for size in sorted(by_size)], over), plot, title=f"{found.profiles[0].name} by {word}",
        caption=screen.caption(found.profiles, without_batch=over == "batch_size"),
    )  # fmt: skip
    screen.note(f"wrote {plot}")
