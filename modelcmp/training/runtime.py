"""Where training runs: device, precision, and how many processes share the work."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor

from ..errors import BadInput
from .batches import Share
from .config import Config
from .memory import keep_freed_memory


class Runtime:
    """Device, precision and the other processes of a run.

    Raises BadInput for a device that is not there, or a precision that it does not have.
    """

    def __init__(self, config: Config) -> None:
        self._check(config)
        AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
        GradientState._reset_state()
        sharded = os.environ.pop("ACCELERATE_USE_FSDP", "") == "true"  # ours to do: on any device, by one interface
        self.accelerator = _accelerator(config)
        self.device: torch.device = self.accelerator.device
        self.share = Share(self.accelerator.process_index, self.accelerator.num_processes)
        self.sharded = (sharded or config.strategy == "fsdp") and self.share.of > 1

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.share.rank == 0

    @property
    def title(self) -> str:
        """The device in words."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        return f"{name} x {self.share.of}" if self.share.of > 1 else name

    def total(self, values: list[float]) -> list[float]:
        """The sums of some numbers over all processes."""
        if self.share.of == 1:
            return values
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(sums)
        return sums.tolist()

    def gathered(self, value: Any) -> list[Any]:
        """What each process gave, in order of rank."""
        if self.share.of == 1:
            return [value]
        found: list[Any] = [None] * self.share.of
        torch.distributed.all_gather_object(found, value)
        return found

    def told(self, value: Any) -> Any:
        """What the main process gave."""
        if self.share.of == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box)
        return box[0]

    def close(self) -> None:
        """Leave the group of processes."""
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    @staticmethod
    def _check(config: Config) -> None:
        kind = config.device.partition(":")[0]
        if kind == "cuda" and not torch.cuda.is_available():
            raise BadInput(
                f"device {config.device}: this machine has no CUDA device that torch can use: take cpu or auto"
            )
        if kind == "mps" and not torch.backends.mps.is_available():
            raise BadInput("device mps: this machine has none that torch can use: take cpu or auto")
        on_cpu = kind == "cpu" or (kind == "auto" and not _accelerated())
        if on_cpu and config.precision in ("fp16", "tf32"):
            raise BadInput(f"precision {config.precision} needs a CUDA device: take fp32 or bf16 on the CPU")
        if ":" in config.device and int(config.device.partition(":")[2]) >= torch.cuda.device_count():
            raise BadInput(f"device {config.device}: this machine has {torch.cuda.device_count()}, the first is cuda:0")


def _accelerated() -> bool:
    """Whether this machine has something better than its CPU."""
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _accelerator(config: Config) -> Accelerator:
    if ":" in config.device:
        torch.cuda.set_device(config.device)
    mixed = config.precision if config.precision in ("bf16", "fp16") else "no"
    cpu = config.device == "cpu" or (config.device == "auto" and not _accelerated())
    return Accelerator(cpu=cpu, mixed_precision=mixed)


@contextmanager
def configured(config: Config) -> Iterator[None]:
    """Threads, determinism and number formats of a run; all put back afterwards, random states too."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    state = random_state()
    keep_freed_memory()
    try:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        if config.precision == "tf32":
            torch.set_float32_matmul_precision("high")
        if config.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
        restore_random_state(state)


def seed_all(seed: int) -> None:
    """Seed torch, NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def random_state() -> dict[str, Any]:
    """The states of all generators, as tensors and plain data that need no pickle."""
    version, numbers, gauss = random.getstate()
    state: Any = np.random.get_state(legacy=True)
    name, keys, position, has_gauss, cached = state
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(numbers), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put the states back."""
    torch.set_rng_state(state["torch"])
    cuda: list[Tensor] = state["cuda"]
    if cuda and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
