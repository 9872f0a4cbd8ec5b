"""Whether training is repeatable: the first steps twice, compared bit by bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import BadInput
from .batches import batch_count, batches, epoch_order
from .checkpoint import learner_state
from .config import Config
from .entrants import Entrant
from .learner import Learner
from .names import CONFIG, folder_name
from .plan import Plan, make_plan
from .runtime import configured
from .workspace import Workspace

STEPS = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether two trainings were bitwise equal for some steps; else the first step and tensor that differ."""

    name: str
    steps: int
    step: int | None = None  # 0: the initial weights
    tensor: str = ""
    difference: float | None = None  # the largest, where it is a number

    @property
    def equal(self) -> bool:
        """Whether nothing differed."""
        return self.step is None


def verify(
    place: Path, steps: int = STEPS, progress: Callable[[str, int], None] = lambda _name, _done: None
) -> list[Verdict]:
    """Train the first steps of each model of a run's folder, a workspace or a config file twice.

    ``progress`` is told the model's name and how many steps are done of ``2 * steps`` for each. Raises ModelcmpError.
    """
    config, chosen = _what(place)
    with configured(config):
        plan = make_plan(config, chosen)
        return [_verify(plan, entrant, steps, progress) for entrant in plan.entrants]


def _what(place: Path) -> tuple[Config, list[int] | None]:
    """The config to verify, and which of its models; None for all."""
    from .config_file import load_config

    if place.is_file():
        return load_config(place), None
    if (place / CONFIG).is_file():
        return Workspace(place).config(), None
    if (place.absolute().parent / CONFIG).is_file():
        config = Workspace(place.absolute().parent).config()
        names = [folder_name(label) for label in config.labels]
        if place.absolute().name in names:
            return config, [names.index(place.absolute().name)]
    raise BadInput(
        f"{place} is no run, workspace or config file: name a folder comparison-MODEL of `compare-models train`"
    )


def _verify(plan: Plan, entrant: Entrant, steps: int, progress: Callable[[str, int], None]) -> Verdict:
    steps = min(steps, plan.steps)
    first: list[dict[str, str]] = []
    for done, (state, _) in enumerate(_states(plan, entrant, steps)):
        first.append(state)
        progress(entrant.label, done)
    for step, (state, tensors) in enumerate(_states(plan, entrant, steps)):
        progress(entrant.label, len(first) - 1 + step)
        for name, digest in state.items():
            if first[step].get(name) != digest:
                return Verdict(entrant.label, steps, step, name, _difference(plan, entrant, step, name, tensors[name]))
    return Verdict(entrant.label, steps)


def _states(plan: Plan, entrant: Entrant, steps: int) -> Iterator[tuple[dict[str, str], dict[str, Tensor]]]:
    """Digest and content of every tensor before training and after each step, in causal order."""
    learner = plan.learner(entrant)
    try:
        yield _digested(_tensors(learner, {}))
        for inputs, loss in _steps(plan, learner, steps):
            yield _digested(_tensors(learner, {"batch": inputs, "loss": loss}))
    finally:
        plan.runtime.accelerator.free_memory()


def _steps(plan: Plan, learner: Learner, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Train; inputs and loss of each step."""
    c, count, done = plan.config, len(plan.data.train), 0
    for epoch in range(1, c.epochs + 1):
        learner.model.train()
        order, last = epoch_order(count, c.seed, epoch), batch_count(count, c.batch_size)
        feed = batches(plan.data.train, order, c.batch_size, plan.runtime.share, 0, last, c.workers)
        for number, batch in enumerate(feed):
            yield batch.inputs, learner.step(batch, epoch, number).loss
            done += 1
            if done == steps:
                return
        learner.end_epoch()


def _tensors(learner: Learner, seen: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the step saw, then the optimizer's state, then the weights."""
    state = learner_state(learner)
    names = [n for n, p in learner.plain.named_parameters() if p.requires_grad]
    moments = {
        f"optimizer {key} of {names[index] if index < len(names) else index}": value
        for index, entry in state["optimizer"]["state"].items()
        for key, value in entry.items()
        if isinstance(value, Tensor)
    }
    return seen | moments | {name: value for name, value in state["model"].items() if isinstance(value, Tensor)}


def _digested(tensors: dict[str, Tensor]) -> tuple[dict[str, str], dict[str, Tensor]]:
    flat = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    return {n: hashlib.sha256(t.reshape(-1).view(torch.uint8).numpy().data).hexdigest() for n, t in flat.items()}, flat


def _difference(plan: Plan, entrant: Entrant, step: int, name: str, second: Tensor) -> float | None:
    """How far a tensor of the second training lies from that of another one; None if that one agrees with it."""
    for number, (_, tensors) in enumerate(_states(plan, entrant, step)):
        if number == step:
            gap = (tensors[name].double() - second.double()).abs().max()
            return float(gap) or None
    return None
