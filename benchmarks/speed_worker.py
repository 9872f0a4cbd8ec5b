"""One tool over all models, in a process of its own: ``python speed_worker.py TOOL [MODEL...]``.

Writes one JSON object a line: ``{"plan": n}`` and ``{"import_s": s}`` or ``{"missing": why}`` first,
then one for each model. Whatever a tool prints itself is dropped.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import warnings
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any, TextIO

from speed_environment import without_folders
from speed_tools import TOOLS, Tool


def absent(tool: Tool) -> str | None:
    """Why a tool cannot even be tried, known without importing anything."""
    return None if find_spec(tool.package) else "not installed"


def main(name: str, models: list[str]) -> None:
    """Measure every model with one tool."""
    out = _own_stdout()
    tool = TOOLS[name]
    if reason := absent(tool):
        return _say(out, missing=reason)
    import torch
    import torchvision

    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    start = time.perf_counter()
    try:
        measure = tool.prepare()
    except Exception as error:
        return _say(out, missing=f"fails on import: {_words(error)}")
    imported = time.perf_counter() - start
    models = models or torchvision.models.list_models(module=torchvision.models)
    _say(out, import_s=imported, plan=len(models))
    for model in models:
        _say(out, model=model, **_one(measure, model))
        gc.collect()
    return None


def _one(measure: Any, model: str) -> dict[str, Any]:
    """A model's figures, or the tool's own error."""
    try:
        size, gmacs = _published(model)
        return {"published_gmacs": gmacs, **asdict(measure(model, size))}
    except Exception as error:
        return {"error": _words(error)}


def _published(model: str) -> tuple[int, float]:
    """Crop size and GMACs of the model's first weights."""
    import torchvision

    weights = next(iter(torchvision.models.get_model_weights(model)))
    return weights.transforms.keywords["crop_size"], weights.meta["_ops"]


def _words(error: Exception) -> str:
    """An error in one line that names no folder of this machine."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = without_folders(lines[0] if lines else "")
    return f"{type(error).__name__}: {text[:120]}".rstrip(": ")


def _own_stdout() -> TextIO:
    """Keep standard output for results alone: some tools print there, also from C."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return out


def _say(out: TextIO, **row: Any) -> None:
    print(json.dumps(row), file=out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
