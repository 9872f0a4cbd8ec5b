"""Optimizers, schedules and losses of torch by their names, with keywords checked before training."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from ..errors import BadInput, UnknownName, first_line
from ..registry import suggest
from .config import LossChoice, OptimizerChoice, SchedulerChoice
from .places import UnknownKeyword

#: Optimizers that this loop cannot drive, and why.
_UNFIT = {
    "lbfgs": "evaluates the model several times a step, which the others do not: take sgd or adam",
    "sparseadam": "needs sparse gradients, which most models do not have: take adam",
}
#: Steps of a schedule that are tried before training.
_TRIED = 10_000


def make_optimizer(choice: OptimizerChoice, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """An optimizer of torch.optim; raises UnknownName or BadInput."""
    if choice.name.lower() in _UNFIT:
        raise BadInput(f"optimizer {choice.name} {_UNFIT[choice.name.lower()]}")
    known = {name: found for name, found in _classes(torch.optim, Optimizer).items() if name not in _UNFIT}
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
    if choice.warmup_steps:
        _check_warmup(choice, by_step, steps)
    length = max(1, (steps if by_step else -(-steps // steps_per_epoch)) - choice.warmup_steps)
    made = _make_scheduler(choice, optimizer, length)
    if not choice.warmup_steps:
        return made, by_step
    warmup = lr_scheduler.LinearLR(optimizer, 1e-3, total_iters=choice.warmup_steps)
    return lr_scheduler.SequentialLR(optimizer, [warmup, made], [choice.warmup_steps]), True


def _check_warmup(choice: SchedulerChoice, by_step: bool, steps: int) -> None:
    if not by_step:
        raise BadInput("scheduler: warmup_steps goes with interval: step")
    if choice.name.lower() in ("onecycle", "onecyclelr"):
        raise BadInput(f"scheduler {choice.name} warms up by itself: leave warmup_steps out, and set pct_start")
    if choice.warmup_steps >= steps:
        raise BadInput(f"scheduler: warmup_steps is {choice.warmup_steps}, and the whole run has {steps} steps")


def try_scheduler(choice: SchedulerChoice | None, optimizer: Optimizer, steps: int, steps_per_epoch: int) -> None:
    """Walk through the schedule of a run, which changes the optimizer; raises UnknownName or BadInput.

    Of a longer run than 10,000 steps only these are tried.
    """
    made = make_scheduler(choice, optimizer, steps, steps_per_epoch)
    if choice is None or made is None:
        return
    scheduler, by_step = made
    length = steps if by_step else -(-steps // steps_per_epoch)
    unit = "step" if by_step else "epoch"
    total = getattr(scheduler, "total_steps", length)
    if total < length:
        raise BadInput(f"scheduler {choice.name} has total_steps {total}, and the run {length} {unit}s")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no optimizer steps before the schedule
        for number in range(1, min(length, _TRIED) + 1):
            _called(f"scheduler {choice.name}, {unit} {number} of {length}", scheduler.step)
            rate = float(optimizer.param_groups[0]["lr"])
            if not (math.isfinite(rate) and rate >= 0):
                raise BadInput(f"scheduler {choice.name} sets the learning rate to {rate} after {unit} {number}")


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
#: Losses of logits (B, K) and class numbers (B,), or of one logit and 0 or 1, by their names.
_LOSSES: Mapping[str, type[nn.Module]] = {
    "cross_entropy": nn.CrossEntropyLoss,
    "crossentropyloss": nn.CrossEntropyLoss,
    "bce": nn.BCEWithLogitsLoss,
    "bcewithlogitsloss": nn.BCEWithLogitsLoss,
    "multimarginloss": nn.MultiMarginLoss,
}
#: What other losses of torch.nn expect instead, where somebody may well try them.
_OTHER_LOSSES = {
    "nllloss": "takes log-probabilities, and models give logits: take cross_entropy",
    "bceloss": "takes probabilities, and models give logits: take bce",
    "softmarginloss": "takes classes -1 and 1, and data have 0 and 1: take bce",
}


class Criterion:
    """A loss of logits and class numbers; for one logit the targets become (B,) floats.

    No module itself, and it calls the loss without hooks: that is a tenth of what the loop adds to a small step.
    """

    def __init__(self, loss: nn.Module, one_logit: bool) -> None:
        self.loss, self.one_logit = loss, one_logit
        #: Whether samples count differently; class numbers are never negative, as torch's own ignore_index is.
        self.uneven = isinstance(loss, nn.CrossEntropyLoss) and (loss.weight is not None or loss.ignore_index >= 0)

    def to(self, device: torch.device) -> Criterion:
        """Its weights on a device."""
        self.loss.to(device)
        return self

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of logits (B, K), or (B, 1) and (B,) for one logit, and targets (B,)."""
        if self.one_logit:
            return self.loss.forward(logits.flatten().float(), targets.float())  # type: ignore[no-any-return]
        return self.loss.forward(logits.float(), targets)  # type: ignore[no-any-return]

    def weight(self, targets: Tensor) -> float:
        """By what a batch's mean is to be multiplied before means of several batches are added."""
        if not self.uneven:
            return float(len(targets))
        assert isinstance(self.loss, nn.CrossEntropyLoss)
        targets = targets[targets != self.loss.ignore_index]
        weights = self.loss.weight
        return float(len(targets)) if weights is None else float(weights.cpu()[targets.cpu()].sum())


