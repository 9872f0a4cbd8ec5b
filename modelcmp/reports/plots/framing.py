"""What of a roofline a picture shows: points that coincide as one, and axes that hold next to all of the time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ... import units
from ...hardware.prediction import Limit
from .roofline import By, ModelTime, Place, Roofline

#: Points that together take less than this share of the time may stand outside of the frame.
_NEGLIGIBLE_PCT = 0.5


@dataclass(frozen=True, slots=True)
class Spot:
    """Places of one model that stand at the same point, drawn as one: its area is the time of all of them."""

    model: int
    name: str
    places: tuple[Place, ...]
    ai: float
    flop_s: float
    seconds: float
    share_pct: float

    @property
    def bound(self) -> Limit:
        """What bounds them: they are alike."""
        return self.places[0].bound


@dataclass(frozen=True, slots=True)
class Frame:
    """The ends of both axes, what stands between them, and the share of the time that does not."""

    x: tuple[float, float]
    y: tuple[float, float]
    spots: tuple[Spot, ...]  # most time first
    outside_pct: float


def frame(data: Roofline) -> Frame:
    """Everything that matters: points far below are cut off as long as they add up to next to no time."""
    everything = sorted((s for k, m in enumerate(data.models) for s in _spots(k, m, data.by)), key=lambda s: s.seconds)
    shown, outside = set(range(len(everything))), 0.0
    for reached in (lambda i: everything[i].flop_s, lambda i: everything[i].ai):
        for i in sorted(shown, key=reached):
            share = everything[i].share_pct / len(data.models)
            if outside + share > _NEGLIGIBLE_PCT:
                break
            outside += share
            shown.remove(i)
    spots = tuple(everything[i] for i in sorted(shown, reverse=True))
    peak = data.machine.highest_flop_s
    ridge = peak / data.machine.bandwidth_bytes_s
    x = (min([ridge / 30, *(s.ai for s in spots)]) / 1.8, 1.8 * max([4 * ridge, *(s.ai for s in spots)]))
    y = (min([data.machine.attainable(x[0]), *(s.flop_s for s in spots)]) / 2, 3.5 * peak)
    return Frame(x, y, spots, outside)


def _spots(k: int, model: ModelTime, by: By) -> list[Spot]:
    """Points to two digits: repeated blocks coincide, and would hide how much time they take."""
    groups: dict[tuple[object, ...], list[Place]] = defaultdict(list)
    for p in model.points:
        groups[f"{p.ai:.2g}", f"{p.flop_s:.2g}", p.bound, p.op if by == "op" else ""].append(p)
    return [_spot(k, places, by) for places in groups.values()]


def _spot(k: int, places: Sequence[Place], by: By) -> Spot:
    seconds = sum(p.seconds for p in places)
    op = f" {places[0].op.replace('aten.', '')}" if by == "op" else ""
    name = places[0].model if by == "model" else _alike([p.module for p in places], op)
    ai = sum(p.flops for p in places) / sum(p.traffic_bytes for p in places)
    return Spot(k, name, tuple(places), ai, sum(p.flops for p in places) / seconds, seconds,
                sum(p.share_pct for p in places))  # fmt: skip


def _alike(modules: Sequence[str], op: str = "") -> str:
    """One name for modules that stand at the same point: the numbers that vary become ``*``, others are counted.

    >>> _alike(["h.0.mlp", "h.1.mlp"], " gelu"), _alike(["bn1", "layer1.0.bn1"]), _alike([""])
    ('h.*.mlp gelu ×2', 'bn1 and 1 more', '(model)')
    """
    split = [re.split(r"(\d+)", module) for module in modules]
    if len({tuple(parts[::2]) for parts in split}) > 1:
        return f"{modules[0] or '(model)'}{op} and {len(modules) - 1} more"
    merged = "".join(part[0] if len(set(part)) == 1 else "*" for part in zip(*split, strict=True)) or "(model)"
    return f"{merged}{op} ×{len(modules)}" if len(modules) > 1 else f"{merged}{op}"


def picture_remark(data: Roofline, shown: Frame) -> str:
    """What the picture cannot show: copies have no place on logarithmic axes."""
    parts = [f"a point each {data.by}, its area the predicted time; alike ones are one point"]
    copies = [f"{m.model} {units.percent(m.pointless_pct)}" for m in data.models if m.pointless_pct >= 0.05]
    if copies:
        parts.append(f"time in kernels without FLOPs, such as copies, which have no place here: {', '.join(copies)}")
    if any(s.flop_s > 1.02 * data.machine.attainable(s.ai) for s in shown.spots):
        parts.append("points above the memory roof are served from the cache")
    if shown.outside_pct > 0:
        parts.append(f"{shown.outside_pct:.1g}% of the time is outside of the frame")
    return "; ".join(parts)
