"""Fluorescence-like volumes: what a point looks like through a microscope, and what merely looks like one.

All lengths are in voxels, all brightness in photons over the background. Every function draws from the generator that
it is given and makes many volumes at once; positions are relative to the centre of the volume.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Sides = tuple[int, int, int]
Shape = Callable[[np.random.Generator, int, Sides, float], Array]

#: Width (standard deviation) of the point spread function: a Gaussian, wider along the optical axis
#: (Zhang, Zerubia, Olivo-Marin, Gaussian approximations of fluorescence microscope PSF models, Applied Optics 2007).
SIGMA_LATERAL, SIGMA_AXIAL = 1.3, 1.9


def spots(rng: np.random.Generator, count: int, sides: Sides, difficulty: float) -> Array:
    """Points in focus, slightly off the centre: (count, D, H, W), peak 1."""
    scale = rng.uniform(0.9, 1.12, (count, 1))
    return _gaussians(sides, _near(rng, count, 0.6), scale * _psf(count))


def blobs(rng: np.random.Generator, count: int, sides: Sides, difficulty: float) -> Array:
    """Points out of focus: as round as a spot, but wider, the less so the more difficult."""
    scale = rng.uniform(1.0, 1.8, (count, 1)) + 0.36 * (1 - difficulty)
    return _gaussians(sides, _near(rng, count, 0.8), scale * _psf(count))


def filaments(rng: np.random.Generator, count: int, sides: Sides, difficulty: float) -> Array:
    """Pieces of a fibre: as thick as a spot, but longer along one direction, mostly lateral."""
    angle, tilt = rng.uniform(0, 2 * np.pi, count), rng.normal(0, 0.25, count)
    along = np.stack([np.sin(tilt), np.cos(tilt) * np.sin(angle), np.cos(tilt) * np.cos(angle)], 1)
    length = rng.uniform(0.0, 5.0, count) * (1.4 - difficulty) + 0.8
    centre = _near(rng, count, 0.8)
    offsets = [a[None, :] - c[:, None] for a, c in zip(_axes(sides), centre.T, strict=True)]  # 3 x (count, side)
    widths = _psf(1)[0]
    spread = widths[2] ** 2 + length**2  # a Gaussian stretched along the fibre
    scaled = [o / w for o, w in zip(offsets, widths, strict=True)]
    unit = along / widths
    norm = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = (unit / norm).astype(np.float32)
    dz, dy, dx = (s * u[:, None] for s, u in zip(scaled, unit.T, strict=True))
    projected = dz[:, :, None, None] + dy[:, None, :, None] + dx[:, None, None, :]  # along the fibre, in widths
    shrink = (1 - widths[2] ** 2 / spread).astype(np.float32)[:, None, None, None]
    z2, y2, x2 = (s**2 for s in scaled)
    distance = z2[:, :, None, None] + y2[:, None, :, None] + x2[:, None, None, :]
    return np.asarray(np.exp(-0.5 * (distance - shrink * projected**2)), np.float32)


def clusters(rng: np.random.Generator, count: int, sides: Sides, difficulty: float) -> Array:
    """A few hot voxels close together, sharper than the microscope can see."""
    total = np.zeros((count, *sides), np.float32)
    for _ in range(4):
        place = _near(rng, count, 0.9 + 0.5 * (1 - difficulty))
        weight = rng.uniform(0.4, 0.9, (count, 1, 1, 1)).astype(np.float32)
        total += weight * _gaussians(sides, place, np.full((count, 3), 0.65))
    return total


def blips(rng: np.random.Generator, count: int, sides: Sides, difficulty: float) -> Array:
    """Seen in two planes only, as a flash during the scan is: round across, too thin along the axis."""
    centre = _near(rng, count, 0.6)
    flat = _gaussians(sides, centre, _psf(count) * [np.inf, 1, 1])  # the same in all planes
    away = np.abs(_axes(sides)[0][None, :] - centre[:, :1])
    axial = np.exp(-0.5 * (away / (0.6 + 0.45 * difficulty)) ** 2).astype(np.float32)
    return np.asarray(flat * axial[:, :, None, None], np.float32)


def edges(rng: np.random.Generator, count: int, sides: Sides, difficulty: float) -> Array:
    """The border of something large: bright on one side, with a bump where it bends."""
    angle = rng.uniform(0, 2 * np.pi, count)
    centre = _near(rng, count, 1.0)
    _, dy, dx = (a[None, :] - c[:, None] for a, c in zip(_axes(sides), centre.T, strict=True))
    across = dy[:, :, None] * np.sin(angle)[:, None, None] + dx[:, None, :] * np.cos(angle)[:, None, None]
    step = 1 / (1 + np.exp(-across / SIGMA_LATERAL))
    bump = _gaussians(sides, centre, 1.25 * _psf(count))
    return np.asarray(0.55 * step[:, None] + 0.55 * bump, np.float32)


def nothing(rng: np.random.Generator, count: int, sides: Sides, difficulty: float) -> Array:
    """Background alone."""
    return np.zeros((count, *sides), np.float32)


#: What is no spot, and its share among the negatives.
LOOK_ALIKES: tuple[tuple[Shape, float], ...] = (
    (blobs, 0.22), (filaments, 0.22), (clusters, 0.16), (blips, 0.16), (edges, 0.14), (nothing, 0.10),
)  # fmt: skip


def gradients(rng: np.random.Generator, count: int, sides: Sides, level: float) -> Array:
    """Uneven background around a level: a plane of random slope, at least a quarter of the level."""
    slopes = (rng.normal(0, 0.02, (count, 3)) * level).astype(np.float32)
    z, y, x = (s[:, None] * a[None, :] for s, a in zip(slopes.T, _axes(sides), strict=True))
    tilted = z[:, :, None, None] + y[:, None, :, None] + x[:, None, None, :]
    base = (level * rng.uniform(0.7, 1.3, (count, 1, 1, 1))).astype(np.float32)
    return np.asarray(np.maximum(base + tilted, level / 4), np.float32)


def exposed(rng: np.random.Generator, photons: Array, read_noise: float) -> Array:
    """What a camera reads: Poisson noise of the photons, Gaussian noise of the electronics."""
    counts = rng.poisson(photons).astype(np.float32)
    return np.asarray(counts + read_noise * rng.standard_normal(photons.shape, np.float32), np.float32)


def _psf(count: int) -> NDArray[np.float64]:
    return np.tile([SIGMA_AXIAL, SIGMA_LATERAL, SIGMA_LATERAL], (count, 1))


def _near(rng: np.random.Generator, count: int, spread: float) -> NDArray[np.float64]:
    """Places around the centre, never more than two spreads away along an axis: (count, 3)."""
    return np.clip(rng.normal(0, spread, (count, 3)), -2 * spread, 2 * spread)


def _axes(sides: Sides) -> list[Array]:
    return [np.arange(side, dtype=np.float32) - (side - 1) / 2 for side in sides]


def _gaussians(sides: Sides, centre: NDArray[np.float64], sigma: NDArray[np.float64]) -> Array:
    """Axis-aligned Gaussians of peak 1 at (count, 3) centres with (count, 3) widths."""
    z, y, x = (
        np.exp(-0.5 * ((axis[None, :] - c[:, None]) / s[:, None]) ** 2).astype(np.float32)
        for axis, c, s in zip(_axes(sides), centre.T, sigma.T, strict=True)
    )
    return np.asarray(z[:, :, None, None] * y[:, None, :, None] * x[:, None, None, :], np.float32)
