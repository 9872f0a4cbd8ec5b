"""Pure functions over op records: sums, liveness, dependency depth, fused and minimal traffic."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from .records import Access, LayerRecord, OpRecord, Trace

#: FLOP/byte below which an op is memory-bound and above which it is compute-bound when no hardware is named.
MEMORY_BOUND_BELOW = 10.0
COMPUTE_BOUND_ABOVE = 50.0

FOLDABLE = frozenset({"pointwise", "norm"})


def classify(ai: float | None) -> str | None:
    """Roofline class at one arithmetic intensity, with no hardware named.

    >>> classify(4.7), classify(31.0), classify(80.0), classify(None)
    ('memory-bound', 'balanced', 'compute-bound', None)
    """
    if ai is None:
        return None
    if ai < MEMORY_BOUND_BELOW:
        return "memory-bound"
    return "compute-bound" if ai > COMPUTE_BOUND_ABOVE else "balanced"


def total(values: Iterable[int | None]) -> int:
    """Sum of what is known; the caller says "at least" where something is not."""
    return sum(v for v in values if v is not None)


def uncounted(ops: Iterable[OpRecord]) -> dict[str, int]:
    """Operations without a formula, with their call counts."""
    return dict(Counter(op.op for op in ops if op.macs is None).most_common())


def depth(ops: Iterable[OpRecord]) -> int:
    """Longest chain of computing operations that depend on each other."""
    level: dict[int, int] = defaultdict(int)
    for op in ops:
        here = max((level[r.buffer] for r in op.reads), default=0) + op.computes
        for w in op.writes:
            level[w.buffer] = max(level[w.buffer], here)
    return max(level.values(), default=0)


def minimal_traffic_bytes(trace: Trace) -> int:
    """Weights, model inputs and outputs once each, as far as they are touched: the strict lower bound."""
    touched: dict[int, list[int]] = defaultdict(list)
    for op in trace.ops:
        for buffer, nbytes in op.weights:
            touched[buffer].append(nbytes)
    # A gather touches a few rows each call: never more than one full read of the tensor in all.
    weights = sum(max(sizes) for sizes in touched.values())
    read = _sizes(r for op in trace.ops for r in op.reads)
    made = {w.buffer for op in trace.ops for w in op.writes}
    inputs = {a[:2]: a.nbytes for a in trace.inputs}
    outputs = {a.buffer: a.nbytes for a in trace.outputs if a.buffer in made}
    return weights + sum(min(n, read[key]) for key, n in inputs.items()) + sum(outputs.values())


def _sizes(accesses: Iterable[Access]) -> Counter[tuple[int, int]]:
    """Bytes read or written of each content of each buffer."""
    sizes: Counter[tuple[int, int]] = Counter()
    for a in accesses:
        sizes[a[:2]] += a.nbytes
    return sizes


def peak_activation_bytes(trace: Trace) -> int:
    """Most bytes of intermediates alive at once, each freed after its last use in the trace.

    In train mode what backward saves stays alive to the end of forward.
    """
    born: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, op in enumerate(trace.ops):
        for access in (*op.reads, *op.writes):
            last[access.buffer] = i
        for access in op.writes:
            born.setdefault(access.buffer, i)
    for buffer in (*(a.buffer for a in trace.outputs), *trace.saved_buffers):
        last[buffer] = len(trace.ops)
    change = [0] * (len(trace.ops) + 2)
    for buffer in born.keys() & trace.buffer_bytes.keys() - {a.buffer for a in trace.inputs}:
        change[born[buffer]] += trace.buffer_bytes[buffer]
        change[last[buffer] + 1] -= trace.buffer_bytes[buffer]
    alive = peak = 0
    for step in change:
        alive += step
        peak = max(peak, alive)
    return peak


def training_state_bytes(trace: Trace) -> int:
    """Gradients and Adam's two moments for the trainable parameters, in the parameters' own dtype."""
    return 3 * trace.trainable_bytes


def fused_traffic_bytes(trace: Trace) -> int:
    """Traffic of an ideal pointwise-fusing compiler.

    A pointwise, activation or normalisation op joins the group of the op that made its latest
    input; values that stay inside a group are never written, values used outside are written once
    and read once by each group that uses them (parts of a buffer that it reads add up to at most the
    buffer).
    """
    group, groups = _fusion_groups(trace.ops)
    read: Counter[tuple[int, int, int]] = Counter()  # (buffer, version, group) -> bytes
    size: dict[tuple[int, int], int] = {}
    for op, mine in zip(trace.ops, groups, strict=True):
        for buffer, version, nbytes in op.reads:
            if group.get((buffer, version)) != mine:
                read[buffer, version, mine] += nbytes
        for value in op.writes:
            size[value[:2]] = value.nbytes
    needed = {key[:2] for key in read} | {value[:2] for value in trace.outputs}
    written = sum(nbytes for key, nbytes in size.items() if key in needed)
    reads = sum(min(nbytes, trace.buffer_bytes.get(key[0], nbytes)) for key, nbytes in read.items())
    return reads + written + sum(op.weight_bytes for op in trace.ops)


def _fusion_groups(ops: Sequence[OpRecord]) -> tuple[dict[tuple[int, int], int], list[int]]:
    """Group of each value and of each op; a group's head is the value that it made last."""
    group: dict[tuple[int, int], int] = {}
    heads: dict[int, tuple[int, int]] = {}
    groups: list[int] = []
    for i, op in enumerate(ops):
        mine = i
        if op.kind in FOLDABLE:
            made = [group[r[:2]] for r in op.reads if r[:2] in group and heads.get(group[r[:2]]) == r[:2]]
            mine = max(made, default=i)
        groups.append(mine)
        for w in op.writes:
            group[w[:2]] = mine
            heads[mine] = w[:2]
    return group, groups


