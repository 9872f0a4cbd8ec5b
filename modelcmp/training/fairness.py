"""What was equal between models and what was not: a comparison is only as fair as its settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import units
from .results import RunResult
from .summary import unique_names

#: What settings are called, in the order of the table; any other key is its own name and comes after them.
LABELS = {
    "data": "data",
    "data_kwargs": "keywords of the data",
    "data_digest_train": "training split",
    "data_digest_val": "validation split",
    "data_digest_test": "test split",
    "split_seed": "seed of the splits",
    "train_examples": "training examples",
    "val_examples": "validation examples",
    "order_digest": "order of batches",
    "kwargs": "keywords of the model",
    "augment": "augmentation",
    "optimizer": "optimizer",
    "lr": "learning rate",
    "scheduler": "schedule",
    "loss": "loss",
    "clip_norm": "largest gradient norm",
    "batch_size": "batch size",
    "max_epochs": "epochs at most",
    "max_steps": "steps at most",
    "max_minutes": "minutes at most",
    "early_stopping": "early stopping",
    "precision": "precision",
    "device": "device",
    "processes": "processes",
    "threads": "threads",
    "seed": "seed",
    "torch": "torch",
}
#: What differs because the models do.
BY_NATURE = ("model", "kwargs", "params", "trainable_params", "flops_per_epoch")
_FIGURES = {"params": "parameters", "trainable_params": "trainable parameters", "flops_per_epoch": "FLOPs per epoch"}
_TRAINED = {"epochs": "epochs trained", "steps": "steps trained"}
_DIGEST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class FairnessRow:
    """One setting of all models: ``values`` in the order of the results, None where it was not recorded."""

    key: str
    label: str
    names: tuple[str, ...]
    values: tuple[Any, ...]
    by_nature: bool = False  # it differs because the models do

    @property
    def equal(self) -> bool:
        """Whether all models have the same."""
        return all(_same(v, self.values[0]) for v in self.values)

    @property
    def unfair(self) -> bool:
        """Whether it differs and should not."""
        return not self.equal and not self.by_nature

    def texts(self) -> tuple[str, ...]:
        """The values as people read them."""
        return tuple(_text(self.key, v) for v in self.values)


def _same(a: Any, b: Any) -> bool:
    both_nan = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
    return bool(a == b) or both_nan


def _text(key: str, value: Any) -> str:
    """A digest is shortened, a count of operations scaled; None is "?"."""
    if value is None:
        return units.UNKNOWN
    if "digest" in key:
        return str(value)[:_DIGEST_SHOWN]
    if key in _FIGURES:
        return units.scaled(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def fairness(results: Sequence[RunResult]) -> list[FairnessRow]:
    """A row for each setting that any model recorded, what was trained, and what differs by nature."""
    names = tuple(unique_names(results))
    recorded = {key for r in results for key in r.settings}
    keys = [*(k for k in LABELS if k in recorded), *(k for k in _in_order(results) if k not in LABELS)]
    rows = [_row(k, LABELS.get(k, k.replace("_", " ")), names, [r.settings.get(k) for r in results]) for k in keys]
    rows += [_row(f"trained_{k}", label, names, [getattr(r, k) for r in results]) for k, label in _TRAINED.items()]
    rows.append(_row("model", "model", names, [r.model for r in results]))
    rows += [_row(k, label, names, [getattr(r, k) for r in results]) for k, label in _FIGURES.items()]
    return [row for row in rows if any(v is not None for v in row.values)]


def _in_order(results: Sequence[RunResult]) -> list[str]:
    return list(dict.fromkeys(key for r in results for key in r.settings))


def _row(key: str, label: str, names: tuple[str, ...], values: Sequence[Any]) -> FairnessRow:
    return FairnessRow(key, label, names, tuple(values), key in BY_NATURE)


def unequal(results: Sequence[RunResult]) -> tuple[str, ...]:
    """A sentence for each setting that differs and should not: ``vit trained 380 steps, cnn 400``."""
    return tuple(_sentence(row) for row in fairness(results) if row.unfair)


def _sentence(row: FairnessRow) -> str:
    """Models of one value together, the fewest first: those are the exceptions."""
    texts = row.texts()
    groups = {text: [n for n, t in zip(row.names, texts, strict=True) if t == text] for text in texts}
    if len(groups) == 1:  # they differ past the digits shown
        groups = {str(v): [n for n, w in zip(row.names, row.values, strict=True) if _same(v, w)] for v in row.values}
    ordered = sorted(groups.items(), key=lambda group: len(group[1]))
    if row.key.startswith("trained_"):
        (value, first), *others = ordered
        return f"{_and(first)} trained {value} {row.key[8:]}, " + ", ".join(f"{_and(n)} {v}" for v, n in others)
    return f"{row.label} differs: " + ", ".join(f"{value} ({_and(names)})" for value, names in ordered)


def _and(names: Sequence[str], most: int = 4) -> str:
    """A list in words.

    >>> _and(["a", "b", "c"]), _and(["a"]), _and(list("abcdef"))
    ('a, b and c', 'a', 'a, b, c and 3 more')
    """
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
