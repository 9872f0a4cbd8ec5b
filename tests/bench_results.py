"""Models and results that the tests of measuring share."""

from modelcmp.hardware.device import Device
from modelcmp.hardware.prediction import Prediction
from modelcmp.measuring.results import BenchResult

NETS = """
import torch
from torch import nn

class Greedy(nn.Module):
    '''Runs out of memory on more than one sample, once there is data.'''
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        if len(x) > 1 and not x.is_meta:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 1 TiB')
        return self.head(x)

class Broken(nn.Module):
    def forward(self, x):
        if not x.is_meta:
            raise ValueError('only without data')
        return x + 1

class Zeros(nn.Module):
    '''Everything in it starts at zero, or is filled by nobody.'''
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(8))
        self.unfilled = nn.Parameter(torch.full((8,), float('nan')))
        self.norm = nn.BatchNorm1d(8)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x):
        return self.norm(x * self.scale) + self.unfilled

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(1000, 1000, bias=False), nn.Linear(1000, 10, bias=False)

    def forward(self, x):
        return self.b(self.a(x))
"""


def result(name="net", ms=(10.0, 10.0, 10.0), batch_size=1, dtype="fp32", prediction=None, memory=1e6):
    shape, environment = ((batch_size, 3, 8, 8),), {"torch": "2.0", "device": "a CPU"}
    return BenchResult(name, batch_size, dtype, shape, "cpu", False, False, 2, tuple(ms), int(memory), prediction,
                       environment)  # fmt: skip


def device(**changes):
    values = {
        "name": "mine", "title": "My machine", "kind": "cpu", "matrix_flops": {"fp32": 1e11},
        "vector_flops": {"fp32": 1e10}, "bandwidth_bytes_s": 1e10, "cache_bytes": 1 << 20, "memory_bytes": 1 << 30,
        "units": 2, "launch_s": 1e-6, "kernel_s": 1e-6, "measured": True,
    }  # fmt: skip
    return Device(**values | changes)


def prediction(ms, **changes):
    return Prediction("net", device(**changes), "fp32", 1, "this machine", False, (), ms / 1e3, "compute", 0.0, 0)
