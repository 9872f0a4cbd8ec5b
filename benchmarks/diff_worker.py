"""One part of diff_speed.py in a process of its own: makes dumps, or compares them; answers with a line of JSON."""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

BETAS = (0.9, 0.999)


def make(folder: Path, model: str, pairs: int) -> dict[str, Any]:
    """Two runs whose numbers all differ, and drift; their bytes are in the page cache afterwards."""
    import torchvision

    torch.manual_seed(0)
    net = getattr(torchvision.models, model)(weights=None)
    optimizer = torch.optim.Adam(net.parameters())
    size = 0
    for p in net.parameters():
        p.grad = torch.randn_like(p)
    optimizer.step()
    for batch in range(1, pairs + 1):
        for run in ("a", "b"):
            with torch.no_grad():
                for tensor in tensors_of(net.state_dict(), optimizer.state_dict()):
                    tensor.add_(torch.randn_like(tensor), alpha=1e-4)
            path = folder / run / "batch_dumps" / "epoch_001" / f"batch_{batch:04d}.pt"
            path.parent.mkdir(parents=True, exist_ok=True)
            state = {"model_state_dict": net.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
            torch.save({**state, "loss": 1.0 / batch, "acc": 0.5, "epoch": 1, "batch": batch}, path)
            if batch == 1:
                size += sum(t.nbytes for t in tensors_of(net.state_dict(), optimizer.state_dict()))
    os.sync()  # else the disk is busy with them while they are compared
    for path in folder.rglob("*.pt"):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass
    return {"pair_bytes": size}


def tensors_of(weights: dict[str, Any], optimizer: dict[str, Any]) -> list[torch.Tensor]:
    """All floating-point tensors of a dump with more than one number."""
    found = [*weights.values(), *(t for state in optimizer["state"].values() for t in state.values())]
    return [t for t in found if t.is_floating_point() and t.ndim]


def naive(folder: Path, pairs: int) -> None:
    """What one would write by hand: load both, flatten, three reductions."""
    for batch in range(1, pairs + 1):
        flat = []
        for run in ("a", "b"):
            path = folder / run / "batch_dumps" / "epoch_001" / f"batch_{batch:04d}.pt"
            dump = torch.load(path, weights_only=True)
            found = tensors_of(dump["model_state_dict"], dump["optimizer_state_dict"])
            flat.append(torch.cat([t.flatten() for t in found]))
        a, b = flat
        torch.linalg.vector_norm(a - b).item()
        torch.nn.functional.cosine_similarity(a, b, dim=0).item()
        (a - b).abs().max().item()


def ours(folder: Path, pairs: int, threads: int | None) -> None:
    """Everything that `compare-models diff` measures and judges."""
    from modelcmp.diffing.request import Request
    from modelcmp.diffing.run import diff

    result = diff(folder / "a", folder / "b", Request(threads=threads))
    if len(result.pairs) < pairs or result.skipped:
        raise SystemExit(f"{len(result.pairs)} of {pairs} pairs compared: {result.skipped[:1]}")


def main(order: dict[str, Any]) -> dict[str, Any]:
    """Do one part; seconds, and the peak of memory beyond importing torch."""
    folder, pairs = Path(order["folder"]), order["pairs"]
    if order["what"] == "make":
        return make(folder, order["model"], pairs)
    torch.ones(1).add_(1)
    before = peak_bytes()
    start = time.perf_counter()
    if order["what"] == "ours":
        gc.set_threshold(100_000, 50, 100)  # as the command line does
        folder = some(folder, pairs)
        load(folder)

    ready = time.perf_counter()
    if order["what"] == "ours":
        ours(folder, pairs, order["threads"])
    else:
        naive(folder, pairs)
    end = time.perf_counter()
    told = {"seconds": end - ready, "start_s": ready - start, "memory_bytes": peak_bytes() - before}
    return told | {"disk_bytes": disk_bytes()}


def load(folder: Path) -> None:
    """Import everything and load the compiled loops, by a diff of one number."""
    import scipy.stats  # noqa: F401  for trends, of which one pair has none

    from modelcmp.diffing.run import diff

    for name in "ab":
        torch.save({"w": torch.ones(1)}, folder / f"{name}.pt")
    diff(folder / "a.pt", folder / "b.pt")


def some(folder: Path, pairs: int) -> Path:
    """A view of the first dumps only."""
    part = folder / f"first_{pairs}"
    for run in ("a", "b"):
        for batch in range(1, pairs + 1):
            name = Path(run, "batch_dumps", "epoch_001", f"batch_{batch:04d}.pt")
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            if not (part / name).exists():
                (part / name).hardlink_to(folder / name)
    return part


def disk_bytes() -> int:
    """What this process has read that was not in the page cache; 0 where the system does not say."""
    try:
        counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    except OSError:
        return 0
    return int(counts["read_bytes"])


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
