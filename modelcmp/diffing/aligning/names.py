"""Names that are the same but for a prefix."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
#: Path components that wrappers put anywhere into names: DataParallel, torch.compile, FSDP, activation checkpoints.
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_DIGITS = re.compile(r"\d{1,9}")
_FEW = 32  # endings of names that more names share say nothing
_STRONG = 0.8  # share of a subtree that must have its counterpart


@dataclass(frozen=True, slots=True)
class Found:
    """Two names that belong together, and the prefixes that told them apart."""

    name: str
    name_b: str
    prefix: str
    prefix_b: str
    whole: bool  # the prefix is one of (nearly) all names
    renumbered: bool  # the prefixes have other numbers: "features.1." and "layers.0."


def unwrapped(name: str) -> str:
    """A name without the components that wrappers add.

    >>> unwrapped("module._orig_mod.layer1.0.conv1.weight")
    'layer1.0.conv1.weight'
    """
    return ".".join(part for part in name.split(".") if part not in WRAPPERS) or name


def family(name: str) -> str:
    """A name with its numbers blotted out: what the layers of a stack have in common.

    >>> family("encoder.layer_10.norm1")
    'encoder.layer_#.norm#'
    """
    return _DIGITS.sub("#", name)


def numbers(name: str) -> tuple[int, ...]:
    """The numbers in a name, which order the layers of a stack."""
    return tuple(int(digits) for digits in _DIGITS.findall(name))


def order_is_known(names: Iterable[str]) -> bool:
    """Whether names stand in the order in which modules were registered, and not sorted, as safetensors keeps them.

    >>> order_is_known(["a.weight", "a.bias"]), order_is_known(["a.bias", "a.weight"])
    (True, False)
    """
    listed = list(names)
    place = {name: i for i, name in enumerate(listed)}
    both = [n.removesuffix("bias") for n in listed if n.endswith("bias") and n.removesuffix("bias") + "weight" in place]
    if both:
        return sum(place[p + "weight"] < place[p + "bias"] for p in both) * 2 > len(both)
    return len(listed) < 8 or listed != sorted(listed)


def by_prefix(
    a: Mapping[str, T], b: Mapping[str, T], fits: Callable[[T, T], bool], all_a: Sequence[str], all_b: Sequence[str]
) -> list[Found]:
    """Pair names that agree after a prefix of each, where the same two prefixes explain many names.

    ``all_a`` and ``all_b`` are the names of the whole models, against which "many" is measured. What two pairs of
    prefixes explain equally well is left out.
    """
    all_a, all_b, endings = sorted(all_a), sorted(all_b), _endings(b)
    options = {name: _options(name, a[name], b, endings, fits) for name in a}
    votes = Counter(pair for found in options.values() for pair, (_, fitting) in found.items() if fitting)
    seen = Counter(pair for found in options.values() for pair in found)
    modules: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, found in options.items():
        for pair in found:
            modules[pair].add(name.rpartition(".")[0])
    few, many = sorted((len(all_a), len(all_b)))
    whole = {
        p for p in votes if seen[p] >= _STRONG * (few if len(modules[p]) >= 3 else many) and votes[p] * 2 >= seen[p]
    }
    strong = {p for p in votes if p in whole or (len(modules[p]) >= 3 and _covers(p, votes[p], all_a, all_b))}
    claims: dict[str, list[tuple[int, Found]]] = defaultdict(list)
    for name, found in options.items():
        best = _single_best([(votes[p], (p, other)) for p, (other, _) in found.items() if p in strong])
        if best is not None:
            pair, other = best
            claims[other].append((votes[pair], _found(name, other, pair, pair in whole)))
    chosen = (_single_best(claim) for claim in claims.values())
    return [found for found in chosen if found is not None]


def _found(name: str, other: str, pair: tuple[str, str], whole: bool) -> Found:
    one, two = numbers(pair[0]), numbers(pair[1])
    return Found(name, other, *pair, whole, renumbered=one != two and (bool(one and two) or not whole))


def _endings(names: Iterable[str]) -> dict[str, list[str]]:
    """Each ending of a name, after any of its dots, and the names that have it."""
    endings: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for ending in _cuts(name):
            endings[ending].append(name)
    return endings


def _cuts(name: str) -> list[str]:
    parts = name.split(".")[-12:]
    cuts = [".".join(parts[i:]) for i in range(len(parts))]
    return cuts if cuts[0] == name else [name, *cuts]


def _options(
    name: str, thing: T, b: Mapping[str, T], endings: dict[str, list[str]], fits: Callable[[T, T], bool]
) -> dict[tuple[str, str], tuple[str, bool]]:
    """By pair of prefixes: the name of B with the longest ending that it shares, and whether the things fit."""
    for ending in _cuts(name):
        others = endings.get(ending, [])
        if others and len(others) <= _FEW and (ending == name or ending in others or _says_something(ending)):
            prefix = name[: len(name) - len(ending)]
            return {(prefix, o[: len(o) - len(ending)]): (o, fits(thing, b[o])) for o in others}
        if others:
            break
    return {}


def _says_something(ending: str) -> bool:
    """Whether a module is named in it, not only numbers and the tensor."""
    return any(c.isalpha() for c in ending.rpartition(".")[0])


def _covers(pair: tuple[str, str], votes: int, all_a: Sequence[str], all_b: Sequence[str]) -> bool:
    return votes >= _STRONG * max(1, min(_under(pair[0], all_a), _under(pair[1], all_b)))


def _under(prefix: str, ordered: Sequence[str]) -> int:
    """How many of the names, which are in alphabetical order, start with a prefix."""
    return bisect_left(ordered, prefix + chr(0x10FFFF)) - bisect_left(ordered, prefix)


def _single_best(options: Sequence[tuple[int, T]]) -> T | None:
    """What has most votes, if nothing else has as many."""
    ranked = sorted(options, key=lambda option: -option[0])
    if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
        return None
    return ranked[0][1]
