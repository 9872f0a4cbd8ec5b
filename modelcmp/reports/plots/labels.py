"""Where names go: greedy placement of boxes around their points, in pixels. Knows nothing of figures."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Box = tuple[float, float, float, float]  # left, bottom, right, top

_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_EVICTION = 100.0  # the cost of taking another name's place, at first
_TURNS = 600  # how long names quarrel at most, beyond one turn each
_CROSSING = 60.0  # the cost of a leader that crosses another; a pixel of distance costs about 1
_CELL = 2.0


@dataclass(frozen=True, slots=True)
class Label:
    """A name to place: its point, how large it is, and whether it may be dropped."""

    anchor: tuple[float, float]
    size: tuple[float, float]
    must: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """What names must keep off (``hard``: x, y, radius), should keep off (``soft``: x, y, cost), and their room."""

    room: Box
    hard: Array
    soft: Array
    toward: tuple[float, float] = (0.0, 0.0)  # the direction that is free by nature: the better corner
    unit: float = 1.0  # pixels of a point of text


@dataclass(frozen=True, slots=True)
class _Placed:
    """Boxes (left, bottom, right, top) and leaders (from x, y to x, y), NaN where there is none yet."""

    boxes: Array
    leaders: Array
    worth: Array  # what it costs to evict each
    scene: Scene
    costs: Array  # of the soft obstacles left of and below each cell of a grid: a box's sum in four look-ups


def place(labels: Sequence[Label], scene: Scene) -> list[Box | None]:
    """A box for each name, or None where there is no room.

    Boxes overlap neither each other nor hard obstacles, nor leave the room. Names that must be shown
    come first and may go far from their point; the others stay near or are dropped.
    """
    count = len(labels)
    placed = _Placed(
        np.full((count, 4), np.nan), np.full((count, 4), np.nan), np.full(count, _EVICTION), scene, _summed(scene)
    )
    for must in (True, False):
        turn = [i for i, label in enumerate(labels) if label.must is must]
        _settle_all(labels, turn, placed)
        for i in turn:
            _settle(i, labels[i], placed, evict=False)  # once more, now that the others have their place
    return [None if np.isnan(box[0]) else (box[0], box[1], box[2], box[3]) for box in placed.boxes.tolist()]


def _settle_all(labels: Sequence[Label], turn: Sequence[int], placed: _Placed) -> None:
    """Place names in turn; one without room evicts others, which then look for another place.

    Each eviction makes a name dearer to evict, so that the quarrel ends.
    """
    queue = deque(turn)
    for _ in range(_TURNS + len(turn)):
        if not queue:
            return
        i = queue.popleft()
        evicted = _settle(i, labels[i], placed, evict=labels[i].must)
        placed.boxes[evicted] = placed.leaders[evicted] = np.nan
        placed.worth[evicted] *= 1.5
        queue.extend(evicted)


def leader(anchor: tuple[float, float], box: Box) -> tuple[float, float]:
    """The point of a box that is nearest to its anchor."""
    return (min(max(anchor[0], box[0]), box[2]), min(max(anchor[1], box[1]), box[3]))


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Positions on a line as near as possible to those wanted, at least ``gap`` apart, in the same order.

    >>> spread([10, 11, 40], 4)
    [8.5, 12.5, 40.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    groups: list[tuple[float, list[int]]] = []  # (centre, members)
    for i in order:
        groups.append((float(wanted[i]), [i]))
        while len(groups) > 1 and _crowded(groups[-2], groups[-1], gap):
            members = groups[-2][1] + groups[-1][1]
            groups[-2:] = [(sum(wanted[m] for m in members) / len(members), members)]
    found = [0.0] * len(wanted)
    for centre, members in groups:
        for k, m in enumerate(members):
            found[m] = centre + (k - (len(members) - 1) / 2) * gap
    return found


def _crowded(low: tuple[float, list[int]], high: tuple[float, list[int]], gap: float) -> bool:
    return high[0] - low[0] < gap * (len(low[1]) + len(high[1])) / 2


def _settle(i: int, label: Label, placed: _Placed, evict: bool) -> list[int]:
    """Move one name to its cheapest place, to none where none is allowed; the names that lose theirs to it."""
    placed.boxes[i] = placed.leaders[i] = np.nan
    boxes, costs = _candidates(label, placed.scene)
    free = _free(boxes, placed.scene)
    boxes, costs = boxes[free], costs[free] + _soft_cost(boxes[free], placed)
    anchor = np.array(label.anchor)
    leaders = np.hstack([np.broadcast_to(anchor, (len(boxes), 2)), np.clip(anchor, boxes[:, :2], boxes[:, 2:])])
    clear = ~_pierces(leaders, placed.scene)
    boxes, leaders, costs = boxes[clear], leaders[clear], costs[clear]
    known = np.flatnonzero(~np.isnan(placed.boxes[:, 0]))
    clashes = _clashes(boxes, leaders, placed, known)
    costs = costs + _CROSSING * _cross(leaders, placed.leaders[known]).sum(axis=1)
    costs += clashes @ placed.worth[known] if evict else np.where(clashes.any(axis=1), np.inf, 0.0)
    if not len(costs) or costs.min() == np.inf:
        return []
    best = int(np.argmin(costs))
    placed.boxes[i], placed.leaders[i] = boxes[best], leaders[best]
    return [int(j) for j in known[clashes[best]]]


def _candidates(label: Label, scene: Scene) -> tuple[Array, Array]:
    """Boxes around a point at growing distance, and what distance and direction cost."""
    reach = (5, 8, 12, 18, 26, 36, 48, 64, 84, 110, 140, 180, 230, 300) if label.must else (5, 8, 12, 18, 26, 36)
    distance, angle = (a.ravel() for a in np.meshgrid(np.array(reach, dtype=float), _ANGLES))
    across, up = np.cos(angle), np.sin(angle)
    size = np.array(label.size)
    near = np.array(label.anchor) + np.stack([across, up], axis=1) * (distance * scene.unit)[:, None]
    # The box hangs on the side that faces its point: centred at the poles, whole beside it.
    centre = near + np.stack([np.clip(1.6 * across, -1, 1), np.clip(1.6 * up, -1, 1)], axis=1) * size / 2
    costs = distance * (1.0 + 0.01 * distance) - 6 * (across * scene.toward[0] + up * scene.toward[1])
    return np.hstack([centre - size / 2, centre + size / 2]), costs


def _free(boxes: Array, scene: Scene) -> NDArray[np.bool_]:
    """Which boxes are inside the room and on no marker."""
    left, bottom, right, top = scene.room
    inside = (boxes[:, :2] >= (left, bottom)).all(axis=1) & (boxes[:, 2:] <= (right, top)).all(axis=1)
    result: NDArray[np.bool_] = np.logical_and(inside, ~_overlap(boxes, _markers(scene)).any(axis=1))
    return result


def _pierces(leaders: Array, scene: Scene) -> NDArray[np.bool_]:
    """Which leaders run through a marker: not their own, nor one that lies on it, which none could avoid."""
    apart = np.abs(scene.hard[None, :, :2] - leaders[:, None, :2]).max(axis=2)
    through = np.logical_and(_hits(leaders, _markers(scene, 0.6)), apart > 2 * scene.hard[:, 2])
    result: NDArray[np.bool_] = through.any(axis=1)
    return result


def _clashes(boxes: Array, leaders: Array, placed: _Placed, known: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which candidates (rows) are in the way of which names that have a place (columns), or these in theirs."""
    pad = 1.5 * placed.scene.unit
    others = placed.boxes[known] + np.array([-pad, -pad, pad, pad])
    result: NDArray[np.bool_] = _overlap(boxes, others) | _hits(leaders, others) | _hits(placed.leaders[known], boxes).T
    return result


