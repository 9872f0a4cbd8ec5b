"""Predicted times beside our own measurements of torchvision's models on this machine's CPU.

    python benchmarks/latency_cpu.py

Calibrates (probes only, no model is seen), runs ``bench`` on a fixed list of classifiers at batch 1 and 8, and scores
three levels: the measured roofs alone, the coefficients that are shipped, and those fitted to the probes here. Prints
its tables and renews its section of ``docs/benchmarks.md``. ``--ship`` fits the coefficients for CPUs to these models
and writes them into the package.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from latency_cpu_ship import as_data_sheet, fitted_to, ship
from rich.console import Console
from scipy.stats import kendalltau
from speed_environment import describe
from speed_processes import ROOT
from speed_report import Table, markdown, print_table, write_section

from modelcmp.hardware.device import Device
from modelcmp.hardware.efficiency import calibrated
from modelcmp.hardware.predict import predict_many
from modelcmp.hardware.prediction import Prediction
from modelcmp.measuring.bench import bench
from modelcmp.measuring.calibrate import calibrate
from modelcmp.measuring.results import BenchResult, Calibration
from modelcmp.profiling.compare import profile

_MODELS = """
    resnet18 resnet34 resnet50 resnet101 wide_resnet50_2 resnext50_32x4d vgg11 vgg11_bn alexnet squeezenet1_1
    mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet1_0 shufflenet_v2_x1_0 efficientnet_b0 efficientnet_b3
    efficientnet_v2_s regnet_y_400mf regnet_x_1_6gf convnext_tiny convnext_small vit_b_16 vit_b_32 swin_t swin_v2_t
    densenet121 googlenet inception_v3 maxvit_t
"""
BATCHES = (1, 8)
_WORST = 5
_TAU, _ERROR = 0.9, 0.2  # targets at the level "this machine"
_CALM, _PATIENCE_S = 0.5, 60  # a load average, and how long it is waited for


class Score(NamedTuple):
    """How well one level orders and times the models of one batch size."""

    level: str
    batch_size: int
    tau: float
    error: float  # median of |predicted / measured - 1|
    bias: float  # median of predicted / measured


def main(arguments: list[str]) -> int:
    """Parse, measure, score, report."""
    options = _options(arguments)
    _wait_for_calm(options.wait)
    load = os.getloadavg()[0]
    torch.set_num_threads(options.threads)
    start = time.perf_counter()
    calibration = calibrate(dtypes=["fp32"], threads=options.threads, quick=options.quick)
    calibrated_s = time.perf_counter() - start
    measured = _measured(options)
    if options.ship:  # before scoring: what is shipped is what is scored
        ship(fitted_to(measured, calibration.device), len({m.name for m in measured}), options.threads)
        calibrated.cache_clear()
    levels = _levels(measured, calibration.device)
    scores = _scores_table(levels, measured, calibration, calibrated_s)
    tables = [scores, _worst_table(levels["this machine"], measured)]
    for table in tables:
        print_table(table, Console())
    if options.write:
        intro = ["## Predicted times on a CPU", describe(arguments, load, "benchmarks/latency_cpu.py")]
        write_section(ROOT / "docs" / "benchmarks.md", "\n\n".join([*intro, *map(markdown, tables)]), "latency_cpu")
    return 0


def _wait_for_calm(patience_s: float) -> None:
    """Wait until other programs leave the CPU alone, but not for ever."""
    stop = time.monotonic() + patience_s
    while os.getloadavg()[0] > _CALM and time.monotonic() < stop:
        time.sleep(5)


def _measured(options: argparse.Namespace) -> list[BenchResult]:
    """What could be measured; says on the terminal what could not."""
    found = bench(options.models, batch_sizes=BATCHES, threads=options.threads, seconds=options.seconds,
                  hardware=None, progress=_told)  # fmt: skip
    for failure in found:
        if not isinstance(failure, BenchResult):
            print(failure.message, file=sys.stderr)
    return [r for r in found if isinstance(r, BenchResult)]


def _told(label: str, done: int) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{done} {label}"[:79], end="", file=sys.stderr, flush=True)


def _levels(measured: Sequence[BenchResult], device: Device) -> dict[str, list[Prediction]]:
    """Predictions of all rows by what is known of the machine."""
    profiles = [profile(m.name, batch_size=m.batch_size) for m in measured]
    sheet = as_data_sheet(device)
    return {
        "datasheet": predict_many(profiles, replace(sheet, measured=False), level="datasheet"),
        "calibrated": predict_many(profiles, replace(sheet, measured=False), level="calibrated"),
        "this machine": predict_many(profiles, device, level="this machine"),
    }


def scored(level: str, batch_size: int, predicted: Sequence[float], measured: Sequence[float]) -> Score:
    """Kendall's tau and the median relative error."""
    ratio = np.asarray(predicted) / np.asarray(measured)
    tau = float(kendalltau(predicted, measured).statistic)
    return Score(level, batch_size, tau, float(np.median(np.abs(ratio - 1))), float(np.median(ratio)))


