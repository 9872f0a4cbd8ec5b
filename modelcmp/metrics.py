"""METRICS: one entry a metric.

The table, CSV and JSON keys, ``--sort-by``, ``--columns``, the rankings and the metric guide all
derive from these entries. A metric is computed from the trace and from the metrics before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from . import reductions as red
from . import units
from .errors import BadInput, UnknownName
from .records import Trace
from .registry import Registry, suggest

Value = float | int | str | None
Values = Mapping[str, Value]
Compute = Callable[[Trace, dict[str, "Value"], str], Value]
Section = Literal["size", "cost", "traffic", "intensity", "latency", "accuracy", "joined"]
Unit = Literal["count", "scaled", "bytes", "ratio", "percent", "plain", "milliseconds", "text"]
Better = Literal["low", "high"] | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One named figure: how it is computed, written, ordered and explained."""

    key: str
    label: str
    short: str  # column heading of the compact table
    section: Section
    unit: Unit
    better: Better  # natural direction, None where neither is better
    meaning: str
    reading: str
    compute: Compute | None  # None: no figure of the trace, it comes with the model
    alias: str = ""
    at_least: bool = False  # a lower bound when some op has no formula
    by_convention: bool = True  # whether the convention may change it

    def text(self, value: Value, partial: bool = False) -> str:
        """The value as a terminal shows it; ``partial`` marks a lower bound."""
        if value is None:
            return units.UNKNOWN
        if isinstance(value, str):
            return value
        return ("≥" if partial and self.at_least else "") + _WRITERS[self.unit](value)


_WRITERS: dict[str, Callable[[float], str]] = {
    "count": units.count,
    "scaled": units.scaled,
    "bytes": lambda v: units.scaled(v, "B"),
    "ratio": units.ratio,
    "percent": units.percent,
    "plain": units.plain,
    "milliseconds": units.milliseconds,
    "text": str,
}

METRICS: Registry[Metric] = Registry("metric")


def metric(
    key: str,
    label: str,
    short: str,
    section: Section,
    unit: Unit,
    better: Better,
    meaning: str,
    reading: str,
    *,
    alias: str = "",
    at_least: bool = False,
    by_convention: bool = True,
) -> Callable[[Compute], Compute]:
    """Register the decorated function as the computation of one metric."""

    def register(compute: Compute) -> Compute:
        entry = Metric(
            key, label, short, section, unit, better, meaning, reading, compute, alias, at_least, by_convention
        )
        METRICS.add(key, entry)
        return compute

    return register


def find(name: str, joined: Iterable[Metric] = ()) -> Metric:
    """The metric of a key or alias, ``joined`` columns included; raises UnknownName with what was probably meant."""
    known = [*METRICS.values(), *joined]
    exact, wanted = name.strip(), name.strip().lower().replace("-", "_")
    for entry in known:
        if exact == entry.key:
            return entry
    for entry in known:
        if wanted and wanted in (entry.key.lower(), entry.alias):
            return entry
    names = [*(m.key for m in known), *(m.alias for m in known if m.alias)]
    raise UnknownName("metric", name, suggest(wanted, names))


def check_machine_named(wanted: Iterable[Metric]) -> None:
    """Refuse predicted figures where no machine is named; raises BadInput."""
    for entry in wanted:
        if entry.section == "latency":
            raise BadInput(f"{entry.key} is predicted for a machine: name one, as in --hardware h100")


def evaluate(trace: Trace, convention: str, given: Values | None = None) -> dict[str, Value]:
    """Every metric of one trace, in the order of METRICS; ``given`` holds those that come with the model."""
    values: dict[str, Value] = {}
    for key, entry in METRICS.items():
        values[key] = (given or {}).get(key) if entry.compute is None else entry.compute(trace, values, convention)
    return values


def under(trace: Trace, values: Values, convention: str) -> dict[str, Value]:
    """Values of the same trace under another convention."""
    found = dict(values)
    for key, entry in METRICS.items():
        if entry.compute is not None and entry.by_convention:
            found[key] = entry.compute(trace, found, convention)
    return found


def _quotient(values: Values, top: str, bottom: str) -> float | None:
    a, b = values[top], values[bottom]
    return a / b if isinstance(a, int | float) and isinstance(b, int | float) and b else None


