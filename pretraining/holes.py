"""Holes drawn at random: scratches, strokes, discs, boxes, missing lines, and several of these."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Random = np.random.Generator


def draw_holes(edge: int, rng: Random) -> Bools:
    """Return the holes (edge, edge) of one image; at least one pixel, and at most half of them."""
    while True:
        holes = np.zeros((edge, edge), bool)
        kinds = rng.choice(len(_KINDS), size=rng.integers(1, 4), p=_SHARES)
        for kind in kinds:
            holes |= _KINDS[kind](edge, rng)
        if 0 < holes.sum() <= holes.size // 2:
            return holes


def _grid(edge: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.ogrid[:edge, :edge]
    return y.astype(np.float32), x.astype(np.float32)


def _line(edge: int, start: NDArray[np.float64], angle: float, length: float, width: float) -> Bools:
    y, x = _grid(edge)
    along = (x - start[1]) * np.cos(angle) + (y - start[0]) * np.sin(angle)
    across = (x - start[1]) * np.sin(angle) - (y - start[0]) * np.cos(angle)
    outside = np.clip(np.abs(along - length / 2) - length / 2, 0, None)
    return np.asarray(np.hypot(across, outside) < width / 2)


def scratches(edge: int, rng: Random) -> Bools:
    """Draw straight lines, 1 to 5 pixels wide."""
    holes = np.zeros((edge, edge), bool)
    for _ in range(rng.integers(1, 6)):
        start, angle = rng.uniform(-0.2 * edge, edge, 2), rng.uniform(0, 2 * np.pi)
        holes |= _line(edge, start, angle, rng.uniform(0.3, 1.2) * edge, rng.uniform(1.2, 5.5))
    return holes


def strokes(edge: int, rng: Random) -> Bools:
    """Draw free-form strokes of a brush, 6 to 24 pixels wide."""
    holes = np.zeros((edge, edge), bool)
    for _ in range(rng.integers(1, 3)):
        at, angle, width = rng.uniform(0.1 * edge, 0.9 * edge, 2), rng.uniform(0, 2 * np.pi), rng.uniform(6, 24)
        for _ in range(rng.integers(1, 6)):
            length = rng.uniform(4, 0.25 * edge)
            holes |= _line(edge, at, angle, length, width)
            at = at + length * np.array((np.sin(angle), np.cos(angle)))
            angle += rng.uniform(-1.2, 1.2)
    return holes


def discs(edge: int, rng: Random) -> Bools:
    """Draw discs of radius 4 to 20."""
    y, x = _grid(edge)
    holes = np.zeros((edge, edge), bool)
    for _ in range(rng.integers(2, 8)):
        (top, left), radius = rng.uniform(0, edge, 2), rng.uniform(4, 20)
        holes |= (y - top) ** 2 + (x - left) ** 2 < radius**2
    return holes


def boxes(edge: int, rng: Random) -> Bools:
    """Draw a box with edges of 12 to 64 pixels, mostly inside."""
    holes = np.zeros((edge, edge), bool)
    sizes = rng.integers(12, min(64, 2 * edge // 3) + 1, 2)
    if rng.random() < 0.5:
        sizes[1] = sizes[0]
    top, left = (int(rng.integers(-size // 4, edge - 3 * size // 4)) for size in sizes)
    holes[max(0, top) : top + sizes[0], max(0, left) : left + sizes[1]] = True
    return holes


def lines(edge: int, rng: Random) -> Bools:
    """Draw rows or columns that are missing as a whole, 1 to 6 pixels wide."""
    holes = np.zeros((edge, edge), bool)
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(edge))
        holes[start : start + int(rng.integers(1, 7))] = True
    return holes.T if rng.random() < 0.5 else holes


_KINDS: tuple[Callable[[int, Random], Bools], ...] = (scratches, strokes, discs, boxes, lines)
_SHARES = (0.08, 0.2, 0.34, 0.34, 0.04)