def _scores(levels: Mapping[str, Sequence[Prediction]], measured: Sequence[BenchResult]) -> list[Score]:
    found = []
    for level, predictions in levels.items():
        for b in BATCHES:
            pairs = [(p.latency_ms, m.latency_ms) for p, m in zip(predictions, measured, strict=True)
                     if m.batch_size == b]  # fmt: skip
            if len(pairs) > 1:
                found.append(scored(level, b, *zip(*pairs, strict=True)))
    return found


def _scores_table(
    levels: Mapping[str, Sequence[Prediction]], measured: Sequence[BenchResult], calibration: Calibration, took_s: float
) -> Table:
    rows = tuple(
        (f"{s.level}, batch {s.batch_size}", f"{s.tau:.3f}", f"{100 * s.error:.0f} %", f"{s.bias:.2f}", _met(s))
        for s in _scores(levels, measured)
    )
    below = [f"{p.model} (batch {p.batch_size})" for p, m in zip(levels["this machine"], measured, strict=True)
             if p.strict_s > min(m.samples_ms) / 1e3]  # fmt: skip
    noisy = sum(m.noisy for m in measured)
    error = calibration.error
    notes = (
        f"{len({m.name for m in measured})} torchvision classifiers, eager, fp32, {calibration.threads} threads: "
        "predicted against the median of our own `bench`. *this machine* has seen the probes of `calibrate` only.",
        "*datasheet*: the measured roofs, all efficiencies 1. *calibrated*: the shipped coefficients on the same. "
        "They were fitted to these models on one machine: here they only say what the equations can express.",
        f"Calibration took {took_s:.0f} s; at half of its {len(calibration.probes)} probes the fit is "
        f"off by less than {100 * (error or 0):.0f} %.",
        f"Measured below the strict bound: {', '.join(below) or 'none'}.",
        f"Rows whose p5 to p95 span over a fifth of the median: {noisy} of {len(measured)}.",
    )
    head = ("level", "Kendall's tau", "median error", "predicted / measured", "target met")
    return Table("Order and time", head, rows, notes)


def _met(s: Score) -> str:
    if s.level != "this machine":
        return "–"
    return "yes" if s.tau >= _TAU and s.error <= _ERROR else "no"


def _worst_table(predictions: Sequence[Prediction], measured: Sequence[BenchResult]) -> Table:
    """The rows that are furthest off, and where most of their predicted time is."""
    pairs = sorted(zip(predictions, measured, strict=True),
                   key=lambda pair: -abs(np.log(pair[0].latency_ms / pair[1].latency_ms)))  # fmt: skip
    rows = tuple(
        (m.name, str(m.batch_size), f"{m.latency_ms:.1f}", f"{p.latency_ms:.1f}", f"{p.latency_ms / m.latency_ms:.2f}",
         p.bound, _mostly(p), f"{100 * m.spread:.0f} %")
        for p, m in pairs[:_WORST]
    )  # fmt: skip
    head = ("model", "batch", "measured ms", "predicted ms", "ratio", "bound", "most time in", "spread")
    return Table("Furthest off at the level this machine", head, rows)


def _mostly(prediction: Prediction) -> str:
    """The kinds of kernels that take most of the predicted time."""
    by_kind: dict[str, float] = {}
    for row in prediction.kernels:
        by_kind[row.kernel.kind] = by_kind.get(row.kernel.kind, 0.0) + row.seconds * row.kernel.calls
    first = sorted(by_kind, key=lambda kind: -by_kind[kind])[:2]
    return ", ".join(f"{kind} {100 * by_kind[kind] / prediction.seconds:.0f} %" for kind in first)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models", type=lambda text: text.split(","), default=_MODELS.split(), help="only these, by comma"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each row is measured for")
    parser.add_argument("--quick", action="store_true", help="a quick calibration")
    parser.add_argument("--wait", type=float, default=_PATIENCE_S, help="how long to wait for a calm machine, seconds")
    parser.add_argument("--ship", action="store_true", help="fit the coefficients for CPUs and write them")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/benchmarks.md alone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
