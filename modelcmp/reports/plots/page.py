"""One self-contained HTML file: the picture with tooltips, and its data as a sortable table."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ... import units
from .data import Scatter
from .measured import Measured
from .panels import OVER_LABELS, Bars, Growth
from .roofline import Place, Roofline, duration
from .style import COLOURS, GRID, INK, MUTED, PAPER, ZONE_COLOURS, printable

if TYPE_CHECKING:
    from .saving import Picture

# The page has a light and a dark value for each of these; other colours are readable on both.
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    ZONE_COLOURS[0]: "var(--zone-memory)",
    ZONE_COLOURS[2]: "var(--zone-compute)",
    COLOURS[0]: "var(--blue)",
    COLOURS[6]: "var(--indigo)",
    COLOURS[8]: "var(--wine)",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the table: what is read, and what it is sorted by."""

    text: str
    value: float | str | None


@dataclass(frozen=True, slots=True)
class Table:
    """The data under a picture."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def text_columns(self) -> tuple[int, ...]:
        """Columns that stand on the left."""
        return tuple(i for i, cell in enumerate(self.rows[0]) if isinstance(cell.value, str))


def page(picture: Picture, svg: bytes, tips: Mapping[str, Sequence[str]], title: str, caption: str) -> str:
    """The whole HTML file; every text from outside is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        title=printable(title) or "modelcmp",
        caption=printable(caption),
        left_out=[printable(n) for n in picture.left_out] if isinstance(picture, Scatter | Measured) else [],
        picture=Markup(inline(svg, tips)),  # serialised by ElementTree, which escapes
        table=table(picture),
    )


def table(picture: Picture) -> Table:
    """The data of a picture as rows."""
    if isinstance(picture, Scatter):
        return _scatter_table(picture)
    if isinstance(picture, Bars):
        return _bars_table(picture)
    if isinstance(picture, Roofline):
        return _roofline_table(picture)
    if isinstance(picture, Measured):
        return _measured_table(picture)
    return _growth_table(picture)


def _scatter_table(data: Scatter) -> Table:
    some_front = any(p.front for p in data.points)
    heads = ("Model", "Source", data.x.label, data.y.label, *(["Pareto front"] if some_front else []))
    rows = [
        (
            _name(p.name),
            _name(p.group),
            Cell(p.x_text, p.x),
            Cell(p.y_text, p.y),
            *([Cell("yes" if p.front else "", float(p.front))] if some_front else []),
        )
        for p in data.points
    ]
    return Table(heads, tuple(rows))


def _name(name: str) -> Cell:
    return Cell(printable(name), printable(name))


def _bars_table(data: Bars) -> Table:
    rows = [
        (_name(name), *(Cell(p.bars[i].text, p.bars[i].value) for p in data.panels))
        for i, name in enumerate(data.names)
    ]
    return Table(("Model", *(p.label for p in data.panels)), tuple(rows))


def _growth_table(data: Growth) -> Table:
    lines = [(p, s) for p in data.panels for s in p.series]
    heads = [p.label if len(p.series) == 1 else f"{p.label}, {s.label}" for p, s in lines]
    rows = [(Cell(str(x), float(x)), *(Cell(s.texts[i], s.values[i]) for _, s in lines)) for i, x in enumerate(data.xs)]
    return Table((OVER_LABELS[data.over], *heads), tuple(rows))


def _measured_table(data: Measured) -> Table:
    heads = ("Model", "Batch", "Dtype", "Median, ms", "p5, ms", "p95, ms", "Predicted, ms", "Ratio")
    rows = [
        (
            _name(m.name), Cell(str(m.batch_size), m.batch_size), _name(m.dtype),
            *(Cell(units.UNKNOWN if v is None else units.plain(v), v)
              for v in (m.measured_ms, m.p5_ms, m.p95_ms, m.predicted_ms, m.ratio)),
        )
        for m in data.marks
    ]  # fmt: skip
    return Table(heads if data.predicted else heads[:-2], tuple(r if data.predicted else r[:-2] for r in rows))


def _roofline_table(data: Roofline) -> Table:
    heads = ("Model", "Place", "Kind", "Bound by", "FLOPs", "Bytes", "FLOP/byte", "Attainable FLOP/s", "FLOP/s",
             "Time", "Share")  # fmt: skip
    return Table(heads, tuple(_place_cells(place) for model in data.models for place in model.places))


def _place_cells(p: Place) -> tuple[Cell, ...]:
    return (
        *(_name(text) for text in (p.model, p.module or "(model)", p.kind, p.bound)),
        Cell(units.scaled(p.flops), p.flops), Cell(units.scaled(p.traffic_bytes, "B"), p.traffic_bytes),
        Cell(units.ratio(p.ai), p.ai), Cell(units.scaled(p.attainable_flop_s), p.attainable_flop_s),
        Cell(units.scaled(p.flop_s), p.flop_s), Cell(duration(p.seconds), p.seconds),
        Cell(units.percent(p.share_pct), p.share_pct),
    )  # fmt: skip


def inline(svg: bytes, tips: Mapping[str, Sequence[str]]) -> str:
    """An SVG as HTML holds it: without namespaces, in the page's colours, with a tooltip in each mark."""
    root = ET.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.split("}")[-1]
        for key in [k for k in element.attrib if "}" in k]:
            element.set(key.split("}")[-1], element.attrib.pop(key))
        if "style" in element.attrib:
            element.set("style", _themed(element.attrib["style"]))
        if element.get("id") in tips:
            _add_tips(element, tips[element.attrib["id"]])
    for child in [c for c in root if c.tag == "metadata"]:
        root.remove(child)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    for sheet in root.iter("style"):
        sheet.text = (sheet.text or "").replace("*{", "svg *{")
    return ET.tostring(root, encoding="unicode")


def _themed(style: str) -> str:
    for colour, variable in _VARIABLES.items():
        style = style.replace(colour, variable)
    return style


def _add_tips(group: ET.Element, tips: Sequence[str]) -> None:
    """Each marker of a group is a ``use``, a ``path`` where sizes differ; a bar is the group itself."""
    marks = {tag: [e for e in group.iter() if e.tag.split("}")[-1] == tag] for tag in ("use", "path")}
    for mark, tip in zip(marks["use"] or (marks["path"] if len(tips) > 1 else [group]), tips, strict=True):
        title = ET.Element("title")
        title.text = "\n".join(printable(line) for line in tip.split("\n"))
        mark.insert(0, title)
        mark.set("class", "mark")
