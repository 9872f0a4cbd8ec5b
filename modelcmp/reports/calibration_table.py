"""A calibration as JSON, CSV and Markdown rows: the roofs, and the probes that they were read off."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .. import __version__, units
from ..measuring.results import Calibration, Probe
from ..measuring.samples import BUSY_ABOVE_PCT, NOISY_ABOVE
from ..tabular import Row
from .export import SCHEMA, markdown_table


def probe_row(probe: Probe) -> Row:
    """One probe in base units."""
    shapes = [list(s) for s in probe.input_shapes]
    return asdict(probe) | {"input_shapes": shapes, "flops_s": probe.flops_s, "bytes_s": probe.bytes_s}


def calibration_json(calibration: Calibration) -> dict[str, Any]:
    """The JSON document."""
    device = asdict(calibration.device) | {"sources": list(calibration.device.sources)}
    return {
        "schema": SCHEMA,
        "tool": {"name": "modelcmp", "version": __version__},
        "environment": dict(calibration.device.environment),
        "conventions": {
            "seconds": "median of one call of a probe",
            "best_s": "its fastest sample, from which flops_s, bytes_s and the machine's roofs follow",
            "predicted_s": "by the measured roofs and the efficiencies that were fitted to best_s; null: not fitted to",
        },
        "machine": device | {"threads": calibration.threads},
        "probes": [probe_row(p) for p in calibration.probes],
    }


def calibration_csv_rows(calibration: Calibration) -> list[Row]:
    """One row a probe, for ``export.csv_text``."""
    return [{"machine": calibration.device.name} | probe_row(p) for p in calibration.probes]


def roof_rows(calibration: Calibration) -> list[list[str]]:
    """Each roof in words, its value, and the probe that reached it."""
    device = calibration.device
    rows = []
    for dtype in device.dtypes:
        for label, roofs, groups in (("matrix", device.matrix_flops, ("matrix", "conv")),
                                     ("other", device.vector_flops, ("vector",))):  # fmt: skip
            best = max((p for p in calibration.probes if p.dtype == dtype and p.group in groups), key=_rate)
            rows.append([f"{label} operations, {dtype}", units.scaled(roofs[dtype], "FLOP/s"), best.label])
    cache = device.cache_bandwidth_bytes_s
    launch, kernel = (f"{units.scaled(1e6 * s)} µs" for s in (device.launch_s, device.kernel_s))
    return [
        *rows,
        ["memory bandwidth", units.scaled(device.bandwidth_bytes_s, "B/s"), "copy, memory"],
        ["cache bandwidth", units.scaled(cache, "B/s"), "copy, cache"],
        ["launch of an operation", launch, "64 launches"],
        ["cost of a kernel", kernel, "64 tiny kernels"],
    ]


def _rate(probe: Probe) -> float:
    return probe.flops_s


def calibration_markdown(calibration: Calibration) -> str:
    """The roofs as GitHub Markdown."""
    table = markdown_table(["Roof", "Measured", "By"], roof_rows(calibration), text=["By"])
    facts = calibration.device.environment
    fit = f"{line}  \n" if (line := fit_line(calibration)) else ""
    return f"{table}\n{fit}{calibration.device.title}, torch {facts.get('torch', '?')}, {facts.get('date', '')}\n"


def fit_line(calibration: Calibration) -> str:
    """How well the fitted model meets the probes; "" where nothing was fitted."""
    if calibration.error is None:
        return ""
    count = sum(p.predicted_s is not None for p in calibration.probes)
    off = units.percent(100 * calibration.error)
    return f"efficiencies fitted to {count} probes: predictions of half of them are off by {off} or less"


def noise_line(calibration: Calibration) -> str:
    """A warning where most probes spread more than on a quiet machine; else ""."""
    if not calibration.noisy:
        return ""
    why = f"half of the probes spread over more than {units.percent(100 * NOISY_ABOVE)} of their median"
    if calibration.busy_pct > BUSY_ABOVE_PCT:
        why = f"other programs had {units.percent(calibration.busy_pct)} of the CPU"
    return f"the machine is noisy: {why}; these roofs are too low: close other programs and calibrate again"
