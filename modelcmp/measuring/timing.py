"""Timing what can be called, several things in turns.

Machines drift: they warm up, other programs come and go. So each thing is timed in turns of a fraction
of its time, in a seeded random order, and a drift hits all alike.

On the CPU a turn is ``torch.utils.benchmark.Timer.blocked_autorange``: it first runs once without
counting, as another thing has had the caches, then times single runs, or blocks of them where one is
shorter than about 2 ms. On CUDA a turn is a series of runs between two events; the caches stay as the
run before leaves them, as in serving. ``triton.testing.do_bench`` is for single kernels (probes): it
empties the L2 cache before each run, and so hides what the launches of a model cost.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

import torch

from .machine import quiet_extensions
from .plan import Plan
from .reasons import Reason, reason_of

Run = Callable[[], object]
#: Runs something for so many seconds and gives the seconds of each sample.
Turn = Callable[[Run, float], list[float]]
K = TypeVar("K", bound=Hashable)

_WARM_UP_RUNS = 3
_SEED = 0


def interleaved(
    runs: dict[K, Run], turn: Turn, plan: Plan, step: Callable[[K, int], None]
) -> dict[K, tuple[float, ...] | Reason]:
    """The samples of each run in seconds, or why it failed; what fails is taken out of ``runs``, so that it is freed.

    ``step`` is told who has had a turn, and how many of its turns are done with.
    """
    order = random.Random(_SEED)
    samples: dict[K, list[float]] = {key: [] for key in runs}
    spent = dict.fromkeys(runs, 0.0)
    failed: dict[K, Reason] = {}
    left = list(runs)
    for number in range(1, plan.turns + 1):
        order.shuffle(left)
        for key in list(left):
            try:
                took, found = _one_turn(runs[key], turn, plan)
                samples[key] += found
                spent[key] += took
            except Exception as error:
                failed[key] = reason_of(error)
                del runs[key]
            done = key in failed or (number >= plan.least and spent[key] >= plan.seconds)
            if done:
                left.remove(key)
            step(key, plan.turns - number + 1 if done else 1)
    return {key: failed.get(key) or tuple(found) for key, found in samples.items()}


def _one_turn(run: Run, turn: Turn, plan: Plan) -> tuple[float, list[float]]:
    start = time.perf_counter()
    found = turn(run, plan.seconds / plan.turns)
    return time.perf_counter() - start, found


def cpu_turn(threads: int) -> Turn:
    """Timing on so many CPU threads."""
    with quiet_extensions():
        from torch.utils.benchmark import Timer

    def turn(run: Run, seconds: float) -> list[float]:
        timer = Timer("run()", globals={"run": run}, num_threads=threads)
        return list(timer.blocked_autorange(min_run_time=seconds).times)

    return turn


def cuda_turn(run: Run, seconds: float) -> list[float]:
    """Timing on the current CUDA device, from the moment at which it is free: launches count."""
    for _ in range(_WARM_UP_RUNS):
        run()
    torch.cuda.synchronize()
    found: list[float] = []
    stop = time.perf_counter() + seconds
    while not found or time.perf_counter() < stop:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        found.append(1e-3 * start.elapsed_time(end))
    return found


def cuda_kernel_turn(run: Run, seconds: float) -> list[float]:
    """Timing of a kernel with a cold cache and without its launch, where triton is there."""
    try:
        from triton.testing import do_bench  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return cuda_turn(run, seconds)
    milliseconds = 1e3 * seconds
    return [1e-3 * t for t in do_bench(run, warmup=milliseconds / 4, rep=milliseconds, return_mode="all")]


def warmed_up(run: Run) -> None:
    """Run until allocators, caches and compilers have done their first work."""
    for _ in range(_WARM_UP_RUNS):
        run()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
