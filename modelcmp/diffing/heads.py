"""The classifier head of a network, found by its structure from the names and shapes of a state dict."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from .aligning.names import numbers, order_is_known
from .aligning.transforms import Shape
from .aligning.units import Unit, units

_NO_LINEAR = re.compile(r"emb|wte|wpe|token|position|relative|(^|\.)pos(_|$)|codebook|prototype|vocab")
_ATTENTION = re.compile(r"(^|[._])(attn|attention|in_proj|qkv|query|key|value|[qkv]_proj|relative_position\w*)([._]|$)")
_AUXILIARY = re.compile(r"(^|\.)aux\w*\.$")
_HEAD_WORDS = re.compile(
    r"(^|\.)(\w*classif\w*|\w*heads?|fc\d*|logits?|last_linear|output(_layer)?|cls\w*|pre_logits)(_\w+)?(\.|$)"
)


@dataclass(frozen=True, slots=True)
class _Linear:
    """A linear layer and its place among the modules of the model."""

    at: int
    unit: Unit
    wide: int  # features in
    out: int


def head_modules(tensors: Mapping[str, Shape]) -> list[Unit]:
    """The modules of the head: the last chain of linear layers outside of repeated blocks, and the norms in it.

    Also further heads with as many classes (auxiliary, distillation). All modules of a network of linear layers alone;
    none where there is no such layer.
    """
    modules = _in_order(units(tensors))
    if _is_mlp(modules):
        return modules
    blocks = _blocks(modules, singles=True)
    free = [not any(unit.path.startswith(block) for block in blocks) for unit in modules]
    linear = [
        _Linear(i, unit, *_features(unit))
        for i, unit in enumerate(modules)
        if free[i] and _is_linear(unit) and not _ATTENTION.search(unit.path.lower())
    ]
    ordered = order_is_known(tensors)
    chains = _chains(linear, modules, ordered)
    chains = chains if ordered else _joined(chains)
    if not chains:
        return []
    main = _main(chains, modules)
    classes = main[-1].out
    same = [c for c in chains if c is main or (c[-1].out == classes and _named_head(c))]
    found = [unit for chain in same for unit in _with_norms(chain, modules)]
    return found if ordered else found + _norms_beside(main, modules)


def _is_mlp(modules: Sequence[Unit]) -> bool:
    """Whether there are linear layers and flat norms alone, as one chain or without repeated blocks."""
    linear = [_Linear(i, unit, *_features(unit)) for i, unit in enumerate(modules) if _is_linear(unit)]
    alone = all(_is_linear(unit) or _is_flat(unit) for unit in modules)
    if not linear or not alone or any(_ATTENTION.search(unit.path.lower()) for unit in modules):
        return False
    return len(_chains(linear, modules, ordered=True)) == 1 or not _blocks(modules, singles=False)


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


def _is_linear(unit: Unit) -> bool:
    """A matrix named weight (or kernel), with a bias that fits if any, that is no embedding."""
    weight = unit.leaves.get("weight")
    if weight is None or len(weight.shape) != 2 or not set(unit.leaves) <= {"weight", "bias"}:
        return False
    bias = unit.leaves.get("bias")
    fits = bias is None or bias.shape == (_features(unit)[1],)
    named = weight.names[0].rpartition(".")[2] in ("weight", "kernel")
    return fits and named and not (bias is None and _NO_LINEAR.search(unit.path.lower()))


def _features(unit: Unit) -> tuple[int, int]:
    """Features in and out."""
    leaf = unit.leaves["weight"]
    return (leaf.shape[0], leaf.shape[1]) if leaf.kernel else (leaf.shape[1], leaf.shape[0])


def _is_flat(unit: Unit) -> bool:
    """A one-dimensional norm, or a scalar: nothing that mixes features."""
    return all(len(leaf.shape) <= 1 for leaf in unit.leaves.values())


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
        alike[re.sub(r"\d+\.$", "", prefix), frozenset(names)].append(prefix)
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
    match = _HEAD_WORDS.search(prefix)
    if match is None:
        return False
    head = prefix[: match.end()]
    inside = [unit for unit in modules if unit.path.startswith(head)]
    plain = all((_is_linear(u) or _is_flat(u)) and not _ATTENTION.search(u.path.lower()) for u in inside)
    return plain and len(inside) < len(modules)


def _chains(linear: Sequence[_Linear], modules: Sequence[Unit], ordered: bool) -> list[list[_Linear]]:
    """Runs of linear layers, each of which takes what the one before gives, with only fitting norms between.

    Where the order of names says nothing, layers side by side must be parts of one module or be named as heads.
    """
    chains: list[list[_Linear]] = []
    for layer in linear:
        before = chains[-1][-1] if chains else None
        if before is not None and _feeds(before, layer, modules) and (ordered or _close(before, layer)):
            chains[-1].append(layer)
        else:
            chains.append([layer])
    return chains


def _joined(chains: list[list[_Linear]]) -> list[list[_Linear]]:
    """Chains named as heads of which one gives what another takes, where the order of names says nothing."""
    for late in [chain for chain in chains if _named_head(chain)]:
        feeding = [c for c in chains if c is not late and _named_head(c) and c[-1].out == late[0].wide]
        if len(feeding) == 1 and feeding[0][0].wide != late[-1].out:
            rest = [chain for chain in chains if chain is not late and chain is not feeding[0]]
            return _joined([*rest, [*feeding[0], *late]])
    return chains


def _feeds(one: _Linear, other: _Linear, modules: Sequence[Unit]) -> bool:
    between = modules[one.at + 1 : other.at]
    return one.out == other.wide and all(_is_norm_of(unit, one.out) for unit in between)


def _close(one: _Linear, other: _Linear) -> bool:
    parent, parent_of_other = (layer.unit.path.rpartition(".")[0] for layer in (one, other))
    return (bool(parent) and parent == parent_of_other) or (_named_head([one]) and _named_head([other]))


def _is_norm_of(unit: Unit, width: int) -> bool:
    """A norm (or a PReLU) over features of some width."""
    return _is_flat(unit) and all(leaf.shape in ((width,), (1,), ()) for leaf in unit.leaves.values())


def _main(chains: Sequence[list[_Linear]], modules: Sequence[Unit]) -> list[_Linear]:
    """The chain that is the classifier: fed by what the rest gives, named as a head, and last."""

    def rank(chain: list[_Linear]) -> tuple[bool, bool, bool, int]:
        named = _named_head(chain)
        return named and "aux" not in chain[-1].unit.path.lower(), _is_fed(chain, modules), named, chain[-1].at

    return max(chains, key=rank)


def _named_head(chain: Sequence[_Linear]) -> bool:
    return any(_HEAD_WORDS.search(layer.unit.path.lower()) for layer in chain)


def _is_fed(chain: Sequence[_Linear], modules: Sequence[Unit]) -> bool:
    """Whether the rest of the model has a width that the chain takes, perhaps at several places of a feature map."""
    own = {layer.unit.path for layer in chain}
    widths = {unit.shape[0] for unit in modules if unit.path not in own and unit.shape}
    return any(width > 1 and chain[0].wide % width == 0 for width in widths)


def _with_norms(chain: Sequence[_Linear], modules: Sequence[Unit]) -> list[Unit]:
    """The chain with the norms between its layers, and those right behind one in the same part of the model."""
    found: list[Unit] = []
    for layer, after in zip(chain, [*chain[1:], None], strict=True):
        if after is not None and after.at > layer.at:
            found += modules[layer.at : after.at]
        else:
            found += [layer.unit, *_norms_behind(layer, modules)]
    return found


def _norms_behind(layer: _Linear, modules: Sequence[Unit]) -> list[Unit]:
    parent = layer.unit.path.rpartition(".")[0]
    behind = modules[layer.at + 1 :] if parent else []
    return list(takewhile(lambda u: u.path.rpartition(".")[0] == parent and _is_norm_of(u, layer.out), behind))


def _norms_beside(chain: Sequence[_Linear], modules: Sequence[Unit]) -> list[Unit]:
    """Without a known order: norms beside the layers, over features that only layers inside the chain give."""
    parents = {layer.unit.path.rpartition(".")[0] for layer in chain}
    own = {layer.unit.path for layer in chain}
    inner = {layer.out for layer in chain[:-1]}
    others = {unit.shape[0] for unit in modules if unit.path not in own and unit.shape and not _is_flat(unit)}
    return [
        unit
        for unit in modules
        if unit.path.rpartition(".")[0] in parents
        and any(_is_norm_of(unit, width) and unit.shape == (width,) for width in inner - others)
    ]
