"""Matches that rest on names: the same one, one behind a prefix, or one in another library's words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from ..records import Match
from .names import Found, by_prefix, family, unwrapped
from .pairing import go_together
from .state import Modules, State
from .transforms import Shape, relation

SAME, WRAPPED, PREFIXED, RENAMED, RENUMBERED = 1.0, 0.99, 0.95, 0.95, 0.85
#: At most, for a square matrix that is taken as transposed, or may be, since its siblings are.
_LIKE_ALL, _LIKE_SOME = 0.8, 0.5


def same_names(state: State) -> None:
    """The same name; also where the shapes differ, which is for the measures to report."""
    both = [name for name in state.left_a if name in state.left_b]
    state.take(_match(name, name, SAME, "same name", state) for name in both)


def prefixes(state: State) -> None:
    """The same name without what wrappers add, or after a prefix that many names share."""
    plain_a, plain_b = _by_plain_name(state.left_a), _by_plain_name(state.left_b)
    both = [(plain_a[plain], plain_b[plain]) for plain in plain_a if plain in plain_b]
    state.take(_match(a, b, WRAPPED, _wrapper_words(a, b), state) for a, b in both)
    found = by_prefix(state.left_a, state.left_b, _fits, list(state.a), list(state.b))
    state.take(_match(f.name, f.name_b, _sure(f), _prefix_words(f.prefix, f.prefix_b), state) for f in found)


def renamed(modules: Modules) -> None:
    """The same place and role in words that libraries share, perhaps behind a prefix."""
    a, b = ({f"{u.key}.*": u for u in side} for side in modules.left())
    both = [key for key in a if key in b and go_together(a[key], b[key])]
    modules.take([(a.pop(key), b.pop(key)) for key in both], RENAMED, "renamed")
    all_a, all_b = ([f"{u.key}.*" for u in side] for side in (modules.a, modules.b))
    found = by_prefix(a, b, go_together, all_a, all_b)
    fitting = [f for f in found if go_together(a[f.name], b[f.name_b])]
    for renumbered, sure in ((False, RENAMED), (True, RENUMBERED)):
        pairs = [(a[f.name], b[f.name_b]) for f in fitting if f.renumbered == renumbered]
        modules.take(pairs, sure, "renamed and renumbered" if renumbered else "renamed")


def squares(state: State) -> None:
    """Square matrices follow their siblings: their own shapes can't tell whether they are transposed."""
    stacks: dict[str, list[int]] = defaultdict(list)
    for i, match in enumerate(state.matches):
        if len(state.a[match.name]) == 2 and match.how != "map" and match.transform in ("", "transpose"):
            stacks[_stack(match.name)].append(i)
    for members in stacks.values():
        square = {i for i in members if len(set(state.a[state.matches[i].name])) == 1}
        turned = {state.matches[i].transform == "transpose" for i in members if i not in square}
        for i in square if True in turned else ():
            if not state.matches[i].transform:
                state.matches[i] = _like_siblings(state.matches[i], certain=False not in turned)


def _match(name: str, name_b: str, confidence: float, how: str, state: State) -> Match:
    transform = relation(state.a[name], state.b[name_b]) or ""
    words = {"": how, "transpose": f"{how}, transposed", "reshape": f"{how}, reshaped"}
    return Match(name, name_b, confidence, words[transform], transform)


def _sure(found: Found) -> float:
    if found.renumbered:
        return RENUMBERED
    return WRAPPED if found.whole else PREFIXED


def _by_plain_name(names: Iterable[str]) -> dict[str, str]:
    """Names by what they are without wrappers, where that is one name's alone."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        found[unwrapped(name)].append(name)
    return {plain: members[0] for plain, members in found.items() if len(members) == 1}


def _wrapper_words(name: str, other: str) -> str:
    """The prefix where that is all that tells them apart."""
    longer, shorter = sorted((name, other), key=len, reverse=True)
    return f"prefix '{longer[: -len(shorter)]}'" if longer.endswith("." + shorter) else "same name within wrappers"


def _prefix_words(a: str, b: str) -> str:
    return f"prefix '{a}' of A, '{b}' of B" if a and b else f"prefix '{a or b}'"


def _fits(a: Shape, b: Shape) -> bool:
    return relation(a, b) is not None


def _like_siblings(match: Match, certain: bool) -> Match:
    """Transposed where all its siblings are; doubtful where only some are."""
    if certain:
        how = f"{match.how}, transposed as its siblings"
        return replace(match, confidence=min(match.confidence, _LIKE_ALL), how=how, transform="transpose")
    how = f"{match.how}; may be transposed, as some siblings are"
    return replace(match, confidence=min(match.confidence, _LIKE_SOME), how=how)


def _stack(name: str) -> str:
    """What a tensor's siblings share: the path up to the last number before its module, numbers blotted out."""
    blotted = family(name.rpartition(".")[0])
    return blotted[: blotted.rfind("#.") + 2] if "#." in blotted else ""