def _markers(scene: Scene, share: float = 1.0) -> Array:
    """Boxes around the hard obstacles, or around a share of each."""
    r = share * scene.hard[:, 2:]
    return np.hstack([scene.hard[:, :2] - r, scene.hard[:, :2] + r])


def _summed(scene: Scene) -> Array:
    """Costs of the soft obstacles, summed over everything left and below, a row and a column of zeros first."""
    left, bottom, right, top = scene.room
    edges = [np.arange(low, high + _CELL, _CELL) for low, high in ((left, right), (bottom, top))]
    grid, _, _ = np.histogram2d(scene.soft[:, 0], scene.soft[:, 1], bins=edges, weights=scene.soft[:, 2])
    return np.pad(grid.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _soft_cost(boxes: Array, placed: _Placed) -> Array:
    """What the soft obstacles under each box cost."""
    corner = np.array(placed.scene.room[:2] * 2)
    cells = np.rint((boxes - corner) / _CELL).astype(int)
    across = np.clip(cells[:, [0, 2]], 0, placed.costs.shape[0] - 1)
    up = np.clip(cells[:, [1, 3]], 0, placed.costs.shape[1] - 1)
    s = placed.costs
    result: Array = (
        s[across[:, 1], up[:, 1]] - s[across[:, 0], up[:, 1]] - s[across[:, 1], up[:, 0]] + s[across[:, 0], up[:, 0]]
    )
    return result


def _overlap(a: Array, b: Array) -> NDArray[np.bool_]:
    """Which boxes of ``a`` (rows) overlap which of ``b`` (columns)."""
    across = (a[:, None, 0] < b[None, :, 2]) & (b[None, :, 0] < a[:, None, 2])
    up = (a[:, None, 1] < b[None, :, 3]) & (b[None, :, 1] < a[:, None, 3])
    result: NDArray[np.bool_] = across & up
    return result


def _hits(lines: Array, boxes: Array) -> NDArray[np.bool_]:
    """Which lines (rows) pass through which boxes (columns), by slabs."""
    start, step = lines[:, None, :2], (lines[:, 2:] - lines[:, :2])[:, None, :]
    step = np.where(np.abs(step) < 1e-9, 1e-9, step)
    one, two = (boxes[None, :, :2] - start) / step, (boxes[None, :, 2:] - start) / step
    near, far = np.minimum(one, two), np.maximum(one, two)
    enter = np.maximum(np.maximum(near[..., 0], near[..., 1]), 0.0)
    leave = np.minimum(np.minimum(far[..., 0], far[..., 1]), 1.0)
    result: NDArray[np.bool_] = enter < leave
    return result


def _cross(a: Array, b: Array) -> NDArray[np.bool_]:
    """Which lines of ``a`` (rows) cross which of ``b`` (columns)."""
    one, two = _sides(a, b), _sides(b, a).transpose(1, 0, 2)
    result: NDArray[np.bool_] = (one.prod(axis=2) < 0) & (two.prod(axis=2) < 0)
    return result


def _sides(a: Array, b: Array) -> Array:
    """On which side of each line of ``a`` both ends of each line of ``b`` are: (a, b, 2)."""
    along = (a[:, 2:] - a[:, :2])[:, None, None, :]
    to = b.reshape(1, -1, 2, 2) - a[:, None, None, :2]
    result: Array = np.sign(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0])
    return result
