"""``compare-models MODEL...``: profile models and rank them."""

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

#: How many models a remark names.
_NAMED = 5
#: Columns that give way in a narrow terminal, the first one first.
_SPARE = ("flops", "traffic_bytes", "params", "macs", "fits", "bound", "limited_by", "ai")


def compare(
    models: opt.Models,
    sort_by: Annotated[
        str | None,
        typer.Option(
            "--sort-by", "-s", metavar="METRIC", autocompletion=lambda incomplete: _metric_names(incomplete),
            help="Best first by a metric: params, size, macs, flops, memory, efficiency, ai, layers, depth, "
            "activations, peak_memory, top1 or any other key.",
        ),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Worst first.")] = False,
    top: opt.Top = None,
    where: opt.Where = None,
    join: opt.Join = None,
    pareto: opt.Pareto = None,
    front_only: Annotated[bool, typer.Option("--front-only", help="Only the models on the Pareto front.")] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the front: .png, .svg or .html.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Every section, and the rankings.")] = False,
    columns: Annotated[
        str | None, typer.Option("--columns", "-c", metavar="A,B,C", help="Only these metrics, in this order.")
    ] = None,
    format: opt.Format = None,
    output: opt.Output = None,
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
    strict: opt.Strict = False,
    jobs: opt.Jobs = None,
    timeout: opt.Timeout = None,
    memory_limit: opt.MemoryLimit = None,
    engine: opt.Engine = "local",
    address: opt.Address = None,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
) -> int:  # fmt: skip
    """Profile models and compare them side by side, two or the whole zoo.

    Nothing is downloaded or computed: parameters, MACs, FLOPs, memory traffic, arithmetic intensity
    and roofline class follow from the operations that one forward pass runs. What was profiled once
    is answered from a cache.

    \b
    Examples:
      compare-models resnet18 mobilenet_v2 --sort-by ai
      compare-models resnet50 vit_b_16 swin_t --full
      compare-models resnet18 resnet34 --columns params,macs,depth --format csv
      compare-models timm:convnext_tiny net.py:build --input-size 224 --batch-size 8
      compare-models 'timm:*' --where 'macs < 5G and params < 30M' --sort-by ai --top 20
      compare-models 'torchvision:*' --pareto top1:macs --front-only --plot front.png
      compare-models 'timm:vit_*' --join accuracy.csv --sort-by top1 --jobs 4
      compare-models nets/ resnet18 --timeout 60 --memory-limit 4GB
      compare-models resnet50 vit_b_16 --hardware rtx4090 --dtype fp16 -b 64 --sort-by latency
    """
    from modelcmp.sources.selection import expand

    style = opt.choose_format(format, output)
    choice = read_choice(join=join, where=where, pareto=pareto, sort_by=sort_by, reverse=reverse,
                         front_only=front_only, top=top, columns=columns)  # fmt: skip
    if plot is not None:
        _check_plot(plot, choice)
    request = check_profiling(batch_size, input_size, dtype, opt.parse_kwargs(kwargs), reparam, mode, convention)
    wanted = [*choice.named, *(choice.columns or ())]
    device = machine(hardware, level, compiled, dtype, mode, convention, wanted)
    specs = expand(models, screen.read_input)
    means = opt.means(cache_dir, no_cache, jobs, timeout, memory_limit, engine, address)
    everyone = profiled([(spec, request) for spec in specs], mode, convention, means, kernels=device is not None)
    everyone = placed(everyone, device, level, compiled)
    narrowed = choice.narrowed(everyone, screen.note)
    shown = choice.shown(narrowed)
    _render(shown, narrowed, style, choice, full, output, convention, choice.summary(everyone, narrowed, shown))
    _remarks(shown, style)
    drawn = plot is None or _draw(narrowed, choice, plot)
    return 1 if everyone.failures or not drawn or (strict and any(p.uncounted for p in shown)) else 0


def _check_plot(plot: Path, choice: Choice) -> None:
    from modelcmp.errors import BadInput
    from modelcmp.reports.plots import check_picture

    if not choice.axes:
        raise BadInput("--plot draws the front of --pareto: add --pareto top1:macs, or use `compare-models plot`")
    check_picture(plot)


def _draw(narrowed: Comparison, choice: Choice, plot: Path) -> bool:
    """The first metric of the front upwards, the second to the right; whether there was anything to draw."""
    from modelcmp.reports.plots import save, scatter

    y, x = choice.axes[:2]
    if not any(p.values.get(x.key) is not None and p.values.get(y.key) is not None for p in narrowed):
        screen.warn(f"{plot} is not drawn: no model is left whose {y.key} and {x.key} are known")
        return False
    front = {i for i, p in enumerate(narrowed) if p.values.get("pareto")}
    save(
        scatter(narrowed.profiles, x, y, front), plot,
        title=f"{y.label} against {x.label}", caption=screen.caption(narrowed.profiles),
    )  # fmt: skip
    screen.note(f"wrote {plot}")
    return True


def _render(
    result: Comparison,
    narrowed: Comparison,
    style: str,
    choice: Choice,
    full: bool,
    output: opt.Output,
    convention: str,
    summary: list[str],
) -> None:
    from modelcmp.metrics import METRICS
    from modelcmp.reports import export, tables

    chosen = list(choice.columns) if choice.columns else None
    shown, spare = _columns_of(choice, any(p.machine for p in narrowed))
    if style == "table":
        width = screen.stdout().width if output is None else 120
        found = (
            tables.full_tables(result, width)
            if full and not chosen
            else tables.comparison_table(result, shown, choice.by, width, spare, narrowed)
        )
        lines = [*summary, *export.settings_lines(result.profiles)[:1], *export.machine_lines(result.profiles)]
        screen.show([*found, *lines], output)
    elif style == "markdown":
        every = [*METRICS.values(), *result.joined] if full and not chosen else shown
        screen.write_text(export.comparison_markdown(result, every, summary), output)
    else:
        rows = export.comparison_rows(result, chosen)
        text = (
            export.json_text(export.document(convention, rows, result.failures, export.machine_of(result.profiles)))
            if style == "json"
            else export.csv_text(rows, result.failures)
        )
        screen.write_text(text, output)


def _columns_of(choice: Choice, on_machine: bool) -> tuple[list[Metric], list[Metric]]:
    """What a table shows, and what of it may be left out where there is no room."""
    from modelcmp.metrics import METRICS
    from modelcmp.tabular import COMPACT, COMPACT_ON_MACHINE

    if choice.columns:
        return list(choice.columns), []
    compact = COMPACT_ON_MACHINE if on_machine else COMPACT
    shown = [METRICS[key] for key in compact]
    named = {m.key for m in choice.named}
    shown[-1:-1] = [m for m in choice.named if m.key not in compact]
    spare = [m for m in shown if m.key in _SPARE and m.key not in named]
    return shown, sorted(spare, key=lambda m: _SPARE.index(m.key))


def _remarks(result: Comparison, style: str) -> None:
    """Failures and lower bounds always; notes beside tables."""
    from modelcmp.reports.export import uncounted_lines

    for line in uncounted_lines(result.profiles):
        screen.warn(line)
    screen.report_failures(result.failures)
    if style == "table":
        remarks = dict.fromkeys(remark for profile in result for remark in profile.notes)
        for remark in remarks:
            names = list(dict.fromkeys(p.name for p in result if remark in p.notes))
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            screen.note(f"{', '.join(names[:_NAMED])}{more}: {remark}")


def _metric_names(incomplete: str) -> list[str]:
    from modelcmp.metrics import METRICS

    names = [*METRICS, *(m.alias for m in METRICS.values() if m.alias)]
    return [n for n in names if n.startswith(incomplete)]
