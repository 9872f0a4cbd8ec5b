"""Which dump of run A belongs to which dump of run B."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ..dumps.finding import DumpFile
from ..errors import BadInput

ALIGNS = ("batch", "step", "auto")

Key = Callable[["Headed"], Hashable | None]


@dataclass(frozen=True, slots=True)
class Headed:
    """A dump, and what it says about its place in training."""

    file: DumpFile
    step: int | None = None
    loss: float | None = None
    inputs: str | None = None  # fingerprint of the batch


@dataclass(frozen=True, slots=True)
class Pairing:
    """Dumps of the same place in training, in the order of A; and those without a partner."""

    pairs: tuple[tuple[DumpFile, DumpFile], ...]
    only_a: tuple[DumpFile, ...]
    only_b: tuple[DumpFile, ...]
    how: str


def pair_up(a: Sequence[DumpFile], b: Sequence[DumpFile], align: str, head: Callable[[DumpFile], Headed]) -> Pairing:
    """Pair dumps by epoch and batch, by step, or as fits best; ``head`` reads what a dump says. Raises BadInput."""
    if align not in ALIGNS:
        raise BadInput(f"no such alignment of dumps: {align!r}; known: {', '.join(ALIGNS)}")
    if len(a) == len(b) == 1:
        return Pairing(((a[0], b[0]),), (), (), "one file each")
    if align == "batch":
        return _by_name(a, b, head)
    heads_a, heads_b = [head(f) for f in a], [head(f) for f in b]
    if align == "step":
        for side, heads in (("A", heads_a), ("B", heads_b)):
            if all(h.step is None for h in heads):
                raise BadInput(f"--align step: no dump of {side} says its step; --align auto finds out what fits")
        return _matched(heads_a, heads_b, _step, _step, "step")
    return _best(heads_a, heads_b)


def _by_name(a: Sequence[DumpFile], b: Sequence[DumpFile], head: Callable[[DumpFile], Headed]) -> Pairing:
    """By epoch and batch where the names tell them, else by step, else by the order of the files."""
    if all(f.epoch is not None and f.batch is not None for f in (*a, *b)):
        return _matched([Headed(f) for f in a], [Headed(f) for f in b], _place, _place, "epoch and batch")
    heads_a, heads_b = [head(f) for f in a], [head(f) for f in b]
    if all(h.step is not None for h in (*heads_a, *heads_b)):
        return _matched(heads_a, heads_b, _step, _step, "step")
    return _matched(heads_a, heads_b, _file_name, _file_name, "file name")


def _place(head: Headed) -> Hashable | None:
    place = (head.file.epoch, head.file.batch)
    return None if None in place else place


def _step(head: Headed) -> Hashable | None:
    return head.step


def _file_name(head: Headed) -> Hashable | None:
    return head.file.path.stem


def _shifted(offset: int, factor: int = 1) -> Key:
    return lambda head: None if head.step is None else head.step * factor + offset


def _matched(a: Sequence[Headed], b: Sequence[Headed], key_a: Key, key_b: Key, how: str) -> Pairing:
    known = _first_of_each(b, key_b)
    pairs = [(h, known[k]) for k, h in _first_of_each(a, key_a).items() if k in known]
    used = {id(h) for pair in pairs for h in pair}
    return Pairing(
        tuple((x.file, y.file) for x, y in pairs),
        tuple(h.file for h in a if id(h) not in used),
        tuple(h.file for h in b if id(h) not in used),
        how,
    )


def _first_of_each(heads: Sequence[Headed], key: Key) -> dict[Hashable, Headed]:
    found: dict[Hashable, Headed] = {}
    for head in heads:
        place = key(head)
        if place is not None:
            found.setdefault(place, head)
    return found


def _best(a: Sequence[Headed], b: Sequence[Headed]) -> Pairing:
    """The pairing in which most batches, or else the losses, agree; of equals the plainest."""
    found = [_matched(a, b, key_a, key_b, how) for key_a, key_b, how in _candidates(a, b)]
    found = [p for p in found if p.pairs]
    if not found:
        return Pairing((), tuple(h.file for h in a), tuple(h.file for h in b), "auto")
    heads = {h.file.path: h for h in (*a, *b)}
    most = max(len(p.pairs) for p in found)
    fair = [p for p in found if 2 * len(p.pairs) >= most]  # a single pair agrees too easily
    best = max(fair, key=lambda p: _agreement(p, heads))
    return Pairing(best.pairs, best.only_a, best.only_b, f"auto: {best.how}")


def _candidates(a: Sequence[Headed], b: Sequence[Headed]) -> list[tuple[Key, Key, str]]:
    plain: list[tuple[Key, Key, str]] = [(_place, _place, "epoch and batch"), (_step, _step, "step")]
    offsets = [o for o in _offsets(a, b) if o]
    shifts = [(_shifted(o), _shifted(0), f"step, B is {abs(o)} {'ahead' if o > 0 else 'behind'}") for o in offsets]
    shifts += [(_moved(*o), _moved(), f"epoch and batch, B counts {_shift(*o)}") for o in _moves(a, b)]
    factors = range(2, 65)
    finer = [(_shifted(0, k), _shifted(0), f"step, B counts {k} for each of A") for k in factors]
    coarser = [(_shifted(0), _shifted(0, k), f"step, A counts {k} for each of B") for k in factors]
    finer += [(_moved(0, 0, k), _moved(), f"batch, B counts {k} for each of A") for k in factors]
    coarser += [(_moved(), _moved(0, 0, k), f"batch, A counts {k} for each of B") for k in factors]
    return [*plain, *shifts, *finer, *coarser]


def _moved(epochs: int = 0, batches: int = 0, factor: int = 1) -> Key:
    """The place in training, counted otherwise."""

    def key(head: Headed) -> Hashable | None:
        epoch, batch = head.file.epoch, head.file.batch
        return None if epoch is None or batch is None else (epoch + epochs, batch * factor + batches)

    return key


def _shift(epochs: int, batches: int) -> str:
    """How B counts, in words.

    >>> _shift(-1, 1), _shift(0, -1)
    ('epochs -1, batches +1', 'batches -1')
    """
    parts = [f"{word} {n:+d}" for word, n in (("epochs", epochs), ("batches", batches)) if n]
    return ", ".join(parts)


def _moves(a: Sequence[Headed], b: Sequence[Headed]) -> list[tuple[int, int]]:
    """By how many epochs and batches B may count otherwise: from 0 instead of 1, or as the losses say."""
    counts: Counter[tuple[int, int]] = Counter()
    for ours, theirs in _alike(a, b):
        places = (ours.file.epoch, ours.file.batch, theirs.file.epoch, theirs.file.batch)
        if None not in places:
            epoch_a, batch_a, epoch_b, batch_b = (n or 0 for n in places)
            counts[epoch_b - epoch_a, batch_b - batch_a] += 1
    likely = [move for move, _ in counts.most_common(3)]
    near = [(e, n) for e in (0, -1, 1) for n in (0, -1, 1)]
    return [move for move in dict.fromkeys([*likely, *near]) if move != (0, 0)]


def _alike(a: Sequence[Headed], b: Sequence[Headed]) -> Iterator[tuple[Headed, Headed]]:
    """Dumps of A and B with the same batch, or the same loss."""
    keys: tuple[Key, ...] = (lambda h: h.inputs, lambda h: h.loss)
    for key in keys:
        known = _first_of_each(b, key)
        yield from ((head, known[key(head)]) for head in a if key(head) in known)


def _offsets(a: Sequence[Headed], b: Sequence[Headed]) -> list[int]:
    """How many steps B may be ahead: those at which batches or losses are often the same, and one either way."""
    alike = ((x.step, y.step) for x, y in _alike(a, b))
    counts = Counter(y - x for x, y in alike if x is not None and y is not None)
    likely = [offset for offset, _ in counts.most_common(3)]
    return list(dict.fromkeys([*likely, 1, -1]))


def _agreement(pairing: Pairing, heads: Mapping[Any, Headed]) -> tuple[float, float, int]:
    """Share of pairs with the same batch; closeness of losses; number of pairs."""
    both = [(heads[x.path], heads[y.path]) for x, y in pairing.pairs]
    batches = [x.inputs == y.inputs for x, y in both if x.inputs and y.inputs]
    losses = [abs(x.loss - y.loss) for x, y in both if x.loss is not None and y.loss is not None]
    same = sum(batches) / len(batches) if batches else 0.0
    return round(same, 2), -median(losses) if losses else float("-inf"), len(pairing.pairs)
