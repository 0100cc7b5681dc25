"""Smooth surfaces through holes: the biharmonic equation, solved for the missing pixels alone.

The equation is ``L L u = 0`` in the holes, with ``L`` the five-point (seven-point in volumes) Laplacian, mirrored at the border
of the image, and ``u`` as it is outside. Only the pixels of the holes and the two rings around them are looked at, so that the work
does not depend on the size of the image.

References
----------
Damelin & Hoang, "On surface completion and image inpainting by biharmonic functions", Int. J. Math. Math. Sci. 2018
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

_TOLERANCE = 1e-6
_MOST_STEPS = 4000
_CHECKED_EVERY = 16
# Beyond, factors of the matrix no longer fit into the memory.
_MOST_DIRECT = {2: 300_000, 3: 12_000}


def fill_smoothly(
    pixels: Tensor, holes: Tensor, weights: Sequence[float] | None = None, check: Callable[[], None] = lambda: None
) -> Tensor:
    """Fill holes with the surface that bends least.

    Parameters
    ----------
    pixels : torch.Tensor, (C, *spatial)
    holes : torch.Tensor of bool, (*spatial)
        Pixels to be filled; what they hold does not count. At least one pixel is none.
    weights : sequence of float, optional
        How much neighbours along each axis belong together; 1 for all where left out.
    check : callable
        Called now and then; stops the work where it raises.

    Returns
    -------
    torch.Tensor, (C, *spatial)
    """
    unknown = holes.reshape(-1).nonzero().squeeze(1)
    if not len(unknown):
        return pixels
    check()
    system = _System.of(unknown, tuple(holes.shape), weights or (1.0,) * holes.ndim)
    flat = pixels.reshape(len(pixels), -1)
    around = flat[:, system.support].to(_precise(pixels)).T
    outside = around.masked_fill(system.inside[:, None], 0.0)
    right = -system.twice(outside)
    axes = sum(size > 1 and weight > 0 for size, weight in zip(holes.shape, system.weights[::2], strict=True))
    if len(unknown) <= _MOST_DIRECT[max(2, axes)] and pixels.device.type == "cpu":
        found = system.factorised(right)
    else:
        start = around[~system.inside].mean(0) if bool((~system.inside).any()) else around.new_zeros(len(pixels))
        found = system.iterated(right, start, check)
    filled = flat.clone()
    filled[:, unknown] = found.T.to(pixels.dtype)
    return filled.reshape(pixels.shape)


def _precise(pixels: Tensor) -> torch.dtype:
    return torch.float32 if pixels.device.type == "mps" else torch.float64


@dataclass(frozen=True)
class _System:
    """The biharmonic operator between the pixels of the holes and those around them.

    Attributes
    ----------
    support : Tensor, (n2,)
        Positions of all pixels that count, in the flat image.
    inside : Tensor of bool, (n2,)
        Which of them are to be filled.
    first, second : Tensor, (n1, 2 D) and (n, 2 D)
        Neighbours: of the holes and the ring around them among `support`, and of the holes among those n1. A neighbour beyond the
        border of the image is the pixel itself.
    ring, holes : Tensor, (n1,) and (n,)
        Where those pixels lie among `support`, and where the holes lie among the n1.
    weights : tuple of float
        One a neighbour.
    """

    support: Tensor
    inside: Tensor
    first: Tensor
    second: Tensor
    ring: Tensor
    holes: Tensor
    weights: tuple[float, ...]

    @classmethod
    def of(cls, unknown: Tensor, shape: tuple[int, ...], weights: Sequence[float]) -> _System:
        near = _neighbours(unknown, shape)
        ring = torch.unique(torch.cat((unknown, near.reshape(-1))))
        beyond = _neighbours(ring, shape)
        support = torch.unique(torch.cat((ring, beyond.reshape(-1))))
        inside = torch.zeros_like(support, dtype=torch.bool)
        inside[torch.searchsorted(support, unknown)] = True
        return cls(
            support,
            inside,
            torch.searchsorted(support, beyond),
            torch.searchsorted(ring, near),
            torch.searchsorted(support, ring),
            torch.searchsorted(ring, unknown),
            tuple(weight for weight in weights for _ in range(2)),
        )

    def twice(self, values: Tensor) -> Tensor:
        """Return the Laplacian of the Laplacian in the holes of values (n2, C) on the support."""
        once = self._laplacian(values, self.ring, self.first)
        return self._laplacian(once, self.holes, self.second)

    def _laplacian(self, values: Tensor, own: Tensor, neighbours: Tensor) -> Tensor:
        total = values[own] * -sum(self.weights)
        for weight, other in zip(self.weights, neighbours.unbind(1), strict=True):
            total.add_(values[other], alpha=weight)
        return total

    def iterated(self, right: Tensor, start: Tensor, check: Callable[[], None]) -> Tensor:
        """Return the solution (n, C) by conjugate gradients on the device, all holes together."""
        spread = torch.zeros(len(self.support), right.shape[1], dtype=right.dtype, device=right.device)

        def operator(values: Tensor) -> Tensor:
            spread[self.inside] = values
            return self.twice(spread)

        found = start.expand_as(right).clone()
        rest = right - operator(found)
        way = rest.clone()
        strength = rest.square().sum(0)
        enough = _TOLERANCE**2 * right.square().sum(0).clamp_min(torch.finfo(right.dtype).tiny)
        for step in range(_MOST_STEPS):
            if step % _CHECKED_EVERY == 0:
                check()
                if bool((strength <= enough).all()):
                    break
            image = operator(way)
            length = strength / (way * image).sum(0).clamp_min(torch.finfo(right.dtype).tiny)
            found += length * way
            rest -= length * image
            following = rest.square().sum(0)
            way = rest + following / strength.clamp_min(torch.finfo(right.dtype).tiny) * way
            strength = following
        return found

    def factorised(self, right: Tensor) -> Tensor:
        """Return the solution (n, C) of a factorised matrix, on the CPU."""
        once = self._matrix(self.ring, self.first, len(self.support))
        twice = self._matrix(self.holes, self.second, len(self.ring)) @ once
        matrix = twice[:, self.inside.cpu().numpy().nonzero()[0]]
        solved = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(
            right.cpu().double().numpy()
        )
        return torch.from_numpy(np.ascontiguousarray(solved)).to(right)

    def _matrix(self, own: Tensor, neighbours: Tensor, columns: int) -> sparse.csr_array:
        rows = np.arange(len(own))
        parts = [(np.full(len(own), -sum(self.weights)), own.cpu().numpy())]
        parts += [
            (np.full(len(own), weight), other.cpu().numpy())
            for weight, other in zip(self.weights, neighbours.unbind(1), strict=True)
        ]
        values, found = (np.concatenate(part) for part in zip(*parts, strict=True))
        return sparse.coo_array((values, (np.tile(rows, len(parts)), found)), shape=(len(own), columns)).tocsr()


def _neighbours(at: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the positions (n, 2 D) of the neighbours of pixels; beyond the border of the image, the pixel itself."""
    found = []
    for axis, size in enumerate(shape):
        stride = prod(shape[axis + 1 :])
        along = at // stride % size
        found.append(torch.where(along > 0, at - stride, at))
        found.append(torch.where(along < size - 1, at + stride, at))
    return torch.stack(found, 1)
