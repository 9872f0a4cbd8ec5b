"""One model in training: a step, a look at a split, and everything that goes on from where it stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from .batches import Batch, batches, mixed
from .config import Config
from .data.base import Examples
from .entrants import Entrant, logits_of
from .optimisation import make_loss, make_optimizer, make_scheduler
from .runtime import Runtime, seed_all

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """What a step came to: the mean loss and how many were right, as tensors, so that a GPU need not be waited for."""

    loss: Tensor
    correct: Tensor
    count: int
    weight: float  # by which the mean is to be multiplied before several are added


class Learner:
    """A model with its optimizer, schedule and loss, on the device of a runtime.

    Initial weights follow the seed alone; so do dropout's random numbers, whatever building the model drew.
    """

    def __init__(
        self, runtime: Runtime, entrant: Entrant, config: Config, outputs: int, steps: int, steps_per_epoch: int,
        augment: Augment | None = None,
    ) -> None:  # fmt: skip
        self.runtime, self._config, self._augment = runtime, config, augment
        seed_all(config.seed)
        model = entrant.build().to(runtime.device)
        if runtime.share.of > 1 and runtime.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        seed_all(mixed("dropout", config.seed, runtime.share.rank))
        self.criterion = make_loss(config.loss, outputs).to(runtime.device)
        self.model = _sharded(model, runtime) if runtime.sharded else runtime.accelerator.prepare_model(model)
        optimizer = make_optimizer(config.optimizer, [p for p in model.parameters() if p.requires_grad])
        self.optimizer = runtime.accelerator.prepare_optimizer(optimizer)
        self._scaled = runtime.accelerator.scaler is not None
        # Without a scaler accelerate adds nothing to a step but a search for packages on the disk.
        self._stepper = self.optimizer if self._scaled else optimizer
        made = make_scheduler(config.scheduler, self.optimizer.optimizer, steps, steps_per_epoch)
        self.scheduler = made[0] if made is not None else None
        self._each_step = made is not None and made[1]
        #: Called with inputs and targets of a step when the optimizer has used its gradients, which are still there.
        self.watch: Callable[[Tensor, Tensor], None] | None = None

    @property
    def rate(self) -> float:
        """The learning rate of the first group of parameters."""
        return float(self.optimizer.param_groups[0]["lr"])

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch, in the precision of the run."""
        if not self.runtime.sharded:
            return logits_of(self.model(x))  # accelerate has seen to its precision
        with self.runtime.accelerator.autocast():
            return logits_of(self.model(x))

    @property
    def plain(self) -> nn.Module:
        """The model without what shares it between processes."""
        return self.runtime.accelerator.unwrap_model(self.model)  # type: ignore[no-any-return]

    def step(self, batch: Batch, epoch: int, number: int) -> Step:
        """Forward, backward and one step of the optimizer on a batch."""
        x, y = batch.inputs, batch.targets
        if self._augment is not None:
            seed = mixed("augment", self._config.seed, epoch, number, self.runtime.share.rank)
            x = self._augment(x, torch.Generator().manual_seed(seed))
        x, y = x.to(self.runtime.device, non_blocking=True), y.to(self.runtime.device, non_blocking=True)
        logits = self.forward(x)
        loss = self.criterion(logits, y)
        weighted = loss if self.runtime.share.of == 1 else loss * self._weight(batch)
        self.runtime.accelerator.backward(weighted) if self._scaled else weighted.backward()
        if self._config.clip_norm is not None:
            self._clip(self._config.clip_norm)
        self._stepper.step()
        if self.watch is not None:
            self.watch(x, y)
        if self._each_step and self.scheduler is not None and not self.optimizer.step_was_skipped:
            self.scheduler.step()
        self._stepper.zero_grad()
        weight = self.criterion.weight(batch.targets) if batch.real else 0.0
        return Step(loss.detach(), right(logits.detach(), y), len(y) if batch.real else 0, weight)

    def end_epoch(self) -> None:
        """Let a schedule by epochs move on."""
        if self.scheduler is not None and not self._each_step:
            self.scheduler.step()

    def look(self, examples: Examples, batch_size: int, workers: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits (b, outputs) and targets (b,) of this process's share of a split, on the device, without stand-ins."""
        self.model.eval()
        with torch.no_grad():
            for batch in batches(
                examples, torch.arange(len(examples)), batch_size, self.runtime.share, workers=workers
            ):
                logits = self.forward(batch.inputs.to(self.runtime.device))
                if batch.real:
                    yield logits, batch.targets.to(self.runtime.device)

    def measure(self, examples: Examples, batch_size: int, workers: int = 0) -> tuple[float, float]:
        """Mean loss and accuracy on a split, over all processes."""
        sums = [0.0, 0.0, 0.0, 0.0]
        for logits, y in self.look(examples, batch_size, workers):
            weight = self.criterion.weight(y.cpu())
            sums[0] += float(self.criterion(logits, y)) * weight
            sums[1] += float(right(logits, y))
            sums[2] += len(y)
            sums[3] += weight
        loss, correct, count, weights = self.runtime.total(sums)
        return loss / weights, correct / count

    def _weight(self, batch: Batch) -> float:
        """What makes the mean over processes, which DDP takes, the mean over the whole batch."""
        if not batch.real:
            return 0.0
        return (
            self.criterion.weight(batch.targets) * self.runtime.share.of / self.criterion.weight(batch.targets_of_all)
        )

    def _clip(self, norm: float) -> None:
        if self.runtime.accelerator.scaler is not None:
            self.runtime.accelerator.unscale_gradients(self.optimizer)
        clip_grad_norm_(self.model.parameters(), norm)


def _sharded(model: nn.Module, runtime: Runtime) -> nn.Module:
    """The model with its parameters dealt out to the processes, one child of the root at a time."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(runtime.device.type, (runtime.share.of,))
    for child in model.children():
        if any(True for _ in child.parameters()):
            fully_shard(child, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def right(logits: Tensor, targets: Tensor) -> Tensor:
    """How many are classified right: the largest of several logits, or the sign of one."""
    if logits.dim() == 1 or logits.shape[1] == 1:
        return ((logits.flatten() > 0) == (targets == 1)).sum()
    return (logits.argmax(1) == targets).sum()


def finite(loss: float) -> bool:
    """Whether training can go on from this loss."""
    return math.isfinite(loss)
