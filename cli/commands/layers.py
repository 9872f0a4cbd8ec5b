"""``compare-models layers MODEL``: where in a model the cost is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options as opt
from .. import screen

if TYPE_CHECKING:
    from modelcmp.records import ModelProfile

SORTABLE = ("params", "macs", "flops", "traffic_bytes", "input_bytes", "output_bytes", "weight_bytes", "ai")


def layers(
    model: opt.Model,
    ops: Annotated[bool, typer.Option("--ops", help="One row an operation instead of a layer.")] = False,
    depth: Annotated[
        int | None,
        typer.Option("--depth", "-d", metavar="N", min=0, help="Merge layers at this depth of the module tree."),
    ] = None,
    top: Annotated[int | None, typer.Option("--top", "-t", metavar="N", min=1, help="Only the N largest.")] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="FIGURE", help="Largest first by params, macs, flops, memory or ai.")
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
    strict: opt.Strict = False,
) -> int:
    """Show one model layer by layer, or operation by operation.

    A layer's row holds what the module ran itself; submodules have rows of their own, so the rows
    sum to the model.

    \b
    Examples:
      compare-models layers resnet18
      compare-models layers vit_b_16 --depth 2
      compare-models layers resnet18 --top 10 --by macs
      compare-models layers swin_t --ops --format csv --output swin_t.csv
    """
    from modelcmp.errors import UsageError
    from modelcmp.reports.export import uncounted_lines
    from modelcmp.sources import identify

    style = opt.choose_format(format, output)
    if ops and depth is not None:
        raise UsageError("--depth merges layers and --ops lists operations: use one of them")
    figure = _figure(by)
    identify(model)
    with screen.progress(1) as progress:
        from modelcmp.profiling.compare import make_request, profile_spec

        progress(model, 0)
        request = make_request(batch_size, input_size, dtype, opt.parse_kwargs(kwargs), reparam)
        profile = profile_spec(model, request, mode, convention)
    rows = _rows(profile, ops, depth)
    if by is not None or top is not None:
        rows.sort(key=lambda row: row.get(figure) or 0, reverse=True)
    _render(profile, rows[:top], style, figure, ops, output, len(rows))
    for line in uncounted_lines([profile]):
        screen.warn(line)
    for remark in profile.notes if style == "table" else ():
        screen.note(f"{model}: {remark}")
    return 1 if strict and profile.uncounted else 0


def _figure(by: str | None) -> str:
    """The key that rows are ordered by; raises UnknownName."""
    from modelcmp.errors import UnknownName
    from modelcmp.registry import suggest

    name = {"memory": "traffic_bytes", "bytes": "traffic_bytes", None: "macs"}.get(by, by)
    if name not in SORTABLE:
        raise UnknownName("figure", str(by), suggest(str(by), [*SORTABLE, "memory"]))
    return str(name)


def _rows(profile: ModelProfile, ops: bool, depth: int | None) -> list[dict[str, Any]]:
    from modelcmp.reductions import rolled_up
    from modelcmp.tabular import layer_row, profile_rows, whole

    if depth is not None and profile.trace is not None:
        merged = rolled_up(profile.trace, depth, profile.convention)
        return [layer_row(layer, whole(profile)) for layer in merged]
    return profile_rows(profile, "ops" if ops else "layers")


def _render(
    profile: ModelProfile,
    rows: list[dict[str, Any]],
    style: str,
    figure: str,
    ops: bool,
    output: opt.Output,
    count: int,
) -> None:
    from modelcmp.reports import export
    from modelcmp.reports.layer_table import layer_markdown, layer_tables
    from modelcmp.tabular import layer_row, profile_row, whole

    total = layer_row(whole(profile), whole(profile)) | {"module": "Total"}
    if style == "table":
        width = screen.stdout().width if output is None else 120
        shown = f"{len(rows)} of {count}" if len(rows) < count else str(count)
        title = f"{profile.name}: {shown} {'operations' if ops else 'modules'}"
        found = layer_tables(rows, total, width, figure, ops, title)
        screen.show([*found, *export.settings_lines([profile])[:1]], output)
    elif style == "markdown":
        screen.write_text(
            layer_markdown(rows, total, figure, ops) + "\n" + "\n".join(export.settings_lines([profile])) + "\n", output
        )
    elif style == "csv":
        screen.write_text(export.csv_text(rows), output)
    else:
        entry = profile_row(profile) | {"ops" if ops else "layer_rows": rows}
        screen.write_text(export.json_text(export.document(profile.convention, [entry])), output)
