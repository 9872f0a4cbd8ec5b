"""All that a model's training needs to go on bitwise as if it had never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ModelcmpError, first_line
from ..tensor_files import load_tensors, save_tensors
from .learner import Learner
from .progress import Progress
from .runtime import random_state, restore_random_state

FILE = "checkpoint.pt"
_SCHEMA = 1


def save_checkpoint(learner: Learner, progress: Progress, path: Path) -> None:
    """Write model, optimizer, schedule, scaler, random states of all processes, and progress; by the main process."""
    states = learner.runtime.gathered(random_state())
    data = {
        "schema": _SCHEMA,
        "progress": progress.plain(),
        **learner_state(learner),
        "random": states,
    }
    if learner.runtime.main:
        save_tensors(data, path)


def load_checkpoint(learner: Learner, path: Path) -> Progress:
    """Put a learner back to where a checkpoint was made; raises ModelcmpError."""
    try:
        data = learner.runtime.told(load_tensors(path) if learner.runtime.main else None)
    except ModelcmpError as error:
        raise ModelcmpError(f"{error}; delete it to train this model from the start") from error
    if not isinstance(data, dict) or data.get("schema") != _SCHEMA:
        raise ModelcmpError(f"{path} is not a checkpoint that this version of modelcmp understands")
    try:
        set_learner_state(learner, data)
        states = data["random"]
        if len(states) != learner.runtime.share.of:
            raise ModelcmpError(
                f"{path} was made by {len(states)} processes and is to go on in {learner.runtime.share.of}: "
                "start as many as before"
            )
        restore_random_state(states[learner.runtime.share.rank])
        return Progress(**data["progress"])
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise ModelcmpError(f"{path} does not fit the model that is to go on: {first_line(error)}") from error


def learner_state(learner: Learner) -> dict[str, Any]:
    """Model, optimizer, schedule and scaler as state dicts, whole also where processes hold parts."""
    scaler = learner.runtime.accelerator.scaler
    model, optimizer = model_state(learner), optimizer_state(learner)
    return {
        "model": model,
        "optimizer": optimizer,
        "scheduler": learner.scheduler.state_dict() if learner.scheduler is not None else None,
        "scaler": scaler.state_dict() if scaler is not None else None,
    }


def model_state(learner: Learner) -> dict[str, Any]:
    """The model's state dict; on the CPU where processes hold parts of it."""
    if not learner.runtime.sharded:
        return learner.plain.state_dict()
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    return dict(get_model_state_dict(learner.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)))


def set_model_state(learner: Learner, state: dict[str, Any]) -> None:
    """Load a state dict as :func:`model_state` gives it."""
    if not learner.runtime.sharded:
        learner.plain.load_state_dict(state)
        return
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    set_model_state_dict(learner.model, state, options=StateDictOptions(full_state_dict=True))


def set_learner_state(learner: Learner, data: dict[str, Any]) -> None:
    """Load what :func:`learner_state` gave."""
    set_model_state(learner, data["model"])
    if learner.runtime.sharded:
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

        options = StateDictOptions(full_state_dict=True)
        set_optimizer_state_dict(learner.model, learner.optimizer.optimizer, data["optimizer"], options=options)
    else:
        learner.optimizer.load_state_dict(data["optimizer"])
    if learner.scheduler is not None:
        learner.scheduler.load_state_dict(data["scheduler"])
    if learner.runtime.accelerator.scaler is not None:
        learner.runtime.accelerator.scaler.load_state_dict(data["scaler"])


def optimizer_state(learner: Learner) -> Any:
    """The optimizer's state dict; by names instead of numbers where processes hold parts of it."""
    if not learner.runtime.sharded:
        return learner.optimizer.state_dict()
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return get_optimizer_state_dict(learner.model, learner.optimizer.optimizer, options=options)
