"""``compare-models MODEL...``: profile models and rank them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen

if TYPE_CHECKING:
    from modelcmp.comparison import Comparison
    from modelcmp.metrics import Metric


def compare(
    models: opt.Models,
    sort_by: Annotated[
        str | None,
        typer.Option(
            "--sort-by", "-s", metavar="METRIC", autocompletion=lambda incomplete: _metric_names(incomplete),
            help="Best first by a metric: params, size, macs, flops, memory, efficiency, ai, layers, depth, "
            "activations, peak_memory or any other key.",
        ),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Worst first.")] = False,
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
    strict: opt.Strict = False,
) -> int:  # fmt: skip
    """Profile models and compare them side by side.

    Nothing is downloaded or computed: parameters, MACs, FLOPs, memory traffic, arithmetic intensity
    and roofline class follow from the operations that one forward pass runs.

    \b
    Examples:
      compare-models resnet18 mobilenet_v2 --sort-by ai
      compare-models resnet50 vit_b_16 swin_t --full
      compare-models resnet18 resnet34 --columns params,macs,depth --format csv
      compare-models timm:convnext_tiny net.py:build --input-size 224 --batch-size 8
      compare-models resnet18 vit_b_16 --output table.md
    """
    from modelcmp.metrics import find
    from modelcmp.sources import identify

    style = opt.choose_format(format, output)
    chosen = _columns(columns) if columns is not None else None
    by = find(sort_by) if sort_by else None
    for spec in models:
        identify(spec)
    result = _profiled(models, opt.parse_kwargs(kwargs), batch_size, input_size, dtype, mode, convention)
    if by is not None:
        result = result.sorted(by.key, reverse)
    _render(result, style, chosen, by, full, output, convention)
    _remarks(result, style)
    uncounted = any(p.uncounted for p in result)
    return 1 if result.failures or (strict and uncounted) else 0


def _columns(text: str) -> list[Metric]:
    """The chosen metrics, each once; raises UnknownName or BadInput."""
    from modelcmp.errors import BadInput
    from modelcmp.metrics import find

    chosen = [find(name) for name in text.split(",") if name.strip()]
    if not chosen:
        raise BadInput("--columns names no metric: write --columns params,macs,ai")
    return list(dict.fromkeys(chosen))


def _profiled(
    models: list[str],
    kwargs: dict[str, object],
    batch_size: int,
    input_size: str | None,
    dtype: str,
    mode: str,
    convention: str,
) -> Comparison:
    with screen.progress(len(models)) as progress:
        from modelcmp.profiling.compare import make_request, profile_all
        from modelcmp.profiling.profile import check_options

        request = make_request(batch_size, input_size, dtype, kwargs)
        check_options(mode, convention, dtype)
        return profile_all(models, request, mode, convention, keep_ops=False, progress=progress)


def _render(
    result: Comparison,
    style: str,
    chosen: list[Metric] | None,
    by: Metric | None,
    full: bool,
    output: opt.Output,
    convention: str,
) -> None:
    from modelcmp.metrics import METRICS
    from modelcmp.reports import export, tables
    from modelcmp.tabular import COMPACT

    shown = chosen or [METRICS[key] for key in COMPACT]
    if by is not None and not chosen and by not in shown:
        shown.insert(-1, by)
    spare = [] if chosen else [METRICS[key] for key in ("flops", "traffic_bytes") if by is not METRICS[key]]
    if style == "table":
        width = screen.stdout().width if output is None else 120
        found = (
            tables.full_tables(result, width)
            if full and not chosen
            else tables.comparison_table(result, shown, by, width, spare)
        )
        lines = export.settings_lines(result.profiles)[:1]
        screen.show([*found, *lines], output)
    elif style == "markdown":
        every = list(METRICS.values()) if full and not chosen else shown
        screen.write_text(export.comparison_markdown(result, every), output)
    else:
        rows = export.comparison_rows(result, chosen)
        text = (
            export.json_text(export.document(convention, rows, result.failures))
            if style == "json"
            else export.csv_text(rows, result.failures)
        )
        screen.write_text(text, output)


def _remarks(result: Comparison, style: str) -> None:
    """Failures and lower bounds always; notes beside tables."""
    from modelcmp.reports.export import uncounted_lines

    for line in uncounted_lines(result.profiles):
        screen.warn(line)
    screen.report_failures(result.failures)
    if style == "table":
        remarks = dict.fromkeys(remark for profile in result for remark in profile.notes)
        for remark in remarks:
            names = ", ".join(dict.fromkeys(p.name for p in result if remark in p.notes))
            screen.note(f"{names}: {remark}")


def _metric_names(incomplete: str) -> list[str]:
    from modelcmp.metrics import METRICS

    names = [*METRICS, *(m.alias for m in METRICS.values() if m.alias)]
    return [n for n in names if n.startswith(incomplete)]
