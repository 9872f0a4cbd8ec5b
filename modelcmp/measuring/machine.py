"""The machine that we run on: its devices, their types, and the conditions of a measurement."""

from __future__ import annotations

import logging
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import torch

from ..environment import environment
from ..errors import BadInput, UnknownName, first_line
from ..sources.images import DTYPES, short_name, torch_dtype

_SYSFS = Path("/sys/devices/system/cpu")
_CPUINFO = Path("/proc/cpuinfo")
#: Where there is no word about the last-level cache.
_CACHE_BYTES = 8 << 20
#: For how long the other programs are watched.
_LOOK_S = 0.2


def find_device(name: str) -> torch.device:
    """The device of ``cpu``, ``cuda`` or ``cuda:1``; raises UnknownName, or BadInput where it is absent."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UnknownName("device", name, "use cpu, cuda or cuda:1")
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        why = "this torch is built without CUDA" if torch.version.cuda is None else "torch finds no CUDA device here"
        raise BadInput(f"no device {name!r}: {why}; use --device cpu")
    index, count = int(name.partition(":")[2] or torch.cuda.current_device()), torch.cuda.device_count()
    if index >= count:
        raise BadInput(f"no device {name!r}: there are {count} CUDA devices, the last is cuda:{count - 1}")
    return torch.device("cuda", index)


def check_dtype(dtype: str, device: torch.device) -> str:
    """The short name of a type; raises BadInput for an unknown one, or one that the machine lacks."""
    if dtype != "tf32" and dtype not in DTYPES:
        raise BadInput(f"unknown dtype {dtype!r}: use fp32, tf32, fp16, bf16 or fp64")
    short = "tf32" if dtype == "tf32" else short_name(torch_dtype(dtype))
    why = _lacking(short, device)
    if why:
        raise BadInput(f"{title(device)} has no {short}: {why}; use --dtype fp32")
    return short


def _lacking(dtype: str, device: torch.device) -> str:
    """Why a device cannot compute in a type, "" where it can."""
    if device.type == "cuda" and dtype in ("tf32", "bf16") and torch.cuda.get_device_capability(device) < (8, 0):
        return "it takes an Ampere or later GPU"
    if device.type == "cpu" and dtype == "tf32":
        return "it is a format of NVIDIA's GPUs"
    try:
        kernel, x = (torch.ones(8, 8, n, n, dtype=tensor_dtype(dtype), device=device) for n in (1, 8))
        torch.nn.functional.conv2d(x, kernel) @ x
    except RuntimeError as error:
        return first_line(error)
    return ""


def tensor_dtype(dtype: str) -> torch.dtype:
    """The type of the tensors: tf32 is a way to multiply fp32 ones."""
    return torch_dtype("fp32" if dtype == "tf32" else dtype)


@contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Multiply fp32 numbers as fp32, or as TF32 where that is asked for; by default cuDNN does the latter."""
    cudnn: Any = torch.backends.cudnn
    switches: tuple[Any, ...] = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    before = [s.fp32_precision for s in switches]
    try:
        for s in switches:
            s.fp32_precision = "tf32" if dtype == "tf32" else "ieee"
        yield
    finally:
        for s, value in zip(switches, before, strict=True):
            s.fp32_precision = value


@contextmanager
def quiet_extensions() -> Iterator[None]:
    """Where there are CUDA's tools and no GPU, torch says so when it loads what builds extensions."""
    talker = logging.getLogger("torch.utils.cpp_extension")
    level = talker.level
    talker.setLevel(logging.ERROR)
    try:
        yield
    finally:
        talker.setLevel(level)


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Compute on so many CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def title(device: torch.device) -> str:
    """What the maker calls a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_title()


def _cpu_title() -> str:
    try:
        found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", _CPUINFO.read_text("utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine() or "CPU"


def own_name(device: torch.device) -> str:
    """The name under which this machine's calibration is kept: ``this_nvidia_h200``, ``this_amd_epyc``."""
    return "this_" + re.sub(r"[^a-z0-9]+", "_", re.sub(r"\((?:R|TM)\)", "", title(device)).lower()).strip("_")


def cache_bytes(device: torch.device) -> int:
    """The last-level cache: all of it that the machine has."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    found: dict[int, dict[str, int]] = {}
    for folder in _SYSFS.glob("cpu[0-9]*/cache/index*"):
        size = _read(folder / "size")
        if size and _read(folder / "type") != "Instruction":
            shared = _read(folder / "shared_cpu_list") or str(folder)
            found.setdefault(int(_read(folder / "level") or 0), {})[shared] = _with_suffix(size)
    return sum(found[max(found)].values()) if found else _CACHE_BYTES


def _with_suffix(size: str) -> int:
    """Read a size as sysfs writes it.

    >>> _with_suffix("32768K"), _with_suffix("1M")
    (33554432, 1048576)
    """
    return int(size.rstrip("KMG")) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(size[-1], 1)


def units(device: torch.device, threads: int) -> int:
    """Streaming multiprocessors, or the threads in use."""
    return int(torch.cuda.get_device_properties(device).multi_processor_count) if device.type == "cuda" else threads


def conditions(device: torch.device, threads: int) -> dict[str, str]:
    """What a measurement was made with, and how busy the machine was when it began."""
    found: dict[str, str | None] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": title(device),
        "cpu": _cpu_title(),
        "cpu_cores": str(psutil.cpu_count(logical=False) or psutil.cpu_count()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(threads),
        "governor": _read(_SYSFS / "cpu0/cpufreq/scaling_governor") or None,
        "load_average": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else None,
        "cpu_busy_pct": f"{psutil.cpu_percent(_LOOK_S):.0f}",  # by other programs: we only look on
        "system": platform.platform(),
        **environment(),
    }
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        found |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version()),
                  "compute_capability": ".".join(map(str, capability))}  # fmt: skip
    return {key: value for key, value in found.items() if value is not None}


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
