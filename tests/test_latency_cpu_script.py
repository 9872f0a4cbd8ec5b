"""The script that compares predictions with a CPU: what it scores, and what it writes into the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from modelcmp.hardware.efficiency import COEFFICIENTS

COEFFS = dict.fromkeys(COEFFICIENTS, 0.5)


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "benchmarks"))


@pytest.mark.parametrize("after", [False, True])
def test_other_machines_stay_as_they_are(after: bool) -> None:
    from latency_cpu_ship import shipped

    gpu = "# by another script\n[gpu]\ntau = [0.9] # a table each\n\n[gpu.coefficients]\ngemm = 0.7\n"
    cpu = "# old\n[cpu]\nfitted_on = 'x'\n\n[cpu.coefficients]\ngemm = 0.1\n"
    text = shipped(f"{cpu}\n{gpu}" if after else f"{gpu}\n{cpu}", COEFFS, "30 models")
    found = tomllib.loads(text)
    assert found["gpu"] == {"tau": [0.9], "coefficients": {"gemm": 0.7}}
    assert found["cpu"] == {"fitted_on": "30 models", "coefficients": COEFFS}
    assert "# by another script\n[gpu]" in text
    assert shipped(text, COEFFS, "30 models") == text


def test_scores_are_those_of_the_definition() -> None:
    from latency_cpu import scored

    found = scored("x", 1, [1.0, 2.0, 4.0, 3.0], [1.0, 2.0, 2.0, 4.0])
    assert found.error == pytest.approx(0.125)  # 0, 0, 1, 0.25
    assert scored("x", 1, [1.0, 2.0, 3.0], [2.0, 4.0, 6.0])[2:] == pytest.approx((1.0, 0.5, 0.5))
