"""Synthetic fluorescence volumes: true spots against things that look like them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import BadInput
from ..arguments import at_least
from .arrays import Pool, Recipe, from_pool
from .base import DataSet
from .factories import data_set
from .microscope import LOOK_ALIKES, Array, Sides, exposed, gradients, spots

BACKGROUND, READ_NOISE = 20.0, 2.0

#: Volumes that are exposed at once: photons are counted in 64 bits.
CHUNK = 512


def volumes(
    examples: int, sides: Sides, positives: float, difficulty: float, snr: float, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Volumes, uint8 (examples, D, H, W), and their classes (1: a spot), in random order."""
    rng = np.random.Generator(np.random.PCG64(seed))
    shapes, targets = _things(rng, examples, sides, positives, difficulty)
    # snr = s / sqrt(s + background + read noise²) at the peak, solved for the signal s
    noise = BACKGROUND + READ_NOISE**2
    peak = (snr**2 + np.sqrt(snr**4 + 4 * snr**2 * noise)) / 2
    peaks = peak * np.exp(rng.normal(0, 0.25, (examples, 1, 1, 1)))
    gain = 200 / (BACKGROUND + 2 * peak)
    read = np.empty(shapes.shape, np.uint8)
    for start in range(0, examples, CHUNK):
        some = slice(start, start + CHUNK)
        background = gradients(rng, len(shapes[some]), sides, BACKGROUND)
        counts = exposed(rng, background + peaks[some].astype(np.float32) * shapes[some], READ_NOISE)
        read[some] = np.clip(np.rint(counts * gain), 0, 255)
    return read, targets


def _things(
    rng: np.random.Generator, examples: int, sides: Sides, positives: float, difficulty: float
) -> tuple[Array, NDArray[np.int64]]:
    """Shapes of peak 1 and their classes, in random order."""
    count = round(examples * positives)
    shares = np.array([share for _, share in LOOK_ALIKES])
    ends = np.rint(np.cumsum(shares / shares.sum()) * (examples - count)).astype(int)
    parts = [spots(rng, count, sides, difficulty)]
    for (make, _), number in zip(LOOK_ALIKES, np.diff(ends, prepend=0), strict=True):
        parts.append(make(rng, int(number), sides, difficulty))
    order = np.argsort(rng.random(examples), kind="stable")
    targets = (np.arange(examples) < count).astype(np.int64)
    return np.concatenate(parts)[order], targets[order]


@data_set("spots3d", "seeded fluorescence-like volumes: true spots against look-alikes, about one in five positive")
def spots3d(
    split_seed: int,
    *,
    examples: int = 2000,
    size: Any = (9, 15, 15),
    positives: float = 0.22,
    difficulty: float = 0.5,
    snr: float = 5.5,
    seed: int = 0,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
) -> DataSet:
    """Volumes (1, D, H, W) of 8-bit brightness, binary: "spot" is the positive class.

    ``size`` is one side or three (depth, height, width); ``positives`` the share of true spots; ``difficulty`` in
    [0, 1] how much the others resemble them; ``snr`` the signal-to-noise ratio of an average peak. Raises BadInput.
    """
    sides = _sides(size)
    at_least("data spots3d", 10, examples=examples)
    at_least("data spots3d", 0, seed=seed, snr=snr)
    if not 0 < positives < 1 or not 0 <= difficulty <= 1:
        raise BadInput(f"data spots3d: positives {positives} and difficulty {difficulty}: give shares in [0, 1]")
    inputs, targets = volumes(examples, sides, positives, difficulty, snr, seed)
    recipe = Recipe("spots3d", ("background", "spot"), val_fraction, test_fraction, split_seed, binary=True)
    return from_pool(recipe, Pool(torch.from_numpy(inputs[:, None]), torch.from_numpy(targets)))


def _sides(size: Any) -> Sides:
    sides = (size,) * 3 if isinstance(size, int) else tuple(size) if isinstance(size, list | tuple) else ()
    if len(sides) != 3 or any(not isinstance(s, int) or isinstance(s, bool) or s < 5 for s in sides):
        raise BadInput(f"data spots3d: size is {size!r}: give one side or [depth, height, width], each 5 or more")
    depth, height, width = sides
    return depth, height, width
