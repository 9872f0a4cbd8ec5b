"""How much memory a forward pass needs, and how much the machine has left.

The peak is the weights, the inputs and the most that torch's allocator held besides during one
forward pass: on CUDA by its own statistics, on the CPU by the allocations that ``torch.profiler``
saw. A process's resident memory would also count Python, torch and what the C library keeps; what
oneDNN or cuDNN allocate past torch's allocator is in neither.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import psutil
import torch
from torch import Tensor

from .timing import Run

_CGROUP = Path("/sys/fs/cgroup")


def peak_bytes(run: Run, owned: Iterable[Tensor], device: torch.device) -> int:
    """Bytes of the tensors given, and the most allocated at once while ``run`` runs."""
    held = {(t.device, t.untyped_storage().data_ptr()): t.untyped_storage().nbytes() for t in owned}
    return sum(held.values()) + (_cuda_growth(run) if device.type == "cuda" else _cpu_growth(run))


def _cuda_growth(run: Run) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _cpu_growth(run: Run) -> int:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its log goes to stderr
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    found = profiler.profiler
    assert found is not None
    events = [e for e in found.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def available_bytes(device: torch.device) -> int:
    """Memory that is free on a device; on the CPU no more than what the container may take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    free = int(psutil.virtual_memory().available)
    return free if limit is None else min(free, max(0, limit - (used or 0)))


def total_bytes(device: torch.device) -> int:
    """All memory of a device; on the CPU no more than what the container may take."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    total = int(psutil.virtual_memory().total)
    return min(total, _cgroup("memory.max") or total)


def _cgroup(name: str) -> int | None:
    """A figure of the container's, None where there is no container or no limit."""
    try:
        text = (_CGROUP / name).read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
