"""The counters that `profile_speed.py` runs side by side: one entry in TOOLS each.

Every peer is called as its own documentation does it, with its printing off, on the CPU unless the
entry says otherwise, and under ``no_grad`` (which costs least). Nothing heavy is imported here: a
worker process imports torch first, then its tool alone.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

#: What one tool says about a model on an input: MACs, and whether it calls the figure incomplete itself.
Answer = tuple[float | None, bool]
Count = Callable[[Any, int], Answer]


@dataclass(frozen=True, slots=True)
class Sample:
    """One model under one tool."""

    macs: float | None
    partial: bool
    build_s: float
    forward_s: float  # building aside: the (profiled) forward pass
    rest_s: float = 0.0  # evaluating metrics, where a tool tells it apart

    @property
    def seconds(self) -> float:
        """Everything, building included."""
        return self.build_s + self.forward_s + self.rest_s


@dataclass(frozen=True, slots=True)
class Tool:
    """A counter, or a baseline that counts nothing."""

    name: str
    label: str
    package: str
    prepare: Callable[[], Callable[[str, int], Sample]]  # import, and hand back what measures (name, crop size)
    counts: bool = True
    computes: bool = True  # runs the model for real: once is enough, and slow enough


def _on(device: str, load: Callable[[], Count]) -> Callable[[], Callable[[str, int], Sample]]:
    """Build a torchvision model on a device in the ordinary way, then count."""

    def prepare() -> Callable[[str, int], Sample]:
        count = load()

        def measure(name: str, size: int) -> Sample:
            start = time.perf_counter()
            model = _build(name, device)
            built = time.perf_counter()
            macs, partial = _without_grad(count, model, size)
            return Sample(macs, partial, built - start, time.perf_counter() - built)

        return measure

    return prepare


def _build(name: str, device: str) -> Any:
    import torch
    import torchvision

    with torch.device(device), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"image_size": _crop(name)} if name.startswith("vit_") else {}
        return torchvision.models.get_model(name, weights=None, **options).eval()


def _crop(name: str) -> int:
    """The size that a vision transformer is built for: that of its first weights."""
    import torchvision

    weights = next(iter(torchvision.models.get_model_weights(name)))
    return int(weights.transforms.keywords["crop_size"])


def _without_grad(count: Count, model: Any, size: int) -> Answer:
    import torch

    with torch.no_grad():
        return count(model, size)


def _image(size: int, device: str = "cpu") -> Any:
    import torch

    make = torch.empty if device == "meta" else torch.rand
    return make(1, 3, size, size, device=device)


# -- modelcmp ---------------------------------------------------------------------------------------


def _modelcmp() -> Callable[[str, int], Sample]:
    """Its ordinary way, with clocks around the two parts that it consists of."""
    from modelcmp.profiling import profile as profiling
    from modelcmp.sources import Request, resolve

    def measure(name: str, _size: int) -> Sample:
        spent = {"build": 0.0, "forward": 0.0}
        start = time.perf_counter()
        request = Request()
        subject = resolve(name, request)
        subject = replace(subject, build=_timed(subject.build, spent, "build"))
        with mock.patch.object(profiling, "trace_module", _timed(profiling.trace_module, spent, "forward")):
            result = profiling.profile_subject(subject, request)
        rest = time.perf_counter() - start - sum(spent.values())
        return Sample(float(result.macs or 0), result.partial, spent["build"], spent["forward"], rest)

    return measure


def _timed(function: Callable[..., Any], spent: dict[str, float], part: str) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[part] += time.perf_counter() - start

    return timed


# -- peers ------------------------------------------------------------------------------------------


def _fvcore() -> Count:
    from fvcore.nn import FlopCountAnalysis

    def count(model: Any, size: int) -> Answer:
        analysis = FlopCountAnalysis(model, _image(size))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return analysis.total(), False

    return count


def _flop_counter(device: str) -> Callable[[], Count]:
    def load() -> Count:
        from torch.utils.flop_counter import FlopCounterMode

        def count(model: Any, size: int) -> Answer:
            with FlopCounterMode(display=False) as counter:
                model(_image(size, device))
            return counter.get_total_flops() / 2, False

        return count

    return load


def _ptflops(backend: str) -> Callable[[], Count]:
    def load() -> Count:
        from ptflops import get_model_complexity_info

        def count(model: Any, size: int) -> Answer:
            macs, _ = get_model_complexity_info(
                model, (3, size, size), as_strings=False, print_per_layer_stat=False, backend=backend
            )
            return macs, False

        return count

    return load


def _thop() -> Count:
    from thop import profile

    return lambda model, size: (profile(model, inputs=(_image(size),), verbose=False)[0], False)


def _torchinfo() -> Count:
    from torchinfo import summary

    def count(model: Any, size: int) -> Answer:
        return summary(model, input_size=(1, 3, size, size), device="cpu", verbose=0).total_mult_adds, False

    return count


def _calflops() -> Count:
    from calflops import calculate_flops

    def count(model: Any, size: int) -> Answer:
        _, macs, _ = calculate_flops(
            model, input_shape=(1, 3, size, size), output_as_string=False, print_results=False, print_detailed=False
        )
        return macs, False

    return count


def _deepspeed() -> Count:
    from deepspeed.profiling.flops_profiler import get_model_profile

    def count(model: Any, size: int) -> Answer:
        _, macs, _ = get_model_profile(
            model, input_shape=(1, 3, size, size), print_profile=False, detailed=False, warm_up=0, as_string=False
        )
        return macs, False

    return count


def _torchscan() -> Count:
    from torchscan import crawl_module

    def count(model: Any, size: int) -> Answer:
        result = crawl_module(model, (3, size, size))["totals"]["macs"]
        return result["known_value"], result["status"] != "complete"

    return count


# -- baselines --------------------------------------------------------------------------------------


def _bare_meta() -> Callable[[str, int], Sample]:
    """One forward pass on meta tensors, nothing counted; what can't be built on meta is moved there."""
    import torch

    def measure(name: str, size: int) -> Sample:
        start = time.perf_counter()
        try:
            model = _build(name, "meta")
        except (NotImplementedError, RuntimeError):
            model = _build(name, "cpu").to("meta")
        built = time.perf_counter()
        with torch.inference_mode():
            model(_image(size, "meta"))
        return Sample(None, False, built - start, time.perf_counter() - built)

    return measure


