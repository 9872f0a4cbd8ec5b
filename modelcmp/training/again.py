"""Evaluating runs again, from the predictions that they kept or from their weights: nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import BadInput
from .data.base import SplitName
from .finding import find_runs, load_runs
from .judging import judge, judge_again
from .one import best_model
from .plan import Plan, make_plan
from .results import RunResult, load_result, save_result
from .runtime import configured
from .workspace import Workspace, check_unchanged

__all__ = ["evaluate_again", "find_runs", "load_runs"]

SPLITS: tuple[SplitName, ...] = ("val", "test")


def evaluate_again(
    run: Path, *, from_weights: bool = False, tell: Callable[[str], Any] = lambda _words: None
) -> RunResult:
    """Evaluate a run's predictions again and keep the figures in its result; raises ModelcmpError.

    Where predictions are missing, or ``from_weights`` asks for it, the best weights make them anew.
    """
    result = load_result(run)
    if result.best_epoch is None:
        raise BadInput(f"{run} has no weights to evaluate: its training {result.status} ({result.message})")
    # What is not finished, or was tried in a search, does not see the test split.
    tested = result.status == "finished" and Workspace(run.absolute().parent).tests
    splits = SPLITS if tested else SPLITS[:1]
    kept = {split: None if from_weights else judge_again(run, split) for split in splits}
    if None in kept.values():
        tell(f"predicting with the weights of {result.name}")
        kept |= _from_weights(run, result.name, [split for split, found in kept.items() if found is None])
    result = replace(result, val=kept["val"], test=kept.get("test"))
    save_result(result, run)
    return result


def _from_weights(run: Path, label: str, splits: Sequence[SplitName]) -> dict[SplitName, dict[str, Any] | None]:
    workspace = Workspace(run.absolute().parent)
    config = workspace.config()
    if label not in config.labels:
        raise BadInput(f"{workspace.path} has no model {label!r} in its config: {', '.join(config.labels)}")
    with configured(config):
        plan: Plan = make_plan(config, [config.labels.index(label)])
        check_unchanged(workspace, config, plan.data.digests)
        model = best_model(plan, plan.entrants[0], workspace)
        return {s: judge(model, plan.data, s, plan.runtime, config.batch_size, run) for s in splits}
