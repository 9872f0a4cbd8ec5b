"""What fvcore and torch's FlopCounterMode count, module by module, as their users run them.

Eval mode, no gradients, the fast path as it is set. Counts are MACs: FlopCounterMode's FLOPs are
two a MAC, and of what fvcore calls flops the handlers for normalisation, average pooling and
interpolation are kept apart. Beside the counts stands what each tool saw and could not count.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import own_words
from ..records import Trace
from ..sources import Inputs
from .opinfo import opinfo
from .tracer import walk

FVCORE, TORCH = "fvcore", "FlopCounterMode"

_FVCORE_CONTRACTIONS = frozenset({"conv", "linear", "matmul", "mm", "addmm", "bmm", "einsum"})

PerModule = defaultdict[str, Counter[str]]  # module -> op -> MACs, FLOPs or calls


@dataclass(frozen=True, slots=True)
class Counts:
    """What one tool saw, each op at the innermost module that ran it."""

    macs: PerModule = field(default_factory=lambda: defaultdict(Counter))
    extra: PerModule = field(default_factory=lambda: defaultdict(Counter))  # what fvcore's convention adds
    missed: PerModule = field(default_factory=lambda: defaultdict(Counter))  # calls of ops without a formula
    ran: set[str] = field(default_factory=set)

    @property
    def total_macs(self) -> int:
        """MACs of the whole model."""
        return sum(ops.total() for ops in self.macs.values())

    @property
    def total_extra(self) -> int:
        """FLOPs that fvcore's convention adds."""
        return sum(ops.total() for ops in self.extra.values())


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool beside ours."""

    engine: str
    package: str
    unit: str
    count: Callable[[nn.Module, Inputs], Counts]
    reported: Callable[[Counts], int]  # its own figure, in its own unit

    @property
    def version(self) -> str:
        """Version of the package that it comes with."""
        return metadata.version(self.package)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one tool's run gave: counts, or its own error."""

    counts: Counts | None
    seconds: float
    error: str | None = None


def run_peer(peer: Peer, model: nn.Module, inputs: Inputs) -> Outcome:
    """Run one tool; its own error is part of the result."""
    started = time.perf_counter()
    try:
        with silence(), _preserved(model), torch.no_grad():
            counts = peer.count(model, inputs)
    except Exception as error:
        return Outcome(None, time.perf_counter() - started, own_words(error))
    return Outcome(counts, time.perf_counter() - started)


def our_counts(trace: Trace) -> Counts:
    """Our own trace in the same form."""
    counts = Counts(ran={m.module for m in trace.modules if m.calls})
    for op in trace.ops:
        if op.macs is None or op.fvcore_flops is None:
            counts.missed[op.module][op.op] += 1
            continue
        if op.macs:
            counts.macs[op.module][op.op] += op.macs
        if op.fvcore_flops != op.macs:
            counts.extra[op.module][op.op] += op.fvcore_flops - op.macs
    return counts


# -- fvcore ---------------------------------------------------------------------------------------


def _fvcore_counts(model: nn.Module, inputs: Inputs) -> Counts:
    """fvcore's statistics of a module hold its submodules, too: taken apart by dotted path."""
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(model, _positional(model, inputs))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    counted = analysis.by_module_and_operator()
    counts = Counts(ran=set(counted) - analysis.uncalled_modules())
    for module, ops in _exclusive(counted).items():
        for op, flops in ops.items():
            into = counts.macs if op in _FVCORE_CONTRACTIONS else counts.extra
            into[module][f"aten.{op}"] += round(flops)
    unsupported = {name: analysis.unsupported_ops(name) for name in counted}
    for module, ops in _exclusive(unsupported).items():
        counts.missed[module] = _suspects({kind.replace("::", "."): calls for kind, calls in ops.items()})
    return counts


def _positional(model: nn.Module, inputs: Inputs) -> tuple[Any, ...]:
    """Keyword inputs in forward's order: fvcore takes no others."""
    bound = inspect.signature(model.forward).bind(*inputs.args, **inputs.kwargs)
    if bound.kwargs:
        raise TypeError(f"fvcore takes positional inputs only, not {', '.join(bound.kwargs)} by name")
    return bound.args


