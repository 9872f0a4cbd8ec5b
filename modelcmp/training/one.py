"""One architecture of a comparison, from its first step to its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import ModelcmpError, OutputError, first_line, own_words
from ..tensor_files import load_tensors
from .checkpoint import FILE as CHECKPOINT
from .checkpoint import load_checkpoint
from .entrants import Entrant
from .judging import judge, latencies_ms
from .learner import Learner
from .loop import Loop, Places
from .names import CONFIG
from .plan import Plan, settings_of
from .progress import Listener, Progress
from .recorder import Recorder
from .results import RunResult, Status, save_result
from .stopping import Diverged, Interrupted, Pruned, StopSign
from .workspace import Workspace

#: What torch says on CPUs, and in its own wrapping of CUDA's errors.
_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")


def train_one(plan: Plan, entrant: Entrant, workspace: Workspace, listener: Listener, sign: StopSign) -> RunResult:
    """Train a model from its checkpoint or from the start, evaluate it on validation and keep the result.

    A model that diverges, does not fit into memory or raises has a result that says so. Raises Interrupted after the
    step at hand is saved, OutputError where nothing more can be written.
    """
    places = _places(workspace, entrant.label)
    settings = settings_of(plan) | {"kwargs": entrant.kwargs or "none"}
    recorder = _recorder(plan, entrant, workspace, settings)
    progress, learner, loop = Progress(), None, None
    try:
        learner = plan.learner(entrant)
        progress = _restored(plan, learner, places.checkpoint)
        recorder.rewind(progress.rows)
        recorder.log(f"training {entrant.label} from step {progress.step} of {plan.steps}")
        listener.started(entrant.label, progress.step)
        loop = Loop(entrant.label, learner, plan.config, plan.data, progress, recorder, places, listener, sign)
        loop.run()
        result = _finished(plan, entrant, workspace, progress, loop.ending, settings)
    except Interrupted as stop:
        result = _result(plan, entrant, progress, "stopped", str(stop), settings)
        _keep(plan, _with_dumps(result, loop), workspace, recorder)
        raise
    except OutputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the model's own code raises is this model's failure
        if plan.runtime.share.of > 1 and not isinstance(error, Diverged | Pruned):
            raise  # the other processes wait for this one: only ending them all helps
        result = _result(plan, entrant, progress, *_blame(error, plan), settings)
    finally:
        if learner is not None:
            plan.runtime.accelerator.free_memory()
    result = _with_dumps(result, loop)
    _keep(plan, result, workspace, recorder)
    for problem in recorder.problems:
        listener.warned(f"{entrant.label}: {problem}")
    listener.ended(result)
    return result


def test_one(plan: Plan, entrant: Entrant, workspace: Workspace, result: RunResult) -> RunResult:
    """Open the test split for a model whose epoch was selected, and add what its best weights reach on it.

    Where that fails, the result says so and has no figures of the test split. Raises OutputError.
    """
    try:
        model = best_model(plan, entrant, workspace)
        found = judge(model, plan.data, "test", plan.runtime, plan.config.batch_size, workspace.run(entrant.label))
    except OutputError:
        raise
    except (Exception, SystemExit) as error:
        if plan.runtime.share.of > 1:
            raise
        return replace(result, message=f"testing failed: {first_line(error)}")
    settings = {**result.settings, "data_digest_test": plan.data.digests.get("test", "")[:16]}
    result = replace(result, test=found, settings=settings)
    if plan.runtime.main:
        save_result(result, workspace.run(entrant.label))
    return result


def best_model(plan: Plan, entrant: Entrant, workspace: Workspace) -> nn.Module:
    """The model with its best weights, in this process alone; raises ModelcmpError."""
    with torch.random.fork_rng(devices=[]):
        model = entrant.build()
    path = workspace.weights(entrant.label)
    state = plan.runtime.told(load_tensors(path) if plan.runtime.main else None)
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ModelcmpError(f"{path} does not hold the weights of {entrant.spec}: {first_line(error)}") from error
    return model.to(plan.runtime.device)


def _places(workspace: Workspace, label: str) -> Places:
    folder = workspace.run(label)
    return Places(folder / CHECKPOINT, workspace.weights(label), folder)


def _recorder(plan: Plan, entrant: Entrant, workspace: Workspace, settings: Mapping[str, Any]) -> Recorder:
    if not plan.runtime.main:
        return Recorder(None)
    return Recorder.open(workspace.path, entrant.label, entrant.spec, plan.config, settings)


def _restored(plan: Plan, learner: Learner, path: Path) -> Progress:
    """Where to go on: what the checkpoint says, or the beginning."""
    there = plan.runtime.told(path.is_file())
    return load_checkpoint(learner, path) if there else Progress()


def _finished(
    plan: Plan, entrant: Entrant, workspace: Workspace, progress: Progress, ending: str, settings: Mapping[str, Any]
) -> RunResult:
    """The result of a model that used up its budget, with its best epoch on validation."""
    model = best_model(plan, entrant, workspace)
    found = judge(model, plan.data, "val", plan.runtime, plan.config.batch_size, workspace.run(entrant.label))
    result = _result(plan, entrant, progress, "finished", ending, settings)
    if not plan.runtime.main:
        return result
    size = min(plan.config.batch_size, len(plan.data.val))
    return replace(result, val=found, latency_ms=latencies_ms(model, plan.data, plan.runtime, size))


def _result(
    plan: Plan, entrant: Entrant, progress: Progress, status: Status, message: str, settings: Mapping[str, Any]
) -> RunResult:
    p = progress
    return RunResult(
        name=entrant.label,
        model=entrant.spec,
        status=status,
        message=message,
        params=entrant.params,
        trainable_params=entrant.trainable_params,
        flops_per_epoch=plan.flops_per_epoch(entrant),
        epochs=len(p.history) if p.batch == 0 else p.epoch,
        steps=p.step,
        best_epoch=p.best_epoch,
        selected_by=plan.config.select_by,
        train_seconds=p.seconds,
        samples_per_second=p.samples / p.seconds if p.seconds else None,
        peak_memory_bytes=p.peak_memory_bytes,
        classes=plan.data.classes,
        binary=plan.data.binary,
        history=tuple(p.history),
        settings={**settings, "order_digest": p.order_digest[:16]},
    )


def _with_dumps(result: RunResult, loop: Loop | None) -> RunResult:
    """The result with what went wrong with its dumps."""
    return result if loop is None else replace(result, dump_error=loop.dumping.error)


def _keep(plan: Plan, result: RunResult, workspace: Workspace, recorder: Recorder) -> None:
    """Write the result, and note it in the session."""
    if not plan.runtime.main:
        return
    summary = {"status": result.status, "best_epoch": result.best_epoch, "epochs": result.epochs, "steps": result.steps}
    recorder.results({"summary": summary | {"params": result.params, "train_seconds": result.train_seconds}})
    if result.status == "finished":
        recorder.upload(workspace.path / CONFIG, "/config", "the config of the whole comparison")
        recorder.upload(workspace.weights(result.name), "/models", f"weights of epoch {result.best_epoch}, the best")
    level = "info" if result.status in ("finished", "pruned") else "error"
    recorder.log(f"{result.status}: {result.message}" if result.message else result.status, level)
    save_result(result, workspace.run(result.name))
    recorder.close()


def _blame(error: BaseException, plan: Plan) -> tuple[Status, str]:
    """Status and message of an error in training."""
    if isinstance(error, Diverged | Pruned):
        return ("diverged" if isinstance(error, Diverged) else "pruned"), str(error)
    words = first_line(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(hint in words for hint in _NO_MEMORY):
        size = plan.config.batch_size
        return "failed", f"ran out of memory at batch size {size}: try --batch-size {max(1, size // 2)} ({words})"
    return "failed", own_words(error)
