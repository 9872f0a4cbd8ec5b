"""Writing fitted coefficients into the package's ``calibrated.toml``, one kind of machine at a time."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from latency_fits import Score
from speed_processes import ROOT

from modelcmp.hardware.efficiency import COEFFICIENTS

SHIPPED = ROOT / "modelcmp" / "hardware" / "calibrated.toml"
_HEAD = """# Coefficients of the latency model, fitted to measured times; docs/latency.md says how. Not written by hand:
# python benchmarks/latency_accuracy.py TABLE.csv TABLE.csv --ship renews [gpu].
"""


def ship(coefficients: Mapping[str, float], fitted_on: str, scores: Sequence[Score], path: Path = SHIPPED) -> None:
    """Renew the coefficients of GPUs; every other kind of machine stays as it is."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(shipped(before, coefficients, fitted_on, scores), encoding="utf-8", newline="\n")


def shipped(before: str, coefficients: Mapping[str, float], fitted_on: str, scores: Sequence[Score]) -> str:
    """The file's new text; raises ValueError where that would change another kind's tables."""
    numbers = [f"{name} = {_rounded(coefficients[name])}" for name in COEFFICIENTS]
    section = [
        "[gpu]",
        f"fitted_on = {json.dumps(fitted_on)}",
        f"tau = {[round(score.tau, 3) for score in scores]} # a table each",
        f"median_error = {[round(score.median, 3) for score in scores]}",
        "",
        "[gpu.coefficients]",
        *numbers,
    ]
    others = _without_gpu(before)
    text = "\n".join([_HEAD, *section, ""]) + (f"\n{others}" if others else "")
    if _others(text) != _others(before):
        raise ValueError("calibrated.toml cannot be kept: give each [kind] and its tables a line of their own")
    return text


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _others(text: str) -> dict[str, object]:
    return {kind: table for kind, table in tomllib.loads(text).items() if kind != "gpu"}


def _without_gpu(text: str) -> str:
    """Every table but those of GPUs, with the comment lines straight above its header."""
    kept: list[str] = []
    waiting: list[str] = []
    ours = True  # the file's head is written anew
    for line in text.splitlines():
        if line.startswith("#"):
            waiting.append(line)
            continue
        if line.startswith("["):
            ours = line.startswith(("[gpu]", "[gpu."))
        if not ours:
            kept += [*waiting, line]
        waiting = []
    return "\n".join(kept).strip() + "\n" if kept else ""
