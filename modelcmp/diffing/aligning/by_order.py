"""Matches that rest on order: modules of one role, then all that is left, between what is matched already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .names import family, numbers, order_is_known
from .ordering import Aligned, contradicted, monotone, scores, with_anchors
from .state import Modules
from .transforms import Shape, flattened, squeezed
from .units import Unit

ONLY_ROLE, ROLES, ROLES_PARTLY = 0.9, 0.85, 0.75
ORDER, ORDER_PARTLY, SHAPE = 0.8, 0.6, 0.5


def roles(modules: Modules) -> None:
    """Modules of one role, in the order of their numbers: the third attention output of each."""
    a, b = modules.left()
    for role in dict.fromkeys(unit.role for unit in a if unit.role):
        mine, theirs = (_by_number([u for u in side if u.role == role]) for side in (a, b))
        aligned = monotone(scores(mine, theirs, transposed=True))
        if len(mine) == len(theirs) == 1 and not (numbers(mine[0].place) or numbers(theirs[0].place)):
            _accept(modules, mine, theirs, aligned, (ONLY_ROLE, ONLY_ROLE), f"the only {role}")
        else:
            _accept(modules, mine, theirs, aligned, (ROLES, ROLES_PARTLY), f"order of {role}")


def order_and_shape(modules: Modules) -> None:
    """What is left, in the order of registration, between what is matched; then once more what that left."""
    if not (order_is_known(modules.state.a) and order_is_known(modules.state.b)):
        _numbered_stacks(modules)
        return
    a, b = modules.a, modules.b
    anchors = _anchors(modules)
    left_a, left_b = ({u.path for u in side} for side in modules.left())
    scored = scores(a, b, transposed=False)
    scored[[i for i, u in enumerate(a) if u.path not in left_a], :] = 0
    scored[:, [j for j, u in enumerate(b) if u.path not in left_b]] = 0
    aligned = monotone(with_anchors(scored, anchors.items()))
    pairs = [(i, j) for i, j in aligned.pairs if i not in anchors]
    maybe = {i: columns for i, columns in aligned.open.items() if i not in anchors}
    complete = len(pairs) == len(a) - len(anchors) == len(b) - len(anchors)
    _accept(modules, a, b, Aligned(pairs, maybe, complete), (ORDER, ORDER_PARTLY), "order and shape")
    _leftovers(modules)


def _anchors(modules: Modules) -> dict[int, int]:
    """The modules that are matched already, by their positions."""
    column = {name: j for j, unit in enumerate(modules.b) for name in unit.names}
    partner = {m.name: column[m.name_b] for m in modules.state.matches if m.name_b in column}
    found: dict[int, int] = {}
    for i, unit in enumerate(modules.a):
        j = next((partner[name] for name in unit.names if name in partner), None)
        if j is not None and j not in found.values():
            found[i] = j
    return found


def _leftovers(modules: Modules) -> None:
    a, b = modules.left()
    a = [unit for unit in a if not any(name in modules.state.open for name in unit.names)]
    _accept(modules, a, b, monotone(scores(a, b, transposed=True)), (SHAPE, SHAPE), "shape")


def _numbered_stacks(modules: Modules) -> None:
    """Without a known order: stacks of numbered modules that are the only ones of their shape on either side."""
    shapes: dict[Shape, tuple[list[Unit], list[Unit]]] = defaultdict(lambda: ([], []))
    for side, left in enumerate(modules.left()):
        for unit in left:
            shapes[tuple(sorted(flattened(squeezed(unit.shape))))][side].append(unit)
    for mine, theirs in ((_by_number(a), _by_number(b)) for a, b in shapes.values()):
        aligned = monotone(scores(mine, theirs, transposed=False))
        if len({family(u.path) for u in mine}) == 1 == len({family(u.path) for u in theirs}):
            _accept(modules, mine, theirs, aligned, (ORDER_PARTLY, SHAPE), "numbers and shape")
        else:
            for unit in mine:
                modules.maybe(unit, theirs)


def _accept(
    modules: Modules,
    mine: Sequence[Unit],
    theirs: Sequence[Unit],
    aligned: Aligned,
    confidence: tuple[float, float],
    how: str,
) -> None:
    """Match what is certain of an alignment in order, and note what is open.

    ``confidence`` is for an alignment that leaves nothing over, and for any other.
    """
    pairs = [(mine[i], theirs[j]) for i, j in aligned.pairs]
    wrong = contradicted(pairs)
    sure = confidence[0] if aligned.complete and not wrong else confidence[1]
    modules.take([pair for i, pair in enumerate(pairs) if i not in wrong], sure, how)
    for i in wrong:
        modules.maybe(pairs[i][0], [pairs[j][1] for j in sorted(wrong)])
    for i, columns in aligned.open.items():
        modules.maybe(mine[i], [theirs[j] for j in columns])


def _by_number(units: Sequence[Unit]) -> list[Unit]:
    """In the order of the numbers in their paths within each family; families in the order of their first."""
    first: dict[str, int] = {}
    for unit in units:
        first.setdefault(family(unit.path), len(first))
    return sorted(units, key=lambda u: (first[family(u.path)], numbers(u.path)))
