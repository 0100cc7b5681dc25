"""Draws the small patches of results to where those of the target lie: steadier and quicker than who judges, and next to no work.

The distributions are compared along random directions (Elnekave and Weiss, "Generating natural images with direct patch
distribution matching", ECCV 2022). A batch shows few fields, which need not look like all of the target: where its patches rank is
told by how its sources rank among all of the source.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_PATCH, _SCALES, _DIRECTIONS = 5, (1, 2), 32
_SHARES = 257
_DRAWN = 1024
_MOST = 2**15


class PatchTransport:
    """Knows how patches of the source and of the target are distributed.

    Parameters
    ----------
    sources, targets : sequence of Tensor
        Planes (1, C, H, W) with as many channels, at least 10 pixels high and wide.
    seed : int
        The directions come from it.
    """

    def __init__(self, sources: Sequence[Tensor], targets: Sequence[Tensor], seed: int = 0) -> None:
        self._kernels = _directions(targets[0].shape[1], seed).to(targets[0])
        self._source, self._target = ([self._levels(planes, s) for s in _SCALES] for planes in (sources, targets))

    def loss(self, sources: Tensor, results: Tensor, generator: torch.Generator) -> Tensor:
        """Return how far patches of results lie from those of the same rank in the target, in the unit of the images.

        Parameters
        ----------
        sources, results : Tensor
            Shape (N, C, [Z,] Y, X) each.
        generator : torch.Generator
        """
        losses = []
        for number, scale in enumerate(_SCALES):
            along, own = (self._along(_planes(images), scale) for images in (results, sources.detach()))
            drawn = torch.randint(along.shape[1], (_DRAWN,), generator=generator, device=generator.device)
            along, own = along[:, drawn.to(along.device)], own[:, drawn.to(along.device)]
            made = along.detach()
            spread = made.std(1, keepdim=True).clamp_min(1e-6)
            alike = (made - made.mean(1, keepdim=True)) / spread * own.std(1, keepdim=True) + own.mean(1, keepdim=True)
            wanted = _at_rank_of(alike, self._source[number], self._target[number])
            losses.append((along - wanted).abs().mean() / _PATCH)
        return torch.stack(losses).mean()

    def _levels(self, planes: Sequence[Tensor], scale: int) -> Tensor:
        """Return evenly spread quantiles of patches along each direction, (directions, shares)."""
        along = torch.cat([self._along(plane, scale) for plane in planes], dim=1)
        shares = torch.linspace(0.0, 1.0, _SHARES).to(along)
        return torch.quantile(along[:, :: max(1, along.shape[1] // _MOST)], shares, dim=1).T.contiguous()

    def _along(self, planes: Tensor, scale: int) -> Tensor:
        """Return the patches of planes (N, C, H, W) along each direction, (directions, patches)."""
        smaller = functional.avg_pool2d(planes, scale) if scale > 1 else planes
        return functional.conv2d(smaller, self._kernels).transpose(0, 1).flatten(1)


def _at_rank_of(values: Tensor, own: Tensor, target: Tensor) -> Tensor:
    """Return where values (directions, patches) go when levels of one distribution go to those of another."""
    right = torch.searchsorted(own, values.contiguous()).clamp(1, _SHARES - 1)
    low, high = own.gather(1, right - 1), own.gather(1, right)
    share = ((values - low) / (high - low).clamp_min(1e-6)).clamp(0.0, 1.0)
    return torch.lerp(target.gather(1, right - 1), target.gather(1, right), share)


def _planes(images: Tensor) -> Tensor:
    return images if images.dim() == 4 else images.transpose(1, 2).flatten(0, 1)


def _directions(channels: int, seed: int) -> Tensor:
    """Return directions of length 1 in the space of patches, (directions, C, patch, patch): first the means of the channels."""
    size = channels * _PATCH**2
    drawn = torch.randn(size, _DIRECTIONS, generator=torch.Generator().manual_seed(seed))
    for channel in range(min(channels, _DIRECTIONS)):
        drawn[:, channel] = 0.0
        drawn[channel * _PATCH**2 : (channel + 1) * _PATCH**2, channel] = 1.0
    return functional.normalize(drawn, dim=0).T.reshape(-1, channels, _PATCH, _PATCH).contiguous()
