"""Images of drawn dots, and where dots are found again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def places(sizes: Sequence[int], step: int, margin: int) -> Floats:
    """Return a jittered lattice of places (N, D), far from each other and from the border."""
    axes = [np.arange(margin, size - margin, step, dtype=np.float64) for size in sizes]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(sizes))
    return lattice + np.random.default_rng(0).uniform(-1.0, 1.0, lattice.shape)


def drawn(sizes: Sequence[int], dots: Floats, sigma: float = 2.0) -> npt.NDArray[np.float32]:
    """Return an image of Gaussian dots of height 100 on 0."""
    image = np.zeros(sizes, dtype=np.float64)
    grid = np.stack(np.meshgrid(*(np.arange(size) for size in sizes), indexing="ij"), -1)
    reach = int(np.ceil(5 * sigma))
    for dot in dots:
        at = tuple(
            slice(max(0, round(float(p)) - reach), min(size, round(float(p)) + reach + 1))
            for p, size in zip(dot, sizes, strict=True)
        )
        image[at] += 100.0 * np.exp(-((grid[at] - dot) ** 2).sum(-1) / (2 * sigma**2))
    return image.astype(np.float32)


def distances(image: npt.NDArray[np.float32], dots: Floats, reach: int = 3) -> Floats:
    """Return how far in pixels from each place the peak of what is drawn there lies, for those far enough from the border.

    The logarithm of a Gaussian is a quadric, and stays nearly one where it is bent: its vertex is the dot.
    """
    offsets = np.stack(np.meshgrid(*[np.arange(-1, 2)] * image.ndim, indexing="ij"), -1).reshape(-1, image.ndim)
    pairs = list(zip(*np.triu_indices(image.ndim), strict=True))
    design = np.column_stack([np.ones(len(offsets)), offsets, *(offsets[:, a] * offsets[:, b] for a, b in pairs)])
    found = []
    for dot in dots:
        centre = dot.round().astype(int)
        if (centre < reach + 2).any() or (centre >= np.array(image.shape) - reach - 2).any():
            continue
        window = image[tuple(slice(c - reach, c + reach + 1) for c in centre)]
        peak = centre - reach + np.unravel_index(window.argmax(), window.shape)
        values = np.log(np.maximum(image[tuple((peak + offsets).T)].astype(np.float64), 1e-3))
        terms = np.linalg.lstsq(design, values, rcond=None)[0]
        hessian = np.zeros((image.ndim, image.ndim))
        for (a, b), term in zip(pairs, terms[1 + image.ndim :], strict=True):
            hessian[a, b] += term
            hessian[b, a] += term
        vertex = peak - np.linalg.solve(hessian, terms[1 : 1 + image.ndim])
        found.append(float(np.linalg.norm(vertex - dot)))
    return np.array(found)