# One line a field reads better here than one line an argument.
# fmt: off
@metric("params", "Parameters", "Params", "size", "scaled", "low",
        "Elements of distinct parameter storages; tied weights count once.",
        "Disk and RAM of the weights; the first limit on phones and microcontrollers.")
def _params(t: Trace, v: Values, c: str) -> Value:
    return t.params


@metric("trainable_params", "Trainable", "Trainable", "size", "scaled", "low",
        "Parameters with `requires_grad`.",
        "Sets gradient and optimizer memory when fine-tuning.")
def _trainable(t: Trace, v: Values, c: str) -> Value:
    return t.trainable_params


@metric("size_bytes", "Size", "Size", "size", "bytes", "low",
        "Parameters plus persistent buffers, distinct storages, at their real bit width.",
        "About the size of a saved checkpoint.", alias="size")
def _size(t: Trace, v: Values, c: str) -> Value:
    return t.size_bytes


@metric("layers", "Layers", "Layers", "size", "count", "low",
        "Executed operations that compute; views, copies and allocations are none.",
        "About the number of kernel launches: what small batches on a GPU wait for.")
def _layers(t: Trace, v: Values, c: str) -> Value:
    return sum(op.computes for op in t.ops)


@metric("depth", "Depth", "Depth", "size", "count", "low",
        "Longest chain of layers that depend on each other.",
        "What cannot run in parallel: the latency-critical part.", by_convention=False)
def _depth(t: Trace, v: Values, c: str) -> Value:
    return red.depth(t.ops)


@metric("max_width", "Max width", "Width", "size", "count", None,
        "Largest channel (feature) count of any activation.",
        "Wide layers fill a GPU; narrow ones leave it idle.", alias="width")
def _width(t: Trace, v: Values, c: str) -> Value:
    return max((op.width for op in t.ops), default=0)


@metric("macs", "MACs", "MACs", "cost", "scaled", "low",
        "Multiply-accumulates of contractions (convolution, matmul, attention, recurrent cells); each call counts.",
        "Energy and CPU time roughly follow it; GPU latency often does not.", at_least=True)
def _macs(t: Trace, v: Values, c: str) -> Value:
    return red.total(op.macs for op in t.ops)


@metric("flops", "FLOPs", "FLOPs", "cost", "scaled", "low",
        "Under `total`: 2·MACs plus every other op at its documented cost. Under `contraction`: 2·MACs. "
        "Under `fvcore`: MACs plus fvcore's normalisation and pooling handlers.",
        "Compare only figures of one convention.", at_least=True)
def _flops(t: Trace, v: Values, c: str) -> Value:
    return red.total(op.cost(c) for op in t.ops)


@metric("masked_macs", "Masked MACs", "Masked", "cost", "scaled", "low",
        "MACs with causal attention counted only where its mask lets something through.",
        "What a kernel that skips masked tiles needs.", at_least=True)
def _masked(t: Trace, v: Values, c: str) -> Value:
    return red.total(op.macs if op.masked_macs is None else op.masked_macs for op in t.ops)


@metric("flops_per_param", "FLOPs/param", "FLOP/par", "cost", "ratio", "high",
        "FLOPs divided by parameters.",
        "High: each weight is reused often (convolutions on large maps); low: weights dominate.",
        alias="efficiency")
def _flops_per_param(t: Trace, v: Values, c: str) -> Value:
    return _quotient(v, "flops", "params")


@metric("params_per_mac", "Params/MAC", "Par/MAC", "cost", "ratio", "low",
        "Parameters divided by MACs.",
        "High: large weights for little work, as in fully connected layers.")
def _params_per_mac(t: Trace, v: Values, c: str) -> Value:
    return _quotient(v, "params", "macs")


@metric("activations", "Activations", "Activ.", "cost", "scaled", "low",
        "Output elements of convolutions and matrix products (timm's *macts*).",
        "Predicts GPU latency better than MACs (Radosavovic et al., 2020).")
def _activations(t: Trace, v: Values, c: str) -> Value:
    return sum(op.activations for op in t.ops)


@metric("traffic_bytes", "Total", "Traffic", "traffic", "bytes", "low",
        "Eager traffic: each kernel reads each distinct input once and writes each output once; views are free.",
        "Time of memory-bound models on hardware without fusion.", alias="memory")
def _traffic(t: Trace, v: Values, c: str) -> Value:
    return sum(op.traffic_bytes for op in t.ops)


