"""Measuring a machine's roofs: the function :func:`calibrate`."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch

from ..errors import ModelcmpError
from ..hardware.catalogue import HOST
from ..hardware.device import DTYPES, Device
from ..profiling.profile import profile_module
from ..sources import Inputs
from .fitted import Timed, fitted, kernels_of_probe
from .machine import cache_bytes, check_dtype, conditions, find_device, on_threads, own_name, precision, title, units
from .memory import total_bytes
from .plan import Plan
from .probes import CACHE_COPY, CHAIN, LARGE_COPY, LAUNCHES, TINY_KERNELS, Kind, ProbeSpec, probe_specs
from .reasons import Reason
from .results import Calibration, Probe
from .samples import median, spread
from .timing import Run, Turn, cpu_turn, cuda_kernel_turn, cuda_turn, interleaved, warmed_up

#: Told what is being timed, and how much is done, in percent.
Progress = Callable[[str, int], None]

FULL = Plan(seconds=0.3, turns=5, least=2)
QUICK = Plan(seconds=0.06, turns=2, least=1)
#: A type is left out by default where a matrix product takes this many times as long as in fp32: it is emulated.
_ABSURD = 8.0
_TRIAL_SIDE, _TRIALS = 256, 20
_ALONE = 4.0
_ONCE = ("copy", "launch", "block")
#: What handing over an operation, and sharing it out among threads, can cost: beyond, something else was timed.
_COSTS_S = (1e-8, 1e-4)


def calibrate(
    device: str = "cpu",
    *,
    dtypes: Sequence[str] | None = None,
    threads: int | None = None,
    quick: bool = False,
    name: str | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Time probes on this machine, read its roofs off them, and fit what its kernels reach of these.

    Nothing is kept: see ``hardware.catalogue.save``.

    ``dtypes`` are by default fp32 and the half-precision types that are not emulated, on CUDA also TF32.
    It takes about a minute, about 15 seconds with ``quick``.
    Raises UsageError for a device or type that is not here.
    """
    where = find_device(device)
    count = threads if threads is not None else torch.get_num_threads()
    with on_threads(count), torch.cuda.device(where) if where.type == "cuda" else nullcontext():
        names = [check_dtype(d, where) for d in dict.fromkeys(dtypes)] if dtypes else default_dtypes(where)
        environment = {HOST: platform.node(), **conditions(where, count)}
        tell = progress or (lambda _label, _percent: None)
        timed: list[Timed] = []
        for i, dtype in enumerate(names):
            timed += _timed(where, dtype, count, QUICK if quick else FULL, _Share(tell, i, len(names)), first=i == 0)
    roofs = _device(where, count, [t.probe for t in timed], name or own_name(where), environment)
    found, probes = fitted(roofs, timed)
    return Calibration(found, tuple(probes), count)


def default_dtypes(where: torch.device) -> list[str]:
    """fp32, and what the device computes in without emulating it."""
    found = []
    for dtype in ("fp32", "tf32", "bf16", "fp16"):
        try:
            check_dtype(dtype, where)
        except ModelcmpError:
            continue
        if where.type == "cuda" or dtype == "fp32" or _trial(dtype) < _ABSURD * _trial("fp32"):
            found.append(dtype)
    return found


def _trial(dtype: str) -> float:
    """The shortest of a few small matrix products on the CPU."""
    from .machine import tensor_dtype

    x = torch.rand(_TRIAL_SIDE, _TRIAL_SIDE).to(tensor_dtype(dtype))
    times = []
    for _ in range(_TRIALS):
        start = time.perf_counter()
        x @ x
        times.append(time.perf_counter() - start)
    return min(times)


class _Share:
    """The part of the progress that belongs to one type."""

    def __init__(self, tell: Progress, index: int, count: int) -> None:
        self.tell, self.index, self.count = tell, index, count
        self.done, self.total = 0, 1

    def step(self, label: str, steps: int) -> None:
        self.done += steps
        self.tell(label, min(100, round(100 * (self.index + self.done / self.total) / self.count)))


def _timed(where: torch.device, dtype: str, threads: int, plan: Plan, share: _Share, first: bool) -> list[Timed]:
    """All probes of a type; copies, launches and blocks belong to the first, to which coefficients are fitted."""
    kind: Kind = "gpu" if where.type == "cuda" else "cpu"
    specs = [s for s in probe_specs(kind, cache_bytes(where)) if first or s.group not in _ONCE]
    if plan == QUICK:  # the slowest, and those that a fit misses least
        specs = [s for s in specs if s.group != "block" or s.shapes[0][0] == 1]
    share.total = len(specs) * (1 + plan.turns)
    with torch.inference_mode(), precision(dtype):
        samples: dict[ProbeSpec, tuple[float, ...] | Reason] = {}
        runs: dict[ProbeSpec, Run] = {}
        for spec in specs:
            share.step(f"{spec.label} {dtype}", 1)
            runs[spec] = _run(spec, dtype, where)
        for turn, some in _by_turn(runs, where, threads):
            samples |= interleaved(
                some, turn, _sure(plan, some), lambda spec, n: share.step(f"{spec.label} {dtype}", n)
            )
    return [_probe(spec, dtype, found) for spec, found in samples.items() if not isinstance(found, Reason)]


