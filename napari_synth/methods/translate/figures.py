"""Measures of a translation that need no pairs: whether it looks like the target, and whether it shows what the source shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.methods.patch_distributions import directions, patches_of

_PATCH = 7
_SCALES = (1, 2)
_SHARES = 257
_SEED = 1
_SURROUNDINGS = 15


class PatchTarget:
    """How patches of the target are distributed, at two resolutions.

    Parameters
    ----------
    planes : sequence of Tensor
        Of the target, (1, C, H, W).
    """

    def __init__(self, planes: Sequence[Tensor]) -> None:
        least = min(min(plane.shape[-2:]) for plane in planes)
        self._patches = [max(1, min(_PATCH, least // scale)) for scale in _SCALES]
        self._levels = self._measured(planes)

    def distance(self, planes: Sequence[Tensor]) -> float:
        """Return the sliced Wasserstein distance to the patches of images (1, C, H, W), in per cent of the range."""
        own = self._measured(planes)
        found = [
            float((one - other).abs().mean()) / patch
            for one, other, patch in zip(own, self._levels, self._patches, strict=True)
        ]
        return 100.0 * float(np.mean(found))

    def _measured(self, planes: Sequence[Tensor]) -> list[Tensor]:
        levels, shares = [], torch.linspace(0.0, 1.0, _SHARES)
        for scale, patch in zip(_SCALES, self._patches, strict=True):
            smaller = [functional.avg_pool2d(plane, scale) for plane in planes]
            patches = torch.cat([patches_of(plane, patch) for plane in smaller], dim=1)
            rng = torch.Generator().manual_seed(_SEED)
            kernels = directions(patch, planes[0].shape[1], rng).to(patches).flatten(1)
            levels.append(torch.quantile(kernels @ patches, shares.to(patches), dim=1))
        return levels


def content_correlation(sources: Sequence[Tensor], results: Sequence[Tensor]) -> float:
    """Return how much the structures of results are those of their sources.

    Parameters
    ----------
    sources, results : sequence of Tensor
        Shape (1, C, H, W) each, with any number of channels.

    Returns
    -------
    float
        The correlation of what is brighter or darker than its surroundings, of the channel of the results that shows most of the
        source; negative where bright became dark, 0 where the source cannot be told from the result.
    """
    seen = [_details(source.mean(1, keepdim=True)) for source in sources]
    shown = [_details(result) for result in results]
    best = 0.0
    for channel in range(shown[0].shape[1]):
        s = torch.cat([x.flatten() for x in seen])
        r = torch.cat([x[:, channel].flatten() for x in shown])
        s, r = s - s.mean(), r - r.mean()
        # Rounding leaves something of a flat image.
        if min(float(s.square().mean()), float(r.square().mean())) < 1e-10:
            continue
        found = float((s * r).sum() / (s.norm() * r.norm()))
        best = found if abs(found) > abs(best) else best
    return best


def is_flat(sources: Sequence[Tensor], results: Sequence[Tensor], targets: Sequence[Tensor]) -> bool:
    """Return whether results are constant where neither sources nor targets are.

    Parameters
    ----------
    sources, results, targets : sequence of Tensor
        Held-out images, what was made of them, and what they should look like.
    """
    source, result, target = (_contrast(planes) for planes in (sources, results, targets))
    return result < 0.05 * min(source, target)


def planes_of(pixels: Tensor) -> list[Tensor]:
    """Return the planes (1, C, Y, X) of blocks (N, C, [Z,] Y, X)."""
    planes = pixels.float() if pixels.dim() == 4 else pixels.float().transpose(1, 2).flatten(0, 1)
    return list(torch.split(planes, 1))


def _details(plane: Tensor) -> Tensor:
    """Return by how much a plane (1, C, H, W) differs from its surroundings, at half the resolution."""
    half = functional.avg_pool2d(plane, 2)
    window = min(_SURROUNDINGS, *(size - 1 + size % 2 for size in half.shape[-2:]))
    around = functional.avg_pool2d(half, window, stride=1, padding=window // 2, count_include_pad=False)
    return half - around


def _contrast(planes: Sequence[Tensor]) -> float:
    return float(torch.stack([plane.var(dim=(-2, -1)).mean() for plane in planes]).mean().sqrt())
