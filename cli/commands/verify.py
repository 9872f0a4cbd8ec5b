"""``compare-models verify RUN``: is training repeatable, bit by bit?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import screen

if TYPE_CHECKING:
    from modelcmp.training.verify import Verdict


def verify(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder, a workspace or a config file.", show_default=False)
    ],
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Steps to train, twice.")] = 20,
) -> int:
    """Train the first steps twice, and say whether they are bitwise equal.

    Where they are not, the first step and the first tensor that differ are
    named, in causal order: batch, loss, optimizer, weights. Exit code 1 then.

    \b
    Examples:
      compare-models verify runs/spots/comparison-resnet
      compare-models verify run.yaml --steps 50
    """
    from modelcmp.training.verify import verify as twice

    with screen.progress(1) as progress:
        verdicts = twice(run, steps, progress)
    for verdict in verdicts:
        screen.show([_in_words(verdict)], None)
    return 0 if all(v.equal for v in verdicts) else 1


def _in_words(v: Verdict) -> str:
    if v.equal:
        return f"{v.name}: bitwise equal over {v.steps} steps, trained twice"
    when = "before the first step" if v.step == 0 else f"at step {v.step}"
    size = f", by at most {v.difference:.3g}" if v.difference is not None else ""
    return f"{v.name}: differs {when}, first in {v.tensor}{size}"
