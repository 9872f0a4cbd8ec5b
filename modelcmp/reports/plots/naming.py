"""Writing a name beside its point, in the box that :mod:`labels` found for it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from .labels import Box, leader
from .style import MUTED, PAPER

_LEADER_FROM = 9.0  # in points, as is every size here


def write_name(
    ax: Axes, text: str, at: tuple[float, float], anchor: tuple[float, float], box: Box, *, unit: float, size: float,
    radius: float, ink: str, clear: float = 0.0,
) -> None:  # fmt: skip
    """A name in its box (pixels), with a thin leader where it stands far from its point.

    ``at`` is the point in data, ``anchor`` in pixels, ``unit`` the pixels of a point of text. A name needs no leader
    within ``clear`` of what its point covers.
    """
    end = leader(anchor, box)
    far = float(np.hypot(end[0] - anchor[0], end[1] - anchor[1])) > (clear + _LEADER_FROM) * unit
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    pull = ((end[0] - box[0]) / (box[2] - box[0]), (end[1] - box[1]) / (box[3] - box[1]))
    arrow = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "alpha": 0.8, "shrinkA": 0, "shrinkB": radius,
             "relpos": pull}  # fmt: skip
    ax.annotate(
        text,
        xy=at,
        xytext=((middle[0] - anchor[0]) / unit, (middle[1] - anchor[1]) / unit),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=size,
        color=ink,
        zorder=6,
        gid="name",
        bbox={"boxstyle": "square,pad=0.05", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.75},
        arrowprops=arrow if far else None,
    )
