"""Drawing a picture's data into a file."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import BadInput
from ...files import check_writable, write_whole
from .data import Scatter
from .measured import Measured
from .panels import Bars, Growth
from .roofline import Roofline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .drawing import Drawing

Picture = Scatter | Bars | Growth | Roofline | Measured
FORMATS = (".png", ".svg", ".html")


def check_picture(path: Path) -> None:
    """Refuse a file that no picture can be written into, before any work; raises BadInput or OutputError."""
    if path.suffix.lower() not in FORMATS:
        raise BadInput(f"cannot draw into {path}: end its name in .png, .svg or .html")
    check_writable(path)


def save(picture: Picture, path: Path, *, title: str = "", caption: str = "") -> None:
    """Draw a picture and write it, whole or not at all, in the format that the path's suffix names.

    ``caption`` states the conditions: "batch 1, fp32, eval, convention total".
    Raises BadInput for another suffix and OutputError where the file cannot be written.
    """
    check_picture(path)
    from .style import house_style

    with house_style():
        if path.suffix.lower() == ".html":
            write_whole(path, _page(picture, title, caption))
        else:
            drawing = draw(picture, title, caption)
            write_whole(path, rendered(drawing.figure, path.suffix.lower()[1:]))


def draw(picture: Picture, title: str = "", caption: str = "") -> Drawing:
    """The figure of a picture; call it inside ``style.house_style()``."""
    from .draw_bars import draw_bars
    from .draw_growth import draw_growth
    from .draw_measured import draw_measured
    from .draw_roofline import draw_roofline
    from .draw_scatter import draw_scatter

    if isinstance(picture, Scatter):
        return draw_scatter(picture, title, caption)
    if isinstance(picture, Bars):
        return draw_bars(picture, title, caption)
    if isinstance(picture, Roofline):
        return draw_roofline(picture, title, caption)
    if isinstance(picture, Measured):
        return draw_measured(picture, title, caption)
    return draw_growth(picture, title, caption)


def _page(picture: Picture, title: str, caption: str) -> str:
    from .page import page

    drawing = draw(picture)  # the page has its own heading and caption
    return page(picture, rendered(drawing.figure, "svg"), drawing.tips, title, caption)


def rendered(figure: Figure, kind: str) -> bytes:
    """A figure as png or svg bytes: the same figure gives the same bytes on any day."""
    stream = BytesIO()
    stamps: dict[str, Any] = {"Date": None} if kind == "svg" else {}
    figure.savefig(stream, format=kind, dpi=figure.dpi if kind == "png" else 72, metadata=stamps)
    return stream.getvalue()
