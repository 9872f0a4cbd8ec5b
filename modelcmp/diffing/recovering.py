"""Gradients out of what an optimizer remembers, where the dumps do not hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..dumps.dump import Dump
from ..dumps.tensor import TensorRef

#: Optimizers whose exp_avg is m_t = beta1 m_(t-1) + (1 - beta1) g_t.
_ADAMS = ("", "Adam", "AdamW", "NAdam", "RAdam", "Adamax")
#: Optimizers whose momentum_buffer is v_t = momentum v_(t-1) + (1 - dampening) g_t, and g_1 at the first step.
_MOMENTUM = ("", "SGD")


@dataclass(frozen=True, slots=True)
class Moment:
    """A gradient as (now - keep * before) / take; ``before`` is None where it is zero."""

    now: TensorRef
    before: TensorRef | None
    keep: float
    take: float

    @property
    def nbytes(self) -> int:
        """Bytes to read."""
        return self.now.nbytes * (2 if self.before else 1)


def moment(now: Dump, before: Dump | None, name: str) -> Moment | None:
    """The gradient of a parameter (an L2 penalty included), if this dump and the one a step before tell it."""
    settings = now.settings.get(name)
    first = _is_first(now, before)
    if settings is None or settings.get("maximize") or not (first or _follows(now, before)):
        return None
    adam, momentum = now.optimizer_state.get(f"{name}/exp_avg"), now.optimizer_state.get(f"{name}/momentum_buffer")
    if adam is not None and (now.optimizer or "") in _ADAMS and "betas" in settings:
        return _moment(adam, before, f"{name}/exp_avg", first, _first_beta(settings), 1 - _first_beta(settings))
    if momentum is not None and (now.optimizer or "") in _MOMENTUM and settings.get("momentum"):
        take = 1.0 if first else 1 - float(settings.get("dampening", 0))
        return _moment(momentum, before, f"{name}/momentum_buffer", first, float(settings["momentum"]), take)
    return None


def _moment(now: TensorRef, before: Dump | None, key: str, first: bool, keep: float, take: float) -> Moment | None:
    past = before.optimizer_state.get(key) if before is not None else None
    if take <= 0 or (past is None and not first):
        return None
    return Moment(now, None if first else past, keep, take)


def _first_beta(settings: Mapping[str, Any]) -> float:
    return float(settings["betas"][0])


def _is_first(now: Dump, before: Dump | None) -> bool:
    """Whether nothing was remembered before this step."""
    return now.step == 1 and (before is None or not before.optimizer_state)


def _follows(now: Dump, before: Dump | None) -> bool:
    return before is not None and now.step is not None and before.step is not None and now.step == before.step + 1
