"""What could not be compared, or only in part: shapes, types, names without a partner, things left out of dumps."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Alignment
from .clues import Clue
from .views import View
from .words import listed, many


def pairing_clues(views: Sequence[View], alignment: Alignment) -> list[Clue]:
    """Findings about the tensors themselves."""
    return [*_shapes(views), *_types(views), *_alone(alignment), *_ambiguous(alignment), *_absent(views)]


def _shapes(views: Sequence[View]) -> list[Clue]:
    """Each tensor pair that could not be measured, where it first occurs."""
    seen: set[str] = set()
    clues = []
    for view in views:
        if view.layout.usable.all():
            continue
        for tensor in view.layout.tensors:
            if tensor.problem and f"{tensor.kind} {tensor.name}" not in seen:
                seen.add(f"{tensor.kind} {tensor.name}")
                clues.append(Clue("shape", f"{tensor.name}: {tensor.problem}", view, tensor.name))
    return clues


def _types(views: Sequence[View]) -> list[Clue]:
    """Tensors that are stored in another type, one finding for each pair of types."""
    view = next((v for v in views if v.layout.mixed.any()), None)
    if view is None:
        return []
    found: dict[tuple[str, str], list[str]] = {}
    for t in view.layout.tensors:
        if t.dtype != t.dtype_b:
            found.setdefault((t.dtype, t.dtype_b), []).append(t.name)
    return [
        Clue("dtype", f"A stores {listed(names)} as {a}, B as {b}: differences below its spacing are rounding", view,
             names[0], {"tensors": float(len(names))}, False)
        for (a, b), names in found.items()
    ]  # fmt: skip


def _alone(alignment: Alignment) -> list[Clue]:
    return [
        Clue("missing", f"only in {side}: {listed(names)} ({many(len(names), 'tensor')})", tensor=names[0],
             numbers={"tensors": float(len(names))}, serious=False)
        for side, names in (("A", alignment.only_a), ("B", alignment.only_b)) if names
    ]  # fmt: skip


def _ambiguous(alignment: Alignment) -> list[Clue]:
    if not alignment.ambiguous:
        return []
    told = "; ".join(f"{name} ({listed(others)})" for name, others in alignment.ambiguous[:2])
    clause = f"{many(len(alignment.ambiguous), 'name')} may mean several in B and were not compared: {told}"
    return [Clue("missing", clause, tensor=alignment.ambiguous[0][0], serious=False)]


def _absent(views: Sequence[View]) -> list[Clue]:
    """Losses that only one run recorded, and tensors of which nothing could be told."""
    clues = []
    for key in ("loss", "acc"):
        has = {side: any(getattr(getattr(v.pair, side), key) is not None for v in views) for side in ("a", "b")}
        if has["a"] != has["b"]:
            name = "losses" if key == "loss" else "accuracies"
            clause = f"{'A' if has['b'] else 'B'} recorded no {name}: they are not compared"
            clues.append(Clue("unknown", clause, serious=False))
    empty = sum(not v.layout.tensors for v in views)
    if empty:
        clause = f"{empty} of {many(len(views), 'pair')} of dumps {'has' if empty == 1 else 'have'} no tensor in common"
        clues.append(Clue("missing", clause, numbers={"pairs": float(empty)}, serious=False))
    blind = [v for v in views if v.unknown.any()]
    if blind:
        count = int(blind[0].unknown.sum())
        clause = f"of {many(count, 'tensor')} only norms were compared ({many(len(blind), 'dump')})"
        clues.append(Clue("unknown", clause, serious=False))
    return clues
