"""Optimizer state that belongs to another parameter."""

from __future__ import annotations

from collections.abc import Sequence

from .updates import Reason
from .views import View
from .words import listed

#: The moments that carry a gradient's direction.
FIRST_MOMENTS = ("momentum_buffer", "exp_avg")
#: Equal norms: of the same numbers summed in another place.
EQUAL = 1e-9
#: Equal lengths of differences that were rounded apart.
NEARLY_EQUAL = 1e-4


def state_key(view: View, row: int) -> str:
    """What a row of the optimizer's state is: "exp_avg"."""
    return view.layout.tensors[row].name.rpartition("/")[2]


def swap_reason(view: View, rows: Sequence[int]) -> Reason | None:
    """State that belongs to another parameter: norms that agree crosswise, or differences of equal length."""
    names = crosswise(view, rows)
    if names:
        clause = (
            f"the optimizer state of {listed(names)} is permuted: each has in B the norm that another one has in A; "
            "the optimizers list their parameters in another order (harmless only if just the dump names them wrongly)"
        )
        return Reason(clause, {"parameters": float(len(names))}, "swap")
    pairs = _mirrored(view, rows)
    if not pairs:
        return None
    told = "; ".join(f"{a} with {b}" for a, b in pairs[:2]) + ("; ..." if len(pairs) > 2 else "")
    clause = f"optimizer state was swapped between parameters ({told}): their differences have one length"
    return Reason(clause, {"parameters": 2.0 * len(pairs)}, "swap")


def crosswise(view: View, rows: Sequence[int]) -> list[str]:
    """Parameters whose state has in B the norm of another parameter's in A, all differing ones of a key."""
    for key in dict.fromkeys(state_key(view, r) for r in rows):
        chosen = [r for r in rows if state_key(view, r) == key]
        if len(chosen) >= 2 and all(_elsewhere(view, r, chosen) for r in chosen):
            return [view.layout.tensors[r].owner for r in chosen]
    return []


def _elsewhere(view: View, row: int, rows: Sequence[int]) -> bool:
    s, shape = view.pair.sums, view.layout.tensors[row].shape
    wanted = s["bb"][row]
    if not wanted > 0 or abs(s["aa"][row] - wanted) <= EQUAL * wanted:
        return False
    return any(
        view.layout.tensors[q].shape == shape and q != row and abs(s["aa"][q] - wanted) <= EQUAL * wanted for q in rows
    )


def _mirrored(view: View, rows: Sequence[int]) -> list[tuple[str, str]]:
    """Pairs of parameters of one shape, whose first moments differ by the same length: +x in one, -x in the other."""
    s, tensors = view.pair.sums, view.layout.tensors
    chosen = [r for r in rows if state_key(view, r) in FIRST_MOMENTS]
    pairs: list[tuple[str, str]] = []
    while len(chosen) >= 2:
        row = chosen.pop(0)
        size = s["dd"][row]
        twin = next((q for q in chosen if tensors[q].shape == tensors[row].shape
                     and abs(s["dd"][q] - size) <= NEARLY_EQUAL * size), None)  # fmt: skip
        if twin is None or not size > 0:
            return []
        chosen.remove(twin)
        pairs.append((tensors[row].owner, tensors[twin].owner))
    return [] if chosen else pairs
