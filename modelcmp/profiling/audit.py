"""fvcore and torch's FlopCounterMode beside our own count of one model, in MACs, with the reasons.

The tools run for real on the CPU, as their users run them; models too large for that run without
data on the meta device, which the result says.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from .. import __version__
from ..errors import BuildError, ForwardError, NeedsData, own_words
from ..records import ModelProfile, Shape
from ..sources import Inputs, Request, Subject, as_inputs
from ..sources.construct import build_with_weights, build_without_weights, use_own_statistics
from ..sources.images import torch_dtype
from .disagreement import AuditRow, disagreements
from .peers import PEERS, Counts, Outcome, Peer, our_counts, run_peer, silence
from .profile import profile_module, profile_subject, trace_module
from .tracer import walk

__all__ = ["OURS", "AuditRow", "EngineTotal", "ModelAudit", "audit_module", "audit_subject"]

OURS = "modelcmp"

#: Above either, a real forward would take minutes or gigabytes.
LARGE_PARAMS, LARGE_MACS = 1_000_000_000, 500_000_000_000


@dataclass(frozen=True, slots=True)
class EngineTotal:
    """What one tool reports for the whole model; figures are None when it failed."""

    engine: str
    version: str
    reported: int | None  # its own figure in its own unit
    unit: str  # "MACs" (ours), "flops" (fvcore: MACs and extras), "FLOPs" (FlopCounterMode: two a MAC)
    macs: int | None
    extra_flops: int | None  # what fvcore's convention adds to the MACs
    seconds: float  # the counting; ours also builds the model, without weights
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ModelAudit:
    """One model under all counts; ours comes first among the totals."""

    name: str
    source: str
    input_shape: tuple[Shape, ...]
    batch_size: int
    dtype: str
    device: str
    totals: tuple[EngineTotal, ...]
    rows: tuple[AuditRow, ...]
    notes: tuple[str, ...] = ()

    def total(self, engine: str) -> EngineTotal:
        """The total of one engine."""
        return next(t for t in self.totals if t.engine == engine)

    def rows_of(self, engine: str) -> tuple[AuditRow, ...]:
        """The differences of one engine."""
        return tuple(r for r in self.rows if r.engine == engine)


def audit_subject(subject: Subject, request: Request, device: str | None = None) -> ModelAudit:
    """Audit a model that can be built, with seeded random weights.

    The tools run on ``device``: "cpu", "meta" (no data) or, by default, the CPU unless it is large.
    Raises BuildError, ForwardError or BadInput for a model that is wrong; a tool's failure is a row.
    """
    with contextlib.suppress(Exception), silence():
        build_without_weights(subject.build)  # imports the model's package before the clock starts
    started = time.perf_counter()
    profile = profile_subject(subject, request)
    seconds = time.perf_counter() - started
    needs_data = profile.trace is not None and profile.trace.real
    notes = profile.notes
    if device is None:
        device = "meta" if _is_large(profile) and not needs_data else "cpu"
    if device == "meta":
        notes += (
            "the other tools ran without data on the meta device, where torch never takes its fast path and "
            "fvcore cannot trace convolutions: --device cpu runs them for real",
        )
    with silence():
        model, inputs = _ready(subject, request, device)
        if needs_data:
            use_own_statistics(model)
    return _audit(model, inputs, replace(profile, notes=notes), seconds)


def audit_module(model: nn.Module, inputs: Any, name: str = "") -> ModelAudit:
    """Audit a module that exists already, on the device where it is; it is left as it was.

    ``inputs`` is a tensor, a tuple of positional or a dict of keyword inputs, or :class:`Inputs`.
    """
    model, given = getattr(model, "_orig_mod", model), as_inputs(inputs)
    started = time.perf_counter()
    profile = profile_module(model, given, name=name)
    return _audit(model, given, profile, time.perf_counter() - started)


def _is_large(profile: ModelProfile) -> bool:
    return any(
        isinstance(value := profile.values[key], int) and value > limit
        for key, limit in (("params", LARGE_PARAMS), ("macs", LARGE_MACS))
    )


def _ready(subject: Subject, request: Request, device: str) -> tuple[nn.Module, Inputs]:
    """The model and its inputs on a device, seeded as profiling seeds them."""

    def moved(value: Any) -> Any:
        return value.to(device) if isinstance(value, Tensor) else value

    build = _builder(subject, request)
    try:
        model = build_without_weights(build).to("meta") if device == "meta" else build_with_weights(build)
    except Exception as error:
        raise BuildError(f"{subject.name} could not be built: {own_words(error)}") from error
    if request.dtype != "fp32":
        model = model.to(torch_dtype(request.dtype))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        given = subject.inputs(request, device)
    return model, Inputs(tree_map(moved, given.args), tree_map(moved, given.kwargs))


def _builder(subject: Subject, request: Request) -> Callable[[], nn.Module]:
    """How to build it for the size asked for: as it is where forward takes that size."""
    if subject.resized is None or request.input_size is None:
        return subject.build
    try:
        trace_module(build_without_weights(subject.build), subject.inputs(request, "meta"))
    except ForwardError:
        return subject.resized(request.input_size)
    except NeedsData:  # it runs with numbers only, and takes the size
        return subject.build
    return subject.build


def _audit(model: nn.Module, inputs: Inputs, profile: ModelProfile, seconds: float) -> ModelAudit:
    """Run the other engines and compare them with a profile of the same model."""
    assert profile.trace is not None
    ours = our_counts(profile.trace)
    totals = [_our_total(ours, seconds)]
    device = _device(model, inputs)
    types = {path: type(module).__name__ for path, module in walk(model)}
    rows: list[AuditRow] = []
    for peer in PEERS:
        outcome = run_peer(peer, model, inputs)
        if outcome.error and device == "meta":
            outcome = replace(outcome, error=f"on the meta device: {outcome.error}")
        totals.append(_peer_total(peer, outcome))
        rows += _rows(peer, types, ours, outcome)
    return ModelAudit(
        profile.name, profile.source, profile.input_shape, profile.batch_size, profile.dtype,
        device, tuple(totals), tuple(rows), profile.notes,
    )  # fmt: skip


def _rows(peer: Peer, types: dict[str, str], ours: Counts, outcome: Outcome) -> list[AuditRow]:
    if outcome.counts is None:
        reason = outcome.error or ""
        return [AuditRow(peer.engine, "", types[""], "", ours.total_macs, None, "tool failed", reason)]
    return disagreements(peer.engine, types, ours, outcome.counts)


def _our_total(ours: Counts, seconds: float) -> EngineTotal:
    return EngineTotal(OURS, __version__, ours.total_macs, "MACs", ours.total_macs, ours.total_extra, seconds)


def _peer_total(peer: Peer, outcome: Outcome) -> EngineTotal:
    counts = outcome.counts
    if counts is None:
        return EngineTotal(peer.engine, peer.version, None, peer.unit, None, None, outcome.seconds, outcome.error)
    reported, macs, extra = peer.reported(counts), counts.total_macs, counts.total_extra
    return EngineTotal(peer.engine, peer.version, reported, peer.unit, macs, extra, outcome.seconds)


def _device(model: nn.Module, inputs: Inputs) -> str:
    leaves = [*model.parameters(), *tree_leaves((inputs.args, inputs.kwargs))]
    tensors = [t for t in leaves if isinstance(t, Tensor)]
    return tensors[0].device.type if tensors else "cpu"
