"""Where another tool's count is not ours, and why, found from the root down.

A reason rests on what was observed: an op that ran and that the tool has no formula for, a module
that never ran under it, an error of its own. Where two tools only charge an op to different modules
and the parent's totals agree, there is no difference.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .peers import FVCORE, Counts, PerModule

#: Relative difference that is none: fvcore reads einsum's cost off a printout with four digits.
TOLERANCE = 1e-3

#: Kernels of torch's inference fast path, each of which hides several matrix products.
FUSED_KERNELS = frozenset({"aten._native_multi_head_attention", "aten._transformer_encoder_layer_fwd"})

_FAMILIES = {
    "conv": "convolution", "attention": "attention",  # before "dot", which scaled_dot_product_attention holds
    "lstm": "recurrent", "gru": "recurrent", "rnn": "recurrent", "linear": "matrix product", "mm": "matrix product",
    "mv": "matrix product", "dot": "matrix product", "matmul": "matrix product", "einsum": "matrix product",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One place where a tool's count is not ours, without the submodules that have rows of their own.

    ``cause`` is one of "fast path", "no formula", "counted differently", "did not run",
    "no formula of ours", "convention" and "tool failed". ``theirs_macs`` is None when the tool
    failed; under "convention" it holds the FLOPs that fvcore adds to its MACs.
    """

    engine: str
    module: str  # dotted path, "" for the root
    module_type: str
    op: str
    ours_macs: int
    theirs_macs: int | None
    cause: str
    reason: str


def disagreements(engine: str, types: Mapping[str, str], ours: Counts, theirs: Counts) -> list[AuditRow]:
    """Every difference in module order, then what only fvcore's convention adds.

    ``types`` names the class of each module by path, root first.
    """
    comparison = _Comparison(engine, types, ours, theirs)
    return [*comparison.below(""), *comparison.conventions()]


def family(op: str) -> str:
    """What an op computes, whatever a backend or tool calls it.

    >>> family("aten._convolution"), family("aten.linear"), family("aten.mkldnn_rnn_layer")
    ('convolution', 'matrix product', 'recurrent')
    >>> family("aten._scaled_dot_product_flash_attention_for_cpu"), family("aten._trilinear")
    ('attention', 'bilinear')
    """
    name = plain(op).strip("_")
    if name in ("bilinear", "trilinear"):
        return "bilinear"
    return next((kind for sign, kind in _FAMILIES.items() if sign in name), name)


def plain(op: str) -> str:
    """An op's name without torch's own namespace."""
    return op.removeprefix("aten.")


class _Comparison:
    """One tool's counts against ours."""

    def __init__(self, engine: str, types: Mapping[str, str], ours: Counts, theirs: Counts) -> None:
        self.engine, self.types, self.ours, self.theirs = engine, types, ours, theirs
        self.children: defaultdict[str, list[str]] = defaultdict(list)
        for name in types:
            if name:
                self.children[name.rpartition(".")[0]].append(name)
        self.ours_in, self.theirs_in = _inclusive(ours.macs), _inclusive(theirs.macs)

    def below(self, module: str) -> Iterator[AuditRow]:
        """Differences of a module and its submodules."""
        if _same(self.ours_in[module], self.theirs_in[module]):
            return
        kernel = next((op for op in self.theirs.missed[module] if op in FUSED_KERNELS), None)
        hidden = [c for c in self.children[module] if kernel and not self.theirs_in[c]]
        if kernel:
            yield self._fused(module, kernel, hidden)
        else:
            yield from self._own(module)
        for child in self.children[module]:
            if child not in hidden:
                yield from self.below(child)

    def _fused(self, module: str, kernel: str, hidden: list[str]) -> AuditRow:
        """The fused kernel stands for its module and the submodules that did not run."""
        ours = self.ours.macs[module].total() + sum(self.ours_in[c] for c in hidden)
        reason = f"torch's fast path: one fused kernel, for which {self.engine} has no formula"
        return self._row(module, [kernel], ours, self.theirs.macs[module].total(), "fast path", reason)

    def _own(self, module: str) -> Iterator[AuditRow]:
        """Differences of what the module ran itself: each op that was missed, then the rest in one row."""
        mine, other = self.ours.macs[module], self.theirs.macs[module]
        if _same(mine.total(), other.total()):
            return
        ours, theirs = _by_family(mine), _by_family(other)
        rest = {f for f in (*ours, *theirs) if not _same(ours[f], theirs[f])}
        for op in self.theirs.missed[module]:
            if (kind := family(op)) in rest and not theirs[kind]:
                rest.discard(kind)
                yield self._row(module, [op], ours[kind], 0, "no formula", f"{self.engine} has no formula for it")
        if rest:
            ops = [op for op in mine if family(op) in rest] or [op for op in other if family(op) in rest]
            a, b = sum(ours[f] for f in rest), sum(theirs[f] for f in rest)
            yield self._row(module, ops, a, b, *self._why(module, a, b))

    def _why(self, module: str, ours: int, theirs: int) -> tuple[str, str]:
        """Cause and reason from what was observed in this module."""
        missed, unknown = self.theirs.missed[module], self.ours.missed[module]
        if ours > theirs and missed:
            return "no formula", f"{self.engine} has no formula for {_listed(missed)}"
        if theirs > ours and unknown:
            return "no formula of ours", f"we have no formula for {_listed(unknown)}"
        if module not in self.theirs.ran:
            return "did not run", f"it did not run under {self.engine}: forward took another way"
        if self.engine == FVCORE and ours > theirs and "aten.matmul" in self.theirs.macs[module]:
            return "counted differently", "fvcore's matmul takes the first operand's shape: a broadcast is lost"
        seen = _listed(self.theirs.macs[module]) or "no matrix product"
        return "counted differently", f"{self.engine} saw {seen} and counts it differently"

    def conventions(self) -> Iterator[AuditRow]:
        """What fvcore counts and nobody multiplies."""
        reason = "convention: part of fvcore's flops, no MAC of a contraction"
        for module in self.types:
            for op, flops in self.theirs.extra[module].items():
                yield self._row(module, [op], 0, flops, "convention", reason)

    def _row(self, module: str, ops: list[str], ours: int, theirs: int, cause: str, reason: str) -> AuditRow:
        names = " + ".join(plain(op) for op in ops)
        return AuditRow(self.engine, module, self.types.get(module, ""), names, ours, theirs, cause, reason)


def _listed(ops: Iterable[str]) -> str:
    return ", ".join(plain(op) for op in ops)


def _same(ours: int, theirs: int) -> bool:
    return abs(ours - theirs) <= TOLERANCE * max(ours, theirs)


def _by_family(ops: Counter[str]) -> Counter[str]:
    summed: Counter[str] = Counter()
    for op, macs in ops.items():
        summed[family(op)] += macs
    return summed


def _inclusive(own: PerModule) -> Counter[str]:
    """MACs of each module with all of its submodules."""
    total: Counter[str] = Counter()
    for module, ops in own.items():
        parts = module.split(".") if module else []
        for depth in range(len(parts) + 1):
            total[".".join(parts[:depth])] += ops.total()
    return total
