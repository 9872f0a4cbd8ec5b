"""Writing dumps: one plain torch checkpoint a step, readable with ``torch.load(weights_only=True)``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..tensor_files import save_tensors

SCHEMA = 1
FOLDER = "batch_dumps"


def dump_path(folder: Path, epoch: int, batch: int) -> Path:
    """The file of a dump; epochs and batches count from 1.

    >>> dump_path(Path("run"), 1, 10).as_posix()
    'run/batch_dumps/epoch_001/batch_0010.pt'
    """
    return folder / FOLDER / f"epoch_{epoch:03d}" / f"batch_{batch:04d}.pt"


def write_dump(
    folder: Path, *, epoch: int, batch: int, step: int, model: dict[str, Any], optimizer: Any, loss: float, acc: float
) -> Path:
    """Write the state after a step into a run's folder, whole or not at all; raises OutputError."""
    path = dump_path(folder, epoch, batch)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path.parent}: {error.strerror or error}") from error
    state = {
        "schema": SCHEMA, "epoch": epoch, "batch": batch, "step": step, "loss": loss, "acc": acc,
        "model_state_dict": model, "optimizer_state_dict": optimizer,
    }  # fmt: skip
    save_tensors(state, path)
    return path
