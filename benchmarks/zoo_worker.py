"""The zoo in one process: ``python zoo_worker.py flop-counter|phases [MODEL...]``, one JSON object at the end.

``flop-counter`` is the plain loop that people write: timm.create_model on meta, torch's FlopCounterMode
around one forward pass. ``phases`` tells where modelcmp's own time goes.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any


def flop_counter(names: list[str]) -> dict[str, Any]:
    """FlopCounterMode over timm on the meta device; seconds without imports, and why models failed."""
    import timm
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(1)
    names = names or timm.list_models()
    failed: Counter[str] = Counter()
    build_s = 0.0
    start = time.perf_counter()
    for name in names:
        began = time.perf_counter()
        try:
            with torch.device("meta"):
                model = timm.create_model(name, pretrained=False).eval()
                image = torch.empty(1, *model.pretrained_cfg.get("input_size", (3, 224, 224)))
            build_s += time.perf_counter() - began
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                model(image)
            counter.get_total_flops()
        except Exception as error:
            failed[f"{type(error).__name__}: {str(error).splitlines()[0][:60] if str(error) else ''}"] += 1
    return {"models": len(names), "seconds": time.perf_counter() - start, "build_s": build_s, "failed": dict(failed)}


def phases(names: list[str]) -> dict[str, Any]:
    """Where modelcmp's time goes over the zoo, in one process and without its cache."""
    start = time.perf_counter()
    import timm
    import torchvision  # noqa: F401

    from modelcmp.profiling import many, profile
    from modelcmp.sources import Request, find_names
    from modelcmp.store.entry import as_text

    imported = time.perf_counter() - start
    spent: Counter[str] = Counter()

    def timed(phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[phase] += time.perf_counter() - began

        return measured

    profile._built = timed("construction", profile._built)
    profile._traced = timed("traced forward", profile._traced)
    profile.metrics.evaluate = timed("metrics", profile.metrics.evaluate)
    many.entry_of = timed("other conventions", many.entry_of)
    specs = names or [f"{source}:{name}" for source, name in find_names("*")]
    start = time.perf_counter()
    failed = 0
    for spec in specs:
        try:
            entry = many.run((0, many.Work(spec, Request())))[1]
            began = time.perf_counter()
            as_text(entry)
            spent["writing"] += time.perf_counter() - began
        except Exception:
            failed += 1
    total = time.perf_counter() - start
    spent["the rest"] = total - sum(spent.values())
    return {"models": len(specs), "seconds": total, "import_s": imported, "failed": failed, "phases": dict(spent),
            "timm": timm.__version__}  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps({"flop-counter": flop_counter, "phases": phases}[sys.argv[1]](sys.argv[2:])))