@metric("input_bytes", "Input", "Input", "traffic", "bytes", "low",
        "Bytes of activations read.", "Falls with fusion.")
def _input(t: Trace, v: Values, c: str) -> Value:
    return sum(op.input_bytes for op in t.ops)


@metric("output_bytes", "Output", "Output", "traffic", "bytes", "low",
        "Bytes of activations written.", "Falls with fusion.")
def _output(t: Trace, v: Values, c: str) -> Value:
    return sum(op.output_bytes for op in t.ops)


@metric("weight_bytes", "Weights", "Weights", "traffic", "bytes", "low",
        "Bytes of parameters and buffers read, each time an op reads them.",
        "Does not grow with the batch: dominates at batch 1.")
def _weight(t: Trace, v: Values, c: str) -> Value:
    return sum(op.weight_bytes for op in t.ops)


@metric("fused_traffic_bytes", "Fused total", "Fused", "traffic", "bytes", "low",
        "Traffic when pointwise, normalisation and activation ops fold into the op that feeds them.",
        "What an ideal pointwise-fusing compiler leaves.", alias="fused", by_convention=False)
def _fused(t: Trace, v: Values, c: str) -> Value:
    return red.fused_traffic_bytes(t)


@metric("minimal_traffic_bytes", "Minimal total", "Minimal", "traffic", "bytes", "low",
        "Weights, model inputs and outputs once each.",
        "The strict lower bound: no schedule moves less.", by_convention=False)
def _minimal(t: Trace, v: Values, c: str) -> Value:
    return red.minimal_traffic_bytes(t)


@metric("bytes_per_flop", "Bytes/FLOP", "B/FLOP", "traffic", "ratio", "low",
        "Eager traffic divided by FLOPs: the inverse of AI.",
        "Low is better on hardware with little bandwidth.")
def _bytes_per_flop(t: Trace, v: Values, c: str) -> Value:
    return _quotient(v, "traffic_bytes", "flops")


@metric("peak_activation_bytes", "Peak activations", "Peak", "traffic", "bytes", "low",
        "Most bytes of intermediates alive at once, by liveness; with `--mode train` also what backward keeps, "
        "gradients and Adam's two moments.",
        "With the weights: the memory that a run needs.", alias="peak_memory", by_convention=False)
def _peak(t: Trace, v: Values, c: str) -> Value:
    return red.peak_activation_bytes(t) + (red.training_state_bytes(t) if t.train else 0)


@metric("memory_needed_bytes", "Memory needed", "Needs", "traffic", "bytes", "low",
        "Parameters, buffers, the input and the peak of intermediates.",
        "What has to fit in a device's memory, allocator and framework apart.", alias="memory_needed",
        by_convention=False)
def _needed(t: Trace, v: Values, c: str) -> Value:
    return t.size_bytes + int(v["peak_activation_bytes"] or 0) + sum({a.buffer: a.nbytes for a in t.inputs}.values())


@metric("ai", "AI", "AI", "intensity", "ratio", "high",
        "Arithmetic intensity: sum of FLOPs over sum of eager bytes, FLOP/byte.",
        "Below a machine's ridge point the memory is the limit, above it the arithmetic (Williams et al., 2009).")
def _ai(t: Trace, v: Values, c: str) -> Value:
    return _quotient(v, "flops", "traffic_bytes")


@metric("fused_ai", "Fused AI", "Fused AI", "intensity", "ratio", "high",
        "FLOPs over fused traffic, FLOP/byte.", "The AI after `torch.compile`, at best.")
def _fused_ai(t: Trace, v: Values, c: str) -> Value:
    return _quotient(v, "flops", "fused_traffic_bytes")


@metric("mean_layer_ai", "Mean layer AI", "Mean AI", "intensity", "ratio", "high",
        "Unweighted mean of the layers' own AI, kept because older tables print it.",
        "Many tiny layers pull it down; decide by AI.")
def _mean_layer_ai(t: Trace, v: Values, c: str) -> Value:
    each = [ai for op in t.ops if op.computes and (ai := op.ai(c)) is not None]
    return sum(each) / len(each) if each else None


@metric("bound", "Class", "Class", "intensity", "text", None,
        "`memory-bound` when AI is below 10 FLOP/byte, `compute-bound` above 50, `balanced` between.",
        "A first guess; against a real machine use its ridge point.", alias="class")
