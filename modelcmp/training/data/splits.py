"""Splits that depend on the data and on a seed of their own, never on a run's."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from ...errors import BadInput


def stratified(what: str, targets: Tensor, fractions: tuple[float, ...], seed: int) -> tuple[Tensor, ...]:
    """Positions (int64) of the remainder and of one part a fraction, each class shared out in proportion.

    Every position occurs once, in random order. Raises BadInput where fractions are not in [0, 1) or leave nothing to
    train on, and where a part that was asked for stays empty.
    """
    _check_fractions(what, fractions)
    rng = np.random.Generator(np.random.PCG64(seed))
    rank = rng.random(len(targets))
    part = np.empty(len(targets), np.int64)
    part[np.lexsort((rank, targets.numpy()))] = _dealt(len(targets), (1 - sum(fractions), *fractions))
    shuffled = np.argsort(rank, kind="stable")
    dealt = part[shuffled]
    parts = tuple(torch.from_numpy(shuffled[dealt == number]) for number in range(len(fractions) + 1))
    for found, fraction in zip(parts, (1.0, *fractions), strict=True):
        if fraction and not len(found):
            raise BadInput(f"{what}: a fraction of {fraction:g} of {len(targets)} examples is none: give more examples")
    return parts


def _dealt(count: int, shares: tuple[float, ...]) -> list[int]:
    """The part that each of ``count`` goes to, one after the other: always the one that is owed most.

    Dealt class by class, each part comes within one or two of its share of every class, and of the whole.
    """
    given, result = [0] * len(shares), []
    for number in range(1, count + 1):
        owed = [share * number - had for share, had in zip(shares, given, strict=True)]
        part = owed.index(max(owed))
        given[part] += 1
        result.append(part)
    return result


def _check_fractions(what: str, fractions: tuple[float, ...]) -> None:
    if any(not 0 <= f < 1 for f in fractions) or sum(fractions) >= 1:
        raise BadInput(f"{what}: fractions {fractions} leave nothing to train on: they add up to less than 1")


def digest(*parts: Tensor | str) -> str:
    """SHA-256 over tensors (type, shape and content) and texts, in order."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            found.update(f"text {len(part.encode())}:".encode() + part.encode())
        else:
            found.update(f"{part.dtype} {tuple(part.shape)}:".encode())
            found.update(part.contiguous().numpy().data if part.numel() else b"")
    return found.hexdigest()
