"""State dicts as modules: the tensors that one module owns, under the words that libraries share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from .names import unwrapped
from .roles import read
from .transforms import Shape

#: What libraries call the tensors of a layer.
LEAVES = {
    "weight": "weight", "gamma": "weight", "kernel": "weight", "scale": "weight", "bias": "bias", "beta": "bias",
    "running_mean": "running_mean", "moving_mean": "running_mean", "running_var": "running_var",
    "moving_variance": "running_var", "moving_var": "running_var", "num_batches_tracked": "num_batches_tracked",
    "weight_g": "weight_g", "weight_v": "weight_v", "weight_orig": "weight_orig",
}  # fmt: skip
#: nn.MultiheadAttention keeps projections as its own tensors; new and old weight norm keep two factors.
_MOVED = (
    ("in_proj_weight", "in_proj", "weight"), ("in_proj_bias", "in_proj", "bias"),
    ("q_proj_weight", "q_proj", "weight"), ("k_proj_weight", "k_proj", "weight"),
    ("v_proj_weight", "v_proj", "weight"),
    ("parametrizations.weight.original0", "", "weight_g"), ("parametrizations.weight.original1", "", "weight_v"),
    ("parametrizations.weight.original", "", "weight_orig"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor of a module; made of several, one below the other, where parts of a fused tensor are stored apart."""

    shape: Shape
    names: tuple[str, ...]
    rows: tuple[int, ...] = ()  # of each part, where there are several
    kernel: bool = False  # stored as (in, out) by its name


@dataclass(frozen=True, slots=True)
class Unit:
    """A module that owns tensors."""

    path: str  # as in the model
    key: str  # in words that libraries share; unique in the model
    role: str  # "" where none is known
    leaves: Mapping[str, Leaf]
    place: str = ""

    @property
    def shape(self) -> Shape:
        """Of its weight, or of its first tensor."""
        return (self.leaves.get("weight") or next(iter(self.leaves.values()))).shape

    @property
    def statistics(self) -> bool:
        """Whether it keeps running statistics, as batch norm does."""
        return "running_mean" in self.leaves

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all its tensors."""
        return tuple(name for leaf in self.leaves.values() for name in leaf.names)


def units(tensors: Mapping[str, Shape]) -> list[Unit]:
    """The modules of a state dict, in the order of their first tensors."""
    owners = _owners(tensors)
    parents = {path.rpartition(".")[0] for path in owners if path}
    found: list[Unit] = []
    for path, names in owners.items():
        stray = [
            n for n, leaf in names.items() if leaf not in LEAVES.values() or _is_layer_scale(path, n, names, parents)
        ]
        found += [_unit(unwrapped(n), {"weight": n}, tensors) for n in stray]
        kept = {leaf: n for n, leaf in names.items() if n not in stray}
        found += [_unit(path, kept, tensors)] if kept else []
    return _unique(_settled(found))


def _owners(tensors: Iterable[str]) -> dict[str, dict[str, str]]:
    """By module path: the names of its tensors, with what each is."""
    owners: dict[str, dict[str, str]] = defaultdict(dict)
    for name in tensors:
        path, leaf = _home(unwrapped(name))
        owners[path][name] = leaf
    return owners


def _home(name: str) -> tuple[str, str]:
    for ending, module, leaf in _MOVED:
        if name == ending or name.endswith("." + ending):
            return f"{name[: -len(ending)]}{module}".strip("."), leaf
    path, _, leaf = name.rpartition(".")
    return path, LEAVES.get(leaf, leaf)


def _is_layer_scale(path: str, name: str, names: Mapping[str, str], parents: set[str]) -> bool:
    """A gamma without a beta beside other modules is no norm's."""
    alone = "bias" not in names.values() and name.rpartition(".")[2] in ("gamma", "scale")
    return (alone and path in parents) or list(names.values()).count(names[name]) > 1


def _unit(path: str, names: Mapping[str, str], tensors: Mapping[str, Shape]) -> Unit:
    reading = read(path)
    leaves = {leaf: Leaf(tensors[n], (n,), kernel=n.endswith("kernel")) for leaf, n in names.items()}
    return Unit(path, reading.path, reading.role, leaves, reading.place)


def _settled(found: list[Unit]) -> list[Unit]:
    """Roles that depend on what else a block holds."""
    held: dict[str, set[str]] = defaultdict(set)
    for unit in found:
        held[unit.place].add(unit.role)
    return [_in_context(unit, held[unit.place]) for unit in found]


def _in_context(unit: Unit, others: set[str]) -> Unit:
    role = unit.role
    if role == "gate" and "gated_up" not in others and unit.path.endswith("w1"):
        role = "fc1"  # a plain feed-forward net of w1 and w2
    elif role == "gated_up":
        role = "fc1"
    elif role in ("norm2", "norm3") and "norm3" in others:
        role = "norm_cross" if role == "norm2" else "norm2"  # self-attention, cross-attention, feed-forward
    elif role.startswith("cross_") and "multihead_attn" in unit.path and not others & {"attn_out"}:
        role = role.removeprefix("cross_")  # the only attention there is
    return unit if role == unit.role else replace(unit, role=role, key=f"{unit.place}.{role}".strip("."))


def _unique(found: list[Unit]) -> list[Unit]:
    """Roles that several modules of one place claim belong to none of them."""
    claims = Counter(unit.key for unit in found)
    plain = [u if claims[u.key] == 1 else replace(u, role="", key=u.path.lower()) for u in found]
    again = Counter(unit.key for unit in plain)
    return [u if again[u.key] == 1 else replace(u, key=u.path + "\0" + u.names[0]) for u in plain]