def layers(trace: Trace, convention: str = "total") -> tuple[LayerRecord, ...]:
    """Operations summed by the module that ran them, in order; then modules that only own parameters."""
    ran: dict[str, list[OpRecord]] = defaultdict(list)
    for op in trace.ops:
        ran[op.module].append(op)
    owned = {m.module: m for m in trace.modules}
    names = [*ran, *(m.module for m in trace.modules if m.module not in ran and m.params)]
    rows = []
    for name in names:
        module = owned.get(name)
        rows.append(
            summed_layer(
                name,
                module.module_type if module else ran[name][0].module_type,
                module.calls if module else 1 + max(op.call for op in ran[name]),
                module.params if module else 0,
                ran.get(name, []),
                convention,
            )
        )
    return tuple(rows)


def summed_layer(
    module: str, module_type: str, calls: int, params: int, ops: Sequence[OpRecord], convention: str
) -> LayerRecord:
    """One row for a set of operations."""
    known = not any(op.macs is None for op in ops)
    flops = total(op.cost(convention) for op in ops)
    traffic = sum(op.traffic_bytes for op in ops)
    ai = flops / traffic if traffic and known else None
    return LayerRecord(
        module=module,
        module_type=module_type,
        calls=calls,
        params=params,
        input_shapes=ops[0].input_shapes if ops else (),
        output_shapes=ops[-1].output_shapes if ops else (),
        macs=total(op.macs for op in ops) if known else None,
        flops=flops if known else None,
        input_bytes=sum(op.input_bytes for op in ops),
        output_bytes=sum(op.output_bytes for op in ops),
        weight_bytes=sum(op.weight_bytes for op in ops),
        traffic_bytes=traffic,
        ai=ai,
        bound=classify(ai),
        ops=sum(op.computes for op in ops),
    )


def rolled_up(trace: Trace, levels: int, convention: str = "total") -> tuple[LayerRecord, ...]:
    """Layers merged at the first ``levels`` parts of their path (0: the whole model in one row)."""
    ran: dict[str, list[OpRecord]] = defaultdict(list)
    params: Counter[str] = Counter()
    for op in trace.ops:
        ran[_prefix(op.module, levels)].append(op)
    for m in trace.modules:
        params[_prefix(m.module, levels)] += m.params
    owned = {m.module: m for m in trace.modules}
    names = [*ran, *(n for n in params if n not in ran and params[n])]
    return tuple(
        summed_layer(
            n,
            owned[n].module_type if n in owned else "",
            owned[n].calls if n in owned else 1,
            params[n],
            ran.get(n, []),
            convention,
        )
        for n in names
    )


def _prefix(path: str, levels: int) -> str:
    return ".".join(path.split(".")[:levels]) if levels else ""


def distinct_outputs(accesses: Iterable[Access]) -> tuple[Access, ...]:
    """Accesses with each buffer once, the last version kept."""
    return tuple({a.buffer: a for a in accesses}.values())
