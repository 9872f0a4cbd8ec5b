"""What a drawing function returns: the figure, and what each of its marks stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure, and by group id the tooltips of the marks in it, in the order in which they were drawn."""

    figure: Figure
    tips: Mapping[str, tuple[str, ...]]