def _sure(plan: Plan, runs: Iterable[ProbeSpec]) -> Plan:
    """More time for the few probes of which each is a roof by itself; a matrix product is one among many."""
    alone = all(spec.group in ("copy", "launch") for spec in runs)
    return replace(plan, seconds=_ALONE * plan.seconds) if alone else plan


def _run(spec: ProbeSpec, dtype: str, where: torch.device) -> Run:
    """What runs a probe, warm."""
    module, inputs = spec.made(dtype, where)

    def run() -> object:
        return module(*inputs)

    warmed_up(run)
    if where.type == "cuda" and spec.how == "graph":
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()

        def replay(_inputs: object = inputs) -> object:  # the graph reads them
            graph.replay()
            return _inputs

        return replay
    return run


def _by_turn(
    runs: dict[ProbeSpec, Run], where: torch.device, threads: int
) -> Iterable[tuple[Turn, dict[ProbeSpec, Run]]]:
    """Probes by how they are timed."""
    if where.type == "cpu":
        alone = {spec: run for spec, run in runs.items() if spec.group in ("copy", "launch")}
        others = {spec: run for spec, run in runs.items() if spec not in alone}
        return [(cpu_turn(threads), some) for some in (others, alone) if some]
    kernels = {spec: run for spec, run in runs.items() if spec.how == "kernel"}
    others = {spec: run for spec, run in runs.items() if spec.how != "kernel"}
    return [(turn, some) for turn, some in ((cuda_kernel_turn, kernels), (cuda_turn, others)) if some]


def _probe(spec: ProbeSpec, dtype: str, samples: Sequence[float]) -> Timed:
    """A probe with its operations, traffic and kernels as we count them in models."""
    module, inputs = spec.made(dtype)
    profile = profile_module(module, Inputs(inputs), name=spec.label)
    values = profile.values
    flops, traffic = float(values["flops"] or 0), float(values["traffic_bytes"] or 0)
    probe = Probe(
        spec.label, spec.group, dtype, spec.shapes, median(samples), min(samples), spread(samples), flops, traffic
    )
    return Timed(probe, kernels_of_probe(module, profile))


def _device(
    where: torch.device, threads: int, probes: Sequence[Probe], name: str, environment: dict[str, str]
) -> Device:
    """The roofs that the probes reach."""
    by_label: dict[str, Probe] = {}
    for p in probes:
        by_label.setdefault(p.label, p)
    dtypes = sorted({p.dtype for p in probes}, key=DTYPES.index)
    launch_s = by_label[LAUNCHES].best_s / CHAIN
    cache_bandwidth = max(by_label[CACHE_COPY].bytes_s, by_label[LARGE_COPY].bytes_s)
    kernel_s = by_label[TINY_KERNELS].best_s / CHAIN
    if where.type == "cpu":  # there a kernel's own cost is that of sharing it out among threads
        kernel_s -= launch_s + by_label[TINY_KERNELS].traffic_bytes / CHAIN / cache_bandwidth
    return Device(
        name=name,
        title=title(where) + (f", {threads} threads" if where.type == "cpu" else ""),
        kind="gpu" if where.type == "cuda" else "cpu",
        matrix_flops={d: _best(probes, d, ("matrix", "conv")) for d in dtypes},
        vector_flops={d: _best(probes, d, ("vector",)) for d in dtypes},
        bandwidth_bytes_s=by_label[LARGE_COPY].bytes_s,
        cache_bytes=cache_bytes(where),
        memory_bytes=total_bytes(where),
        units=units(where, threads),
        launch_s=_sane(launch_s),
        kernel_s=_sane(kernel_s),
        cache_bandwidth_bytes_s=cache_bandwidth,
        measured=True,
        environment=environment,
    )


def _sane(seconds: float) -> float:
    return min(max(seconds, _COSTS_S[0]), _COSTS_S[1])


def _best(probes: Sequence[Probe], dtype: str, groups: tuple[str, ...]) -> float:
    """The highest FLOP/s that a probe of these groups reached."""
    return max(p.flops_s for p in probes if p.dtype == dtype and p.group in groups)
