"""Optimizers, schedules and losses of torch by their names, with keywords checked before training."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from ..errors import BadInput, UnknownName
from ..registry import suggest
from .config import LossChoice, OptimizerChoice, SchedulerChoice
from .places import UnknownKeyword


def make_optimizer(choice: OptimizerChoice, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """An optimizer of torch.optim; raises UnknownName or BadInput."""
    known = _classes(torch.optim, Optimizer)
    made = _named("optimizer", choice.name, known)
    rate = {} if choice.lr is None else {"lr": choice.lr}
    keywords = {**rate, **choice.keywords}
    _check_keywords(f"optimizer {choice.name}", made, keywords, skip=("params",))
    optimizer: Optimizer = _called(f"optimizer {choice.name}", made, list(parameters), **keywords)
    return optimizer


def make_scheduler(
    choice: SchedulerChoice | None, optimizer: Optimizer, steps: int, steps_per_epoch: int
) -> tuple[LRScheduler, bool] | None:
    """A schedule, and whether it moves on each step rather than each epoch; raises UnknownName or BadInput.

    ``steps`` is how many the whole run has.
    """
    if choice is None:
        return None
    by_step = choice.interval != "epoch" if choice.interval or choice.name.lower() in _SHORT else False
    length = max(1, (steps if by_step else -(-steps // steps_per_epoch)) - (choice.warmup_steps if by_step else 0))
    made = _make_scheduler(choice, optimizer, length)
    if not choice.warmup_steps:
        return made, by_step
    if not by_step:
        raise BadInput("scheduler: warmup_steps goes with interval: step")
    warmup = lr_scheduler.LinearLR(optimizer, 1e-3, total_iters=choice.warmup_steps)
    return lr_scheduler.SequentialLR(optimizer, [warmup, made], [choice.warmup_steps]), True


def _make_scheduler(choice: SchedulerChoice, optimizer: Optimizer, length: int) -> LRScheduler:
    name = choice.name.lower()
    if name in _SHORT:
        kind, standard = _SHORT[name]
        keywords = {**standard(optimizer, length), **choice.keywords}
    else:
        kind, keywords = (
            _named("scheduler", choice.name, {**_SHORT, **_classes(lr_scheduler, LRScheduler)}),
            choice.keywords,
        )
        if issubclass(kind, lr_scheduler.ReduceLROnPlateau):
            raise BadInput(
                "scheduler ReduceLROnPlateau depends on a metric, which differs between models: take another"
            )
    _check_keywords(f"scheduler {choice.name}", kind, keywords, skip=("optimizer",))
    made: LRScheduler = _called(f"scheduler {choice.name}", kind, optimizer, **keywords)
    return made


_SHORT: Mapping[str, tuple[Any, Callable[[Optimizer, int], dict[str, Any]]]] = {
    "cosine": (lr_scheduler.CosineAnnealingLR, lambda _o, n: {"T_max": n}),
    "linear": (lr_scheduler.LinearLR, lambda _o, n: {"start_factor": 1.0, "end_factor": 0.01, "total_iters": n}),
    "onecycle": (lr_scheduler.OneCycleLR, lambda o, n: {"max_lr": o.param_groups[0]["lr"], "total_steps": n + 1}),
    "constant": (lr_scheduler.ConstantLR, lambda _o, _n: {"factor": 1.0}),
}
_LOSSES = {"cross_entropy": nn.CrossEntropyLoss, "bce": nn.BCEWithLogitsLoss}


class Criterion(nn.Module):
    """A loss of logits and class numbers; for one logit the targets become (B,) floats."""

    def __init__(self, loss: nn.Module, one_logit: bool) -> None:
        super().__init__()
        self.loss, self.one_logit = loss, one_logit

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of logits (B, K), or (B, 1) and (B,) for one logit, and targets (B,)."""
        if self.one_logit:
            return self.loss(logits.flatten().float(), targets.float())  # type: ignore[no-any-return]
        return self.loss(logits.float(), targets)  # type: ignore[no-any-return]

    def weight(self, targets: Tensor) -> float:
        """By what a batch's mean is to be multiplied before means of several batches are added."""
        weights = getattr(self.loss, "weight", None)
        return float(len(targets)) if weights is None or self.one_logit else float(weights.cpu()[targets].sum())


def make_loss(choice: LossChoice, outputs: int) -> Criterion:
    """The loss for models with that many outputs; raises UnknownName or BadInput."""
    name = choice.name.lower()
    if name == "auto":
        name = "bce" if outputs == 1 else "cross_entropy"
    losses = {k: v for k, v in _classes(nn, nn.Module).items() if k.endswith("loss")}
    made = _LOSSES.get(name) or _named("loss", choice.name, {"auto": None, **_LOSSES, **losses})
    one_logit = made in (nn.BCEWithLogitsLoss, nn.SoftMarginLoss)
    if one_logit != (outputs == 1):
        what = "one logit" if outputs == 1 else f"{outputs} classes"
        raise BadInput(f"loss {choice.name} does not go with data of {what}: leave the loss out, or take 'auto'")
    keywords = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in choice.keywords.items()}
    if "pos_weight" in keywords:
        keywords["pos_weight"] = torch.as_tensor(keywords["pos_weight"], dtype=torch.float32)
    _check_keywords(f"loss {choice.name}", made, keywords, skip=("size_average", "reduce", "reduction"))
    criterion = Criterion(_called(f"loss {choice.name}", made, **keywords), one_logit)
    _called(f"loss {choice.name}", criterion, torch.zeros(2, outputs), torch.tensor([0, 0 if outputs > 1 else 1]))
    return criterion


@cache
def _classes(module: Any, base: type) -> dict[str, Any]:
    """Its public classes of a kind, by name in lower case."""
    found = {n.lower(): c for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, base)}
    return {n: c for n, c in found.items() if c is not base and not n.startswith("_")}


def _named(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    if name.lower() not in known:
        raise UnknownName(kind, name, suggest(name, known))
    return known[name.lower()]


def _check_keywords(what: str, made: Any, keywords: Mapping[str, Any], skip: tuple[str, ...]) -> None:
    known = [n for n in inspect.signature(made).parameters if n not in skip]
    for key in keywords:
        if key not in known:
            raise UnknownKeyword(what, key, known)


def _called(what: str, made: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    try:
        return made(*args, **keywords)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise BadInput(f"{what}: {str(error).strip().splitlines()[0]}") from error