def make_loss(choice: LossChoice, outputs: int) -> Criterion:
    """The loss for models with that many outputs; raises UnknownName or BadInput."""
    what, made = f"loss {choice.name}", _loss_class(choice, outputs)
    one_logit = made is nn.BCEWithLogitsLoss
    if one_logit != (outputs == 1):
        data = "one logit" if outputs == 1 else f"{outputs} classes"
        raise BadInput(f"{what} does not go with data of {data}: leave the loss out, or take 'auto'")
    _check_keywords(what, made, choice.keywords, skip=("size_average", "reduce", "reduction"))
    keywords = {
        key: _weights(what, key, value, outputs) if key in ("weight", "pos_weight") and value is not None else value
        for key, value in choice.keywords.items()
    }
    criterion = Criterion(_called(what, made, **keywords), one_logit)
    targets = torch.arange(max(outputs, 2))
    _called(what, criterion, torch.zeros(len(targets), outputs), targets)
    return criterion


def _loss_class(choice: LossChoice, outputs: int) -> type[nn.Module]:
    name = choice.name.lower()
    if name == "auto":
        name = "bce" if outputs == 1 else "cross_entropy"
    if name in _LOSSES:
        return _LOSSES[name]
    usual = f"known: {', '.join(('auto', 'cross_entropy', 'bce', 'MultiMarginLoss'))}"
    if name in _classes(nn, nn.Module) and name.endswith("loss"):
        raise BadInput(f"loss {choice.name} {_OTHER_LOSSES.get(name, f'is none of logits and class numbers; {usual}')}")
    raise UnknownName("loss", choice.name, suggest(choice.name, ("auto", *_LOSSES), usual))


def _weights(what: str, key: str, value: Any, outputs: int) -> Tensor:
    """One finite weight a class, none of them negative, as float32; raises BadInput."""
    rule = (
        f"give {outputs}, finite and not negative, and not all of them zero" if outputs > 1 else "give one above zero"
    )
    try:
        found = torch.as_tensor(value, dtype=torch.float32).reshape(-1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{what}: {key} is {value!r}: {rule}") from error
    fits = len(found) == outputs and bool((torch.isfinite(found) & (found >= 0)).all()) and bool(found.any())
    if not fits:
        raise BadInput(f"{what}: {key} is {value!r}: {rule}")
    return found


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
    for key, value in keywords.items():
        if key not in known:
            raise UnknownKeyword(what, key, known)
        if any(isinstance(v, float) and not math.isfinite(v) for v in (value if isinstance(value, list) else [value])):
            raise BadInput(f"{what}: {key} is {value}: give finite numbers")  # torch does not look at all of them


def _called(what: str, made: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    try:
        return made(*args, **keywords)
    except Exception as error:
        raise BadInput(f"{what}: {first_line(error)}") from error