def _bound(t: Trace, v: Values, c: str) -> Value:
    ai = v["ai"]
    return red.classify(ai if isinstance(ai, float) else None)


def _share(t: Trace, convention: str, wanted: str, by_flops: bool) -> float | None:
    """Percent of the layers, or of their FLOPs, that are in one roofline class."""
    part = whole = 0
    for op in t.ops:
        if op.computes and (ai := op.ai(convention)) is not None:
            weight = (op.cost(convention) or 0) if by_flops else 1
            whole += weight
            part += weight * (red.classify(ai) == wanted)
    return 100 * part / whole if whole else None


@metric("compute_bound_pct", "Compute-bound", "Comp%", "intensity", "percent", "high",
        "Share of the layers above 50 FLOP/byte.", "High: gains from faster arithmetic and low precision.")
def _compute_pct(t: Trace, v: Values, c: str) -> Value:
    return _share(t, c, "compute-bound", False)


@metric("memory_bound_pct", "Memory-bound", "Mem%", "intensity", "percent", "low",
        "Share of the layers below 10 FLOP/byte.", "High: gains from fusion, larger batches and bandwidth.")
def _memory_pct(t: Trace, v: Values, c: str) -> Value:
    return _share(t, c, "memory-bound", False)


@metric("compute_bound_flops_pct", "Compute-bound FLOPs", "Comp%F", "intensity", "percent", "high",
        "Share of the FLOPs that are in layers above 50 FLOP/byte.", "Where the arithmetic happens.")
def _compute_flops_pct(t: Trace, v: Values, c: str) -> Value:
    return _share(t, c, "compute-bound", True)


@metric("memory_bound_flops_pct", "Memory-bound FLOPs", "Mem%F", "intensity", "percent", "low",
        "Share of the FLOPs that are in layers below 10 FLOP/byte.", "Arithmetic that waits for memory.")
def _memory_flops_pct(t: Trace, v: Values, c: str) -> Value:
    return _share(t, c, "memory-bound", True)


def _given(key: str, label: str, short: str, section: Section, unit: Unit, better: Better, meaning: str,
           reading: str, alias: str = "", at_least: bool = False) -> None:
    """Register a metric that is no figure of the trace: it comes with the model, or with a machine."""
    METRICS.add(key, Metric(key, label, short, section, unit, better, meaning, reading, None, alias,
                            at_least, by_convention=False))


_given("latency_ms", "Latency", "Latency", "latency", "milliseconds", "low",
       "Predicted milliseconds for the whole batch on the machine of `--hardware`.",
       "Empty without a machine; `compare-models bench` measures it.", "latency", at_least=True)
_given("throughput", "Throughput", "Samples/s", "latency", "scaled", "high",
       "Samples per second: the batch size over the predicted latency.", "Grows with the batch until a roof is met.")
_given("limited_by", "Limited by", "Limit", "latency", "text", None,
       "What most of the predicted time is for: `compute`, `memory` or `launches`.",
       "Launches: larger batches or a compiler; memory: fusion, smaller types; compute: fewer FLOPs.", "limit")
_given("attainable_flops", "Attainable FLOP/s", "Attain.", "latency", "scaled", "high",
       "The roof at the model's AI: the machine's peak, or AI times its bandwidth where that is less.",
       "Eager traffic counts: fusion moves the model to the right.")
_given("bound_ms", "Strict bound", "Bound", "latency", "milliseconds", "low",
       "MACs at the peak, or minimal traffic at full bandwidth, whichever takes longer; no launches.",
       "Nothing runs the model faster on that machine.", at_least=True)
_given("fits", "Fits in memory", "Fits", "latency", "text", None,
       "Whether the machine's memory holds what is needed: `yes` or `no`.",
       "No room is left for other programs or the framework: expect to need some more.")
METRICS.add("top1", Metric(
    "top1", "Top-1 accuracy", "Top-1", "accuracy", "percent", "high",
    "ImageNet-1K top-1 accuracy, percent: the best that torchvision publishes for the model at this input size.",
    "Other sources publish none: add a table of your own with `--join`.", None, by_convention=False))
METRICS.add("top5", Metric(
    "top5", "Top-5 accuracy", "Top-5", "accuracy", "percent", "high",
    "ImageNet-1K top-5 accuracy of the same weights, percent.", "Saturates: prefer top-1.", None, by_convention=False))
