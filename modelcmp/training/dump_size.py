"""What the dumps of a run will take on the disk: said, and refused where it cannot be, before training."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..dumps.options import DumpOptions
from ..dumps.writing import written_dumps
from ..errors import BadInput
from ..sources.construct import build_without_weights
from ..units import scaled
from .entrants import Entrant
from .optimisation import make_optimizer
from .plan import Plan
from .workspace import Workspace

#: A tensor's statistics in a file; its name, shape and place; a sample's hash; all else.
_STATS_BYTES, _ENTRY_BYTES, _SAMPLE_BYTES, _FILE_BYTES = 900, 330, 21, 2000


@dataclass(frozen=True, slots=True)
class DumpEstimate:
    """What dumps will take, at most."""

    total_bytes: int  # still to be written
    dumps: int  # full ones of a model that stay
    dump_bytes: tuple[int, ...]  # of a full one of each model
    budget_bytes: int | None  # of each model
    models: int = 1  # that share the run's budget
    capped: bool = False  # whether a model's budget ends its dumps

    @property
    def words(self) -> str:
        """One line.

        >>> DumpEstimate(41_000_000_000, 200, (205_000_000,), None).words
        'dumps will write 41.0GB (200 dumps of 205MB a model)'
        """
        least, most = scaled(min(self.dump_bytes), "B"), scaled(max(self.dump_bytes), "B")
        each = least if least == most else f"{least} to {most}"
        limit = ", where the disk budget ends" if self.capped else ""
        return f"dumps will write {scaled(self.total_bytes, 'B')} ({self.dumps} dumps of {each} a model){limit}"


def estimate(plan: Plan, entrants: Iterable[Entrant], workspace: Workspace) -> DumpEstimate | None:
    """What the dumps of some models of a plan will take; None where there are none."""
    options = plan.config.dumping
    models = list(entrants)
    if options is None or not models:
        return None
    full, stats = _counts(plan, options)
    initial = int(plan.config.dump is None or plan.config.dump.initial)
    kept = full if options.keep_last is None else min(full, options.keep_last)
    kept, rest = (kept + initial, max(0, stats - kept)) if options.stored else (stats + initial, 0)
    budget, capped, total = options.disk_budget_bytes, False, 0
    sizes = []
    for entrant in models:
        size, small = _sizes(plan, entrant, options)
        sizes.append(size)
        wanted = kept * size + rest * small
        if budget is not None:
            capped, wanted = capped or wanted > budget, min(wanted, budget)
        there = sum(path.stat().st_size for _, _, path in written_dumps(workspace.run(entrant.label)))
        total += max(0, wanted - there)
    return DumpEstimate(total, kept, tuple(sizes), budget, len(plan.config.models), capped)


def check_room(found: DumpEstimate, workspace: Workspace) -> None:
    """Refuse dumps that do not fit onto the disk, unless a budget ends them, and a budget that ends all of them.

    Raises BadInput.
    """
    budget, largest = found.budget_bytes, max(found.dump_bytes)
    if budget is not None and budget < largest:
        part = f" ({scaled(budget, 'B')} a model)" if found.models > 1 else ""
        raise BadInput(
            f"disk_budget {scaled(budget * found.models, 'B')}{part} is less than one dump of {scaled(largest, 'B')}: "
            f"nothing would be dumped"
        )
    place = next(p for p in (workspace.path, *workspace.path.parents) if p.is_dir())
    free = shutil.disk_usage(place).free
    if found.total_bytes > free and budget is None:
        fits = free // 2 >= largest * found.models
        part = f"`disk_budget: {scaled(free // 2, 'B')}`, " if fits else ""
        raise BadInput(
            f"{found.words}, and {scaled(free, 'B')} are free on the disk: set, under `dump:`, {part}`keep_last: 10`, "
            f"`epochs: 1`, `dtype: bfloat16`, or a larger dump_interval"
        )


def _counts(plan: Plan, options: DumpOptions) -> tuple[int, int]:
    """How many full dumps a model will have after its first step, and how many with statistics."""
    epochs = plan.config.epochs if options.epochs is None else min(plan.config.epochs, options.epochs)
    whole, rest = divmod(plan.steps, plan.steps_per_epoch)
    lengths = [plan.steps_per_epoch] * min(epochs, whole) + [rest] * (whole < epochs)
    full = sum(length // options.interval for length in lengths) if options.stored else 0
    stats = sum(length // options.stats_interval for length in lengths) if "stats" in options.include else 0
    return full, stats


def _sizes(plan: Plan, entrant: Entrant, options: DumpOptions) -> tuple[int, int]:
    """Bytes of a full dump, and of one with statistics alone."""
    state = [v for v in build_without_weights(entrant.build).state_dict().values() if isinstance(v, Tensor)]
    trained = [torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in entrant.weights]
    moments = _moments(plan, trained)
    parts = {"weights": state, "grads": trained, "optimizer": moments}
    stored = [tensor for part in options.stored for tensor in parts[part]]
    dtype = getattr(torch, options.dtype) if options.dtype else None
    least = min(plan.config.batch_size, len(plan.data.train)) * _SAMPLE_BYTES + _FILE_BYTES
    if "stats" in options.include:
        seen = [*state, *trained, *(t for t in moments if t.dim())]
        least += len(seen) * _STATS_BYTES
    return sum(_bytes(t, dtype) for t in stored) + len(stored) * _ENTRY_BYTES + least, least


def _moments(plan: Plan, trained: list[Tensor]) -> list[Tensor]:
    """The optimizer's state after a step, without memory; two copies of the weights where that cannot be tried."""
    weights = [nn.Parameter(tensor) for tensor in trained]
    for weight in weights:
        weight.grad = torch.empty_like(weight)
    try:
        optimizer = make_optimizer(plan.config.optimizer, weights)
        optimizer.step()
    except Exception:  # some optimizers look at numbers
        return [*trained, *trained]
    return [v for entry in optimizer.state.values() for v in entry.values() if isinstance(v, Tensor)]


def _bytes(tensor: Tensor, dtype: torch.dtype | None) -> int:
    other = dtype is not None and tensor.is_floating_point() and tensor.dim() > 0
    return tensor.numel() * (dtype.itemsize if dtype is not None and other else tensor.dtype.itemsize)