def _construct_meta() -> Callable[[str, int], Sample]:
    """Building alone: ``with torch.device("meta")``."""

    def measure(name: str, _size: int) -> Sample:
        start = time.perf_counter()
        _build(name, "meta")
        return Sample(None, False, time.perf_counter() - start, 0.0)

    return measure


_ALL = (
    Tool("modelcmp", "modelcmp", "modelcmp", _modelcmp, computes=False),
    Tool("bare-meta", "bare meta forward, nothing counted", "torch", _bare_meta, counts=False, computes=False),
    Tool("construct-meta", "construction on meta only", "torch", _construct_meta, counts=False, computes=False),
    Tool("flopcounter-meta", "FlopCounterMode, meta", "torch", _on("meta", _flop_counter("meta")), computes=False),
    Tool("flopcounter-cpu", "FlopCounterMode, CPU", "torch", _on("cpu", _flop_counter("cpu"))),
    Tool("fvcore", "fvcore", "fvcore", _on("cpu", _fvcore)),
    Tool("ptflops-pytorch", "ptflops, pytorch backend", "ptflops", _on("cpu", _ptflops("pytorch"))),
    Tool("ptflops-aten", "ptflops, aten backend", "ptflops", _on("cpu", _ptflops("aten"))),
    Tool("thop", "thop", "thop", _on("cpu", _thop)),
    Tool("torchinfo", "torchinfo", "torchinfo", _on("cpu", _torchinfo)),
    Tool("calflops", "calflops", "calflops", _on("cpu", _calflops)),
    Tool("deepspeed", "DeepSpeed flops profiler", "deepspeed", _on("cpu", _deepspeed)),
    Tool("torchscan", "TorchScan", "torchscan", _on("cpu", _torchscan)),
)
TOOLS = {tool.name: tool for tool in _ALL}
