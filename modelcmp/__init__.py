"""modelcmp: which PyTorch model to pick, and why two runs differ."""

from __future__ import annotations