def _exclusive(inclusive: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """Each module without its submodules, zeros dropped.

    >>> _exclusive({"": Counter(mm=5, add=1), "a": Counter(mm=5)})
    {'': Counter({'add': 1}), 'a': Counter({'mm': 5})}
    """
    own = {name: Counter(ops) for name, ops in inclusive.items()}
    for name, ops in inclusive.items():
        parent = name.rpartition(".")[0]
        if name and parent in own:
            own[parent].subtract(ops)
    return {name: +ops for name, ops in own.items()}


# -- torch ----------------------------------------------------------------------------------------


def _torch_counts(model: nn.Module, inputs: Inputs) -> Counts:
    """FlopCounterMode, with a witness of the module that runs and of ops that it lets pass uncounted."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    places = _Places(model, counter)
    with places.following(), _Witness(places, counter.flop_registry), counter:
        model(*inputs.args, **inputs.kwargs)
    places.charge()
    for module, ops in places.counts.missed.items():
        places.counts.missed[module] = _suspects(ops)
    return places.counts


class _Places:
    """Charges what a FlopCounterMode adds to its total to the innermost running module."""

    def __init__(self, model: nn.Module, counter: Any) -> None:
        self.names = {id(module): name for name, module in walk(model)}
        self.counter = counter
        self.running = [""]
        self.seen: dict[Any, int] = {}
        self.counts = Counts()

    def charge(self) -> None:
        """Give what was counted since the last call to the module that runs now."""
        now = dict(self.counter.flop_counts.get("Global", {}))
        for packet, flops in now.items():
            if added := flops - self.seen.get(packet, 0):
                self.counts.macs[self.running[-1]][str(packet)] += added // 2
        self.seen = now

    def enter(self, module: nn.Module, _args: Any) -> None:
        """Step into a module; one made during forward belongs to whoever made it."""
        self.charge()
        self.running.append(self.names.get(id(module), self.running[-1]))
        self.counts.ran.add(self.running[-1])

    def leave(self, _module: nn.Module, _args: Any, _result: Any) -> None:
        """Step out again."""
        self.charge()
        self.running.pop()

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """Follow every module call; unlike a module's own hooks, global ones leave the fast path on."""
        before = nn.modules.module.register_module_forward_pre_hook(self.enter)
        after = nn.modules.module.register_module_forward_hook(self.leave)
        try:
            yield
        finally:
            before.remove()
            after.remove()


class _Witness(TorchDispatchMode):
    """Sees every op that FlopCounterMode runs and notes those that it has no formula for."""

    def __init__(self, places: _Places, registry: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.places, self.registry = places, registry

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._overloadpacket not in self.registry:
            self.places.counts.missed[self.places.running[-1]][str(func._overloadpacket)] += 1
        return func(*args, **(kwargs or {}))


# -- ops without a formula ------------------------------------------------------------------------


def _suspects(calls: dict[str, int]) -> Counter[str]:
    """Ops that multiply matrices, or else the unknown ones; what is known to multiply none is left out.

    >>> _suspects({"aten.lstm": 1, "aten.add": 3, "aten.gelu": 2, "prim.PythonOp.Mine": 1})
    Counter({'aten.lstm': 1})
    """
    kinds = {op: _kind(op) for op in calls}
    wanted = "contraction" if "contraction" in kinds.values() else None
    return Counter({op: calls[op] for op, kind in kinds.items() if kind == wanted})


def _kind(name: str) -> str | None:
    """Kind of an op by name, None where no overload of it has a formula."""
    namespace, _, op = name.partition(".")
    packet = None if namespace == "prim" else getattr(getattr(torch.ops, namespace), op, None)
    for overload in packet.overloads() if packet is not None else ():
        info = opinfo(getattr(packet, overload))
        if info.formula is not None:
            return info.formula.kind
        if info.view or info.silent or info.needs_data:
            return "move"
    return None


# -- leaving things as they were ------------------------------------------------------------------


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Tools and models neither warn, log nor print inside."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def _preserved(model: nn.Module) -> Iterator[None]:
    """Eval mode; afterwards training flags, RNG and hooks as before (fvcore leaves its own when it fails)."""
    saved = [(m, m.training, m._forward_pre_hooks.copy(), m._forward_hooks.copy()) for m in model.modules()]
    try:
        with torch.random.fork_rng(devices=[]):
            for m, *_ in saved:
                m.training = False
            yield
    finally:
        for m, training, before, after in saved:
            m.training, m._forward_pre_hooks, m._forward_hooks = training, before, after


PEERS = (
    Peer(FVCORE, "fvcore", "flops", _fvcore_counts, lambda c: c.total_macs + c.total_extra),
    Peer(TORCH, "torch", "FLOPs", _torch_counts, lambda c: 2 * c.total_macs),
)
