"""Everything that can be known of a run, and refused, before a single step of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import BadInput
from ..tracking.exporters import exporter
from ..units import shape as shape_text
from .batches import batch_count
from .config import Config, EarlyStopping
from .data import load_data
from .data.augment import augmentation
from .data.base import DataSet, SplitName
from .entrants import FORWARDS_A_STEP, Entrant, make_entrant
from .learner import Augment, Learner
from .optimisation import make_loss, make_optimizer, try_scheduler
from .places import at
from .runtime import Runtime


@dataclass(frozen=True)
class Plan:
    """A run that can begin."""

    config: Config
    runtime: Runtime
    data: DataSet
    entrants: tuple[Entrant, ...]
    augment: Augment | None

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, the same for all models."""
        return batch_count(len(self.data.train), self.config.batch_size)

    @property
    def steps(self) -> int:
        """Most steps of a model."""
        every = self.config.epochs * self.steps_per_epoch
        return every if self.config.max_steps is None else min(every, self.config.max_steps)

    def learner(self, entrant: Entrant) -> Learner:
        """An architecture with its initial weights, ready for its first step."""
        return Learner(
            self.runtime, entrant, self.config, self.data.outputs, self.steps, self.steps_per_epoch, self.augment
        )

    def flops_per_epoch(self, entrant: Entrant) -> int | None:
        """Of forward and backward over the training split."""
        return None if entrant.flops is None else entrant.flops * FORWARDS_A_STEP * len(self.data.train)


def make_plan(config: Config, models: Sequence[int] | None = None, data: DataSet | None = None) -> Plan:
    """Load the data, fit the architectures (or only some of them, by position) and try every name and keyword.

    ``data`` spares loading what another run of the same data has loaded. Raises ModelcmpError: what is wrong is said
    before anything is trained or written.
    """
    for i, tracker in enumerate(config.trackers):
        with at("trackers", i):
            exporter(tracker.name, **tracker.keywords)
    runtime = _runtime(config)
    with at("data", keywords=("kwargs",)):
        data = data or open_data(config)
        _check_samples(data)
    with at("augment"):
        augment = augmentation([{"name": a.name, **a.keywords} for a in config.augment])
    plan = Plan(config, runtime, data, (), augment)
    _try_out(plan)
    chosen = range(len(config.models)) if models is None else models
    return replace(plan, entrants=tuple(_entrant(plan, i) for i in chosen))


def _runtime(config: Config) -> Runtime:
    """Where it runs; what is wrong begins with the setting that is."""
    try:
        return Runtime(config)
    except BadInput as error:
        with at("precision" if str(error).startswith("precision") else "device"):
            raise


def _entrant(plan: Plan, position: int) -> Entrant:
    config = plan.config
    with at("models", position, keywords=("kwargs",)):
        entrant = make_entrant(config.models[position], config.labels[position], plan.data)
    with at("optimizer"):
        # no memory is taken: all of a parameter is one zero
        zero = torch.zeros((), device=plan.runtime.device)
        weights = [nn.Parameter(zero.to(dtype).expand(shape)) for shape, dtype in entrant.weights]
        try:
            make_optimizer(config.optimizer, weights)
        except BadInput as error:
            raise BadInput(f"{entrant.label}: {error}") from error
    return entrant


def open_data(config: Config) -> DataSet:
    """The data set of a config; raises ModelcmpError."""
    choice = config.data
    root = Path(choice.root) if choice.root is not None else None
    return load_data(choice.name, root, choice.split_seed, **choice.kwargs)


def _check_samples(data: DataSet) -> None:
    """Read one sample of each split that is open, and compare it with what the data set says; raises ModelcmpError."""
    opened: tuple[SplitName, ...] = ("train", "val")
    for name in opened:
        x, _ = data.split(name).batch(torch.zeros(1, dtype=torch.int64))
        if tuple(x.shape) != (1, *data.shape):
            found = shape_text(tuple(x.shape[1:]))
            raise BadInput(f"{data.name}: its {name} split has samples of {found}, not {shape_text(data.shape)}")


def _try_out(plan: Plan) -> None:
    """Make the loss, the optimizer and the schedule once, and change a batch; raises UnknownName or BadInput."""
    with at("loss"):
        make_loss(plan.config.loss, plan.data.outputs)
    with at("optimizer"):
        optimizer = make_optimizer(plan.config.optimizer, [nn.Parameter(torch.zeros(2, 2))])
    with at("scheduler"):
        try_scheduler(plan.config.scheduler, optimizer, plan.steps, plan.steps_per_epoch)
    if plan.augment is not None:
        with at("augment"):
            plan.augment(torch.zeros(2, *plan.data.shape), torch.Generator())


def settings_of(plan: Plan) -> dict[str, Any]:
    """What is to be the same for all models, as plain data: the fairness table compares it."""
    c, data = plan.config, plan.data
    return {
        "data": c.data.name,
        "data_kwargs": ", ".join(f"{k}={v}" for k, v in c.data.kwargs.items()) or "none",
        **{f"data_digest_{name}": digest[:16] for name, digest in data.digests.items()},
        "split_seed": c.data.split_seed,
        "train_examples": len(data.train),
        "val_examples": len(data.val),
        "augment": _listed([{"name": a.name, **a.keywords} for a in c.augment]) or "none",
        "optimizer": _listed([{"name": c.optimizer.name, **c.optimizer.keywords}]),
        "lr": c.optimizer.lr,
        "scheduler": _listed([c.scheduler.model_dump(exclude_defaults=True)]) if c.scheduler else "none",
        "loss": _listed([{"name": c.loss.name, **c.loss.keywords}]),
        "clip_norm": c.clip_norm or "none",
        "batch_size": c.batch_size,
        "max_epochs": c.epochs,
        "max_steps": c.max_steps,
        "max_minutes": c.max_minutes,
        "early_stopping": _patience(c.early_stopping),
        "precision": c.precision,
        "device": plan.runtime.title,
        "processes": plan.runtime.share.of,
        "threads": torch.get_num_threads(),
        "seed": c.seed,
        "torch": torch.__version__,
    }


def _patience(rule: EarlyStopping | None) -> str:
    """When training is stopped early, in words."""
    if rule is None:
        return "none"
    least = f", min_delta {rule.min_delta:g}" if rule.min_delta else ""
    return f"{rule.metric}, patience {rule.patience}{least}"


def _listed(things: Sequence[dict[str, Any]]) -> str:
    """Named things with their keywords, in one line.

    >>> _listed([{"name": "flip"}, {"name": "crop", "padding": 4}])
    'flip, crop(padding=4)'
    """
    return ", ".join(
        t["name"] + (f"({', '.join(f'{k}={v}' for k, v in t.items() if k != 'name')})" if len(t) > 1 else "")
        for t in things
    )
