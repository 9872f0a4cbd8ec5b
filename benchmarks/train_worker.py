"""Training loops in turn, in a process of its own: ``python train_worker.py '{"threads": 1, "cases": [...], ...}'``.

Writes one JSON object a line: ``{"missing": [...]}`` first, then for each case one that says how far the losses of
the loops lie apart, and one for each round with the steps a second of each loop.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import torch
from train_loops import LOOPS, Work, make_work

from modelcmp.errors import ModelcmpError

#: Steps over which losses are compared, and how far apart they may be.
CHECKED, CLOSE = 5, 1e-6
#: Steps of the shortest round.
_FEWEST = 8


def main(order: dict[str, Any]) -> int:
    """Measure all cases, until each has had its seconds."""
    out = _own_stdout()
    torch.set_num_threads(order["threads"])
    _say(out, missing=[name for name, loop in LOOPS.items() if not loop.installed])
    for case in order["cases"]:
        with tempfile.TemporaryDirectory() as folder:
            try:
                work = make_work(case["model"], case["data"], order["batch_size"], Path(folder))
            except ModelcmpError as error:
                _say(out, case=case["label"], error=str(error))
                continue
            _measure(case["label"], work, order, out)
    return 0


def _measure(label: str, work: Work, order: dict[str, Any], out: TextIO) -> None:
    """Check that all loops do the same, then run them in turn."""
    apart = _apart(replace(work, steps=min(CHECKED, work.steps)))
    _say(out, case=label, apart=apart, epoch=work.steps)
    if max(apart.values()) > CLOSE:
        sys.exit(f"{label}: the loops do not do the same work: their losses differ by {apart}")
    work = _sized(work, order["round_s"])
    start = time.perf_counter()
    rounds = 0
    while rounds < order["least_rounds"] or time.perf_counter() - start < order["seconds"]:
        _say(out, case=label, steps=work.steps * work.epochs, rates=_round(work, rounds % 2 == 1))
        rounds += 1


def _apart(work: Work) -> dict[str, float]:
    """How far the losses of each loop lie from those by hand, over the first steps."""
    losses = {name: loop.run(work).losses for name, loop in LOOPS.items() if loop.installed}
    return {name: max(abs(a - b) for a, b in zip(found, losses["bare"], strict=True)) for name, found in losses.items()}


def _sized(work: Work, seconds: float) -> Work:
    """Whole epochs that take the loop by hand some time, or part of one."""
    wanted = seconds * LOOPS["bare"].run(replace(work, steps=min(2 * CHECKED, work.steps))).steps_per_second
    if wanted < work.steps:
        return replace(work, steps=min(work.steps, max(_FEWEST, round(wanted))))
    return replace(work, epochs=round(wanted / work.steps))


def _round(work: Work, backwards: bool) -> dict[str, float]:
    """Steps a second of each loop, one after the other; every other round backwards, so that no place is better."""
    rates = {}
    for name in reversed(LOOPS) if backwards else LOOPS:
        if LOOPS[name].installed:
            gc.collect()
            rates[name] = LOOPS[name].run(work).steps_per_second
    return rates


def _own_stdout() -> TextIO:
    """Keep stdout for ourselves: whatever a loop prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


def _say(out: TextIO, **told: Any) -> None:
    print(json.dumps(told), file=out, flush=True)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
