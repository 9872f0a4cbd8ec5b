"""The classifier head of a network, found by its structure from the names and shapes of a state dict."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import takewhile

from .aligning.names import numbers, order_is_known
from .aligning.transforms import Shape
from .aligning.units import Unit, units
from .head_chains import Chain, beside_in_order, chains_in_order, grown_by_width
from .head_layers import (
    Linear,
    head_prefix,
    is_flat,
    is_linear,
    is_norm_of,
    last_convolution,
    linear_layers,
)

_ATTENTION = re.compile(r"(^|[._])(attn|attention|in_proj|qkv|query|key|value|[qkv]_proj|relative_position\w*)([._]|$)")
_AUXILIARY = re.compile(r"(^|\.)aux\w*\.$")


def head_modules(tensors: Mapping[str, Shape]) -> list[Unit]:
    """The modules of the head: the last chain of linear layers outside of repeated blocks, and the norms in it.

    Also heads beside it on the same features, and further ones with as many classes (auxiliary, distillation). All
    modules of a network of linear layers alone; none where there is no such layer, or where a convolution behind it
    gives the output.
    """
    modules = _in_order(units(tensors))
    if _is_mlp(modules):
        return modules
    blocks = _blocks(modules, singles=True)
    free = [not any(unit.path.startswith(block) for block in blocks) for unit in modules]
    linear = [x for x in linear_layers(modules) if free[x.at] and not _ATTENTION.search(x.unit.path.lower())]
    if order_is_known(tensors) and list(tensors) != sorted(tensors):
        return _head_in_order(linear, modules, free)
    return _head_by_width(linear, modules, free)


def _head_in_order(linear: Sequence[Linear], modules: Sequence[Unit], free: Sequence[bool]) -> list[Unit]:
    chains = chains_in_order(linear, modules)
    end = last_convolution(modules, free, ordered=True)
    able = [c for c in chains if end is None or c[-1].at > end or any(layer.surely_head for layer in c)]
    if not able:
        return []
    main = _main(able, modules)
    beside = beside_in_order(main, chains, modules)
    same = [c for c in chains if c in beside or (c[-1].out == main[-1].out and _named_head(c))]
    return [unit for chain in same for unit in _with_norms(chain, modules)]


def _head_by_width(linear: Sequence[Linear], modules: Sequence[Unit], free: Sequence[bool]) -> list[Unit]:
    if not linear:
        return []
    (main,) = _main([[layer] for layer in linear], modules)
    same = [layer for layer in linear if layer is main or (layer.out == main.out and layer.named_head)]
    found = grown_by_width(same, linear, modules)
    inner = any(layer.out > layer.wide for layer in found) or any(layer.wide == main.out for layer in linear)
    sure = any(layer.surely_head for layer in found) or (_named_head(found) and not inner)
    if not sure and last_convolution(modules, free, ordered=False) is not None:
        return []
    numbered = [unit for x in found if x.unit.path.rpartition(".")[2].isdigit() for unit in _norms_behind(x, modules)]
    norms = [unit for unit in _norms_beside(found, modules) if unit not in numbered]
    return [*(layer.unit for layer in found), *numbered, *norms]


def _is_mlp(modules: Sequence[Unit]) -> bool:
    """Whether there are linear layers and flat norms alone, as one chain or without repeated blocks."""
    linear = linear_layers(modules)
    alone = all(is_linear(unit) or is_flat(unit) for unit in modules)
    if not linear or not alone or any(_ATTENTION.search(unit.path.lower()) for unit in modules):
        return False
    return len(chains_in_order(linear, modules)) == 1 or not _blocks(modules, singles=False)


def _in_order(modules: Sequence[Unit]) -> list[Unit]:
    """Modules with numbered siblings in the order of their numbers: sorted names put 10 before 2."""
    parents: dict[str, list[int]] = defaultdict(list)
    for i, unit in enumerate(modules):
        parent, _, last = unit.path.rpartition(".")
        if last.isdigit():
            parents[parent].append(i)
    ordered = list(modules)
    for places in parents.values():
        for place, unit in zip(
            places, sorted((modules[i] for i in places), key=lambda u: numbers(u.path)), strict=True
        ):
            ordered[place] = unit
    return ordered


def _blocks(modules: Sequence[Unit], singles: bool) -> set[str]:
    """Prefixes of repeated blocks: numbered components that hold modules, with siblings of the same inner structure.

    ``singles``: also a lone numbered component that holds attention or modules of modules. Heads made of numbered
    parts (``head.0.fc``, ``head.0.bn``) are none.
    """
    inner: dict[str, set[str]] = defaultdict(set)
    for unit in modules:
        parts = unit.path.split(".")
        for depth in range(1, len(parts)):
            if parts[depth - 1].isdigit() or re.fullmatch(r"\w*\D_?\d+", parts[depth - 1]):
                inner[".".join(parts[:depth]) + "."].add(".".join(parts[depth:]))
    alike: dict[tuple[str, frozenset[str]], list[str]] = defaultdict(list)
    for prefix, names in inner.items():
        alike[prefix[:-1].rstrip("0123456789"), frozenset(names)].append(prefix)
    found = {p for members in alike.values() if len(members) > 1 for p in members}
    if singles:
        found |= {p for p, names in inner.items() if any(_ATTENTION.search(name.lower()) for name in names)}
        found |= {
            p
            for p, names in inner.items()
            if any(re.match(r".*\w\..*\.", name + ".") for name in names) and len(names) > 3
        }
    return {p for p in found if not _in_head(p, modules) and not _AUXILIARY.search(p.lower())}


def _in_head(prefix: str, modules: Sequence[Unit]) -> bool:
    """Whether a prefix lies in a part named as a head that holds linear layers and norms alone, beside other parts."""
    head = head_prefix(prefix)
    if head is None:
        return False
    inside = [unit for unit in modules if unit.path.startswith(head)]
    plain = all((is_linear(u) or is_flat(u)) and not _ATTENTION.search(u.path.lower()) for u in inside)
    return plain and len(inside) < len(modules)


def _main(chains: Sequence[Chain], modules: Sequence[Unit]) -> Chain:
    """The chain that is the classifier: named as a head, fed by what the rest gives, feeding no other, and last."""
    given = Counter(unit.shape[0] for unit in modules if unit.shape)
    taken = {layer.wide for chain in chains for layer in chain if layer.wide != layer.out}

    def rank(chain: Chain) -> tuple[bool, bool, bool, bool, int]:
        named, last = _named_head(chain), chain[-1]
        ends = last.out not in taken
        return named and "aux" not in last.unit.path.lower(), _is_fed(chain, given), ends, named, last.at

    return max(chains, key=rank)


def _named_head(chain: Sequence[Linear]) -> bool:
    return any(layer.named_head for layer in chain)


def _is_fed(chain: Sequence[Linear], given: Mapping[int, int]) -> bool:
    """Whether the rest of the model has a width that the chain takes, perhaps at several places of a feature map."""
    own = Counter(layer.unit.shape[0] for layer in chain)
    return any(width > 1 and chain[0].wide % width == 0 and count > own[width] for width, count in given.items())


def _with_norms(chain: Sequence[Linear], modules: Sequence[Unit]) -> list[Unit]:
    """The chain with the norms between its layers, and those right behind one in the same part of the model."""
    found: list[Unit] = []
    for layer, after in zip(chain, [*chain[1:], None], strict=True):
        if after is not None and after.at > layer.at:
            found += modules[layer.at : after.at]
        else:
            found += [layer.unit, *_norms_behind(layer, modules)]
    return found


def _norms_behind(layer: Linear, modules: Sequence[Unit]) -> list[Unit]:
    parent = layer.unit.path.rpartition(".")[0]
    behind = modules[layer.at + 1 :] if parent else []
    return list(takewhile(lambda u: u.path.rpartition(".")[0] == parent and is_norm_of(u, layer.out), behind))


def _norms_beside(found: Sequence[Linear], modules: Sequence[Unit]) -> list[Unit]:
    """Without a known order: norms beside the layers, over features that only layers inside the head give.

    Also over those that a layer of the same part gives and does not take, where another of them takes them.
    """
    own = {layer.at for layer in found}
    others = {u.shape[0] for i, u in enumerate(modules) if i not in own and u.shape and not is_flat(u)}
    widths = {parent: _inner(found) - others for parent in {layer.parent for layer in found}}
    for parent in widths.keys() - {""}:
        part = [layer for layer in found if layer.parent == parent]
        widths[parent] |= _inner(part) & {layer.out for layer in part if layer.out != layer.wide}
    return [unit for unit in modules if _is_norm_in(unit, widths.get(unit.path.rpartition(".")[0], set()))]


def _is_norm_in(unit: Unit, widths: set[int]) -> bool:
    return len(unit.shape) == 1 and unit.shape[0] in widths and is_norm_of(unit, unit.shape[0])


def _inner(layers: Sequence[Linear]) -> set[int]:
    """The widths that some of the layers give and some take."""
    return {layer.out for layer in layers} & {layer.wide for layer in layers}
