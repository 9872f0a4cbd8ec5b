"""``compare-models plot MODEL...``: two metrics against each other, or bars of a few models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen
from ..choosing import Choice, read_choice
from ..predicted import machine, placed
from ..profiled import check_profiling, profiled

if TYPE_CHECKING:
    from modelcmp.comparison import Comparison
    from modelcmp.metrics import Metric


def plot(
    models: opt.Models,
    x: Annotated[
        str | None, typer.Option("--x", "-x", metavar="METRIC", help="To the right: macs, params, ai, ...")
    ] = None,
    y: Annotated[str | None, typer.Option("--y", "-y", metavar="METRIC", help="Upwards: top1, ai, ...")] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", "-c", metavar="A,B,C", help="Metrics of the bars, without --x and --y."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="A .png, .svg or .html file.")] = Path(
        "models.png"
    ),
    sort_by: Annotated[
        str | None, typer.Option("--sort-by", "-s", metavar="METRIC", help="Order of the bars, best first.")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Worst first.")] = False,
    top: opt.Top = None,
    where: opt.Where = None,
    join: opt.Join = None,
    pareto: opt.Pareto = None,
    batch_size: opt.BatchSize = 1,
    input_size: opt.InputSize = None,
    dtype: opt.DType = "fp32",
    mode: opt.Mode = "eval",
    convention: opt.Convention = "total",
    kwargs: opt.Kwargs = None,
    reparam: opt.Reparam = False,
    hardware: opt.Hardware = None,
    level: opt.Level = None,
    compiled: opt.Compiled = False,
    jobs: opt.Jobs = None,
    timeout: opt.Timeout = None,
    memory_limit: opt.MemoryLimit = None,
    engine: opt.Engine = "local",
    address: opt.Address = None,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
) -> int:
    """Draw models: any two metrics against each other, or a panel of bars for up to 12 models.

    With --x and --y, or with --pareto, a point a model; the Pareto front of the two is drawn as a line.
    Without them a bar a model for each metric.

    \b
    Examples:
      compare-models plot resnet18 mobilenet_v2 vit_b_16 --output bars.png
      compare-models plot resnet18 resnet50 --columns params,macs,ai --output bars.svg
      compare-models plot 'torchvision:*' --x macs --y top1 --output zoo.html
      compare-models plot 'timm:vit_*' --join accuracy.csv --pareto top1:macs:params
      compare-models plot 'torchvision:*' --hardware jetson_orin --dtype fp16 --pareto top1:latency -o orin.png
    """
    from modelcmp.reports.plots import check_picture
    from modelcmp.sources.selection import expand

    check_picture(output)
    choice = read_choice(
        join=join, where=where, pareto=pareto, sort_by=sort_by, reverse=reverse, top=top, columns=columns
    )
    axes = _axes(choice, x, y)
    request = check_profiling(batch_size, input_size, dtype, opt.parse_kwargs(kwargs), reparam, mode, convention)
    wanted = [*choice.named, *(choice.columns or ()), *(axes or ())]
    device = machine(hardware, level, compiled, dtype, mode, convention, wanted)
    specs = expand(models, screen.read_input)
    means = opt.means(cache_dir, no_cache, jobs, timeout, memory_limit, engine, address)
    everyone = profiled([(spec, request) for spec in specs], mode, convention, means, kernels=device is not None)
    everyone = placed(everyone, device, level, compiled)
    _draw(choice.shown(choice.narrowed(everyone, screen.note)), choice, axes, output)
    screen.note(f"wrote {output}")
    screen.report_failures(everyone.failures)
    return 1 if everyone.failures else 0


def _axes(choice: Choice, x: str | None, y: str | None) -> tuple[Metric, Metric] | None:
    """The metrics to the right and upwards; None where bars are wanted. Raises UsageError."""
    from modelcmp.errors import BadInput
    from modelcmp.reports.plots.data import check_number

    if (x is None) != (y is None):
        raise BadInput("two axes are wanted: give --x and --y")
    if x is not None and y is not None:
        across, up = choice.find(x), choice.find(y)
    elif choice.axes:
        up, across = choice.axes[:2]
    else:
        return None
    check_number(across)
    check_number(up)
    return across, up


def _draw(shown: Comparison, choice: Choice, axes: tuple[Metric, Metric] | None, output: Path) -> None:
    from modelcmp.errors import BadInput
    from modelcmp.reports.plots import bars, save, scatter

    if not shown.profiles:
        raise BadInput("no model is left to draw: loosen --where, or see above which models failed")
    caption = screen.caption(shown.profiles)
    if axes is None:
        save(bars(shown.profiles, choice.columns), output, title="Models side by side", caption=caption)
        return
    across, up = axes
    if not choice.axes and across.better and up.better and across.key != up.key:
        shown = shown.pareto((up, across))
    front = {i for i, p in enumerate(shown) if p.values.get("pareto")}
    save(scatter(shown.profiles, across, up, front), output, title=f"{up.label} against {across.label}",
         caption=caption)  # fmt: skip
