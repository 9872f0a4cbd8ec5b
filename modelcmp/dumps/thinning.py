"""What stays of a full dump of an earlier session that has to go: its statistics."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from .contents import replaced
from .opcodes import Stored

#: What of a dump is left out of its remainder.
LARGE = (
    "model_state_dict", "optimizer_state_dict", "optimizer_param_names", "optimizer", "grads", "param_groups",
    "optimizer_scalars", "tied",
)  # fmt: skip
#: The key of the storage of all histograms.
HISTOGRAMS = "histograms"


def holds(path: Path) -> tuple[bool, bool]:
    """Whether a dump has tensors, and statistics; neither of a file that cannot be read."""
    try:
        if path.suffix == ".pt":
            with zipfile.ZipFile(path) as archive:
                names = [name.rpartition("/data/")[2] for name in archive.namelist()]
            return any(name.isdigit() for name in names), HISTOGRAMS in names
        with path.open("rb") as file:
            header = json.loads(file.read(*struct.unpack("<Q", file.read(8))))
        names = [name.partition("/")[0] for name in header if name != "__metadata__"]
        return any(name != "stats" for name in names), "stats" in names
    except (OSError, ValueError, struct.error, zipfile.BadZipFile, OverflowError, MemoryError):
        return False, False


def remainder(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The record of a dump without its large parts, and the storage of its histograms; raises what reading raises."""
    if path.suffix == ".pt":
        record = dict(torch.load(path, weights_only=True, mmap=True))
    else:
        with safe_open(path, "pt") as file:
            record = json.loads(file.metadata()["modelcmp"])
            for kind, named in record["stats"].items():
                for name, found in named.items():
                    found["histogram"] = file.get_tensor(f"stats/{kind}/{name}")
    stats, late = apart(record["stats"])
    return {k: v for k, v in record.items() if k not in LARGE} | {"stats": stats}, late


def apart(stats: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Statistics with places for their histograms, and these in one storage."""
    histograms: list[Tensor] = []
    bins = sum(found["histogram"].numel() for named in stats.values() for found in named.values())
    begun = 0

    def place(histogram: Tensor) -> Stored:
        nonlocal begun
        histograms.append(histogram)
        begun += histogram.numel()
        return Stored(HISTOGRAMS, torch.int64, tuple(histogram.shape), bins, begun - histogram.numel())

    placed = replaced(stats, place)
    return placed, {HISTOGRAMS: b"".join(h.contiguous().numpy().tobytes() for h in histograms)}
