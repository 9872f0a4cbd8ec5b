"""What differs between the batches of two runs, told from their fingerprints.

A fingerprint hashes the inputs in order, the targets in order, and the examples as a set; see docs/verdicts.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .clues import Clue
from .views import View
from .words import brief, many

Fingerprint = Mapping[str, Any]
SAME_TARGETS = "the batch has the same targets and other inputs"


def differ(view: View) -> bool:
    """Whether both batches are known and are not the same."""
    a, b = view.pair.a.fingerprint, view.pair.b.fingerprint
    return bool(a and b) and (_apart(a, b, "inputs") or _apart(a, b, "targets"))


def same(view: View) -> bool:
    """Whether both batches are known to be the same; False where a fingerprint is missing."""
    a, b = view.pair.a.fingerprint, view.pair.b.fingerprint
    return bool(a and b) and _agree(a, b, "inputs") and not _apart(a, b, "targets")


def _apart(a: Fingerprint | None, b: Fingerprint | None, key: str) -> bool:
    x, y = (a or {}).get(key), (b or {}).get(key)
    return x is not None and y is not None and x != y


def _agree(a: Fingerprint | None, b: Fingerprint | None, key: str) -> bool:
    x, y = (a or {}).get(key), (b or {}).get(key)
    return x is not None and x == y


def batch_clues(views: Sequence[View]) -> list[Clue]:
    """The first batch that differs and in what way, with how many do."""
    apart = [v for v in views if differ(v)]
    if not apart:
        return []
    first = apart[0]
    both = sum(bool(v.pair.a.fingerprint and v.pair.b.fingerprint) for v in views)
    numbers = {"batches_differing": float(len(apart)), "batches_compared": float(both)}
    clause = f"{_manner(first, apart, views)} ({len(apart)} of {many(both, 'batch')} {_verb(apart)})"
    return [Clue("batch", clause, first, numbers=numbers)]


def _verb(apart: Sequence[View]) -> str:
    return "differs" if len(apart) == 1 else "differ"


def _manner(first: View, apart: Sequence[View], views: Sequence[View]) -> str:
    """In which way the first differing batch differs; the most telling reading first."""
    a, b = first.pair.a.fingerprint or {}, first.pair.b.fingerprint or {}
    if not _apart(a, b, "inputs"):
        return "the inputs of the batch are the same, its targets are not: other labels"
    if _agree(a, b, "samples"):
        return "the batch holds the same examples in another order"
    return _moved(first, apart, views) or _spread(views, apart) or _content(a, b)


def _moved(first: View, apart: Sequence[View], views: Sequence[View]) -> str:
    """B sees the batch, and A saw it elsewhere: swapped, shifted, or shuffled otherwise."""
    seen, shown = _where(views, "a"), _where(views, "b")
    here_a, here_b = _key(first, "a"), _key(first, "b")
    origin, later = seen.get(here_b or ""), shown.get(here_a or "")
    if origin is None:
        if later is None:
            return ""
        return f"A's batch comes to B at {brief(later.pair)}, what B sees here A never saw: shuffled otherwise"
    if later is origin and len(apart) == 2:
        return f"the batches of {_two(first, origin)} are swapped"
    offset = _offset(apart, seen)
    if offset:
        return f"B sees A's batch of {_away(offset)} from here on: a batch was {_lost(offset)} (`--align` pairs them)"
    return f"B sees A's batch of {brief(origin.pair)}: shuffled otherwise"


def _two(first: View, second: View) -> str:
    one, two = brief(first.pair), brief(second.pair)
    return f"steps {one[5:]} and {two[5:]}" if one[:5] == two[:5] == "step " else f"{one} and {two}"


def _away(offset: int) -> str:
    return f"{many(abs(offset), 'dump')} {'later' if offset > 0 else 'earlier'}"


def _lost(offset: int) -> str:
    return "left out in B" if offset > 0 else "left out in A, or came twice in B"


def _key(view: View, side: str) -> str | None:
    """What a batch is recognised by: its examples as a set, or else its inputs."""
    print_ = getattr(view.pair, side).fingerprint or {}
    key = print_.get("samples") or print_.get("inputs")
    return None if key is None else str(key)


def _where(views: Sequence[View], side: str) -> dict[str, View]:
    """Which view holds a batch; the first, where several do."""
    found: dict[str, View] = {}
    for view in views:
        key = _key(view, side)
        if key is not None:
            found.setdefault(key, view)
    return found


def _offset(apart: Sequence[View], seen: Mapping[str, View]) -> int:
    """By how many dumps B's batches are shifted: 0 unless nearly all agree, three at least."""
    origins = [(v, seen.get(_key(v, "b") or "")) for v in apart]
    offsets = Counter(o.index - v.index for v, o in origins if o is not None)
    if not offsets:
        return 0
    offset, times = offsets.most_common(1)[0]
    return offset if times >= 3 and times >= 0.8 * len(apart) - abs(offset) else 0


def _spread(views: Sequence[View], apart: Sequence[View]) -> str:
    """The same examples, in other batches; known where each example has its own hash."""
    ours, theirs = _examples(apart, "a"), _examples(apart, "b")
    shared = (ours & theirs).total()
    if not shared:
        return ""
    share = shared / max(ours.total(), theirs.total())
    here = (_examples(apart[:1], "a") & _examples(apart[:1], "b")).total()
    if here and here / max(1, _examples(apart[:1], "a").total()) >= 0.5:
        return f"{here} of {_examples(apart[:1], 'a').total()} examples of the batch are the same, the others are not"
    return (
        f"the examples are spread over other batches: {100 * share:.0f} % of A's are found in B's, shuffled otherwise"
    )


def _examples(views: Sequence[View], side: str) -> Counter[str]:
    return Counter(
        h for v in views for h in (getattr(v.pair, side).fingerprint or {}).get("sample_hashes") or ()
    )  # fmt: skip


def _content(a: Fingerprint, b: Fingerprint) -> str:
    """Examples that are in neither's other batches."""
    if _apart(a, b, "size"):
        return f"A's batch holds {many(a['size'], 'example')}, B's {b['size']}"
    if _agree(a, b, "targets"):
        return f"{SAME_TARGETS}: augmentation or preprocessing differs"
    return "inputs and targets of the batch are others: other data, or shuffled otherwise"


def unknown(views: Sequence[View]) -> str:
    """Whose batches are not known: "batches (no fingerprints)"; the state before training has none."""
    trained = [v for v in views if v.pair.a.step != 0 or v.pair.a.loss is not None]
    without = {x: sum(not getattr(v.pair, x).fingerprint for v in trained) for x in ("a", "b")}
    if not any(without.values()):
        return ""
    if all(n == len(trained) for n in without.values()):
        return "batches (no fingerprints)"
    told = [f"{n} of {many(len(trained), 'dump')} of {x.upper()}" for x, n in without.items() if n]
    return f"batches (no fingerprints in {' and '.join(told)})"
