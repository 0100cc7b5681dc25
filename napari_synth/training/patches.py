"""Draws batches of randomly flipped and turned patches from pixels on the device, without a loop over patches.

A `PatchPool` holds crops of one size; small images whole, huge ones as an evenly spread sample of windows, so that memory is
bounded whatever the image is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform

MOST_PIXELS = 2**24
"""Pixels of a pool at most: 64 MiB of float32."""


@dataclass(frozen=True)
class PatchPool:
    """Crops to draw patches from.

    Attributes
    ----------
    crops : Tensor
        Shape (N, *spatial), float32, normalised intensities without NaN.
    """

    crops: Tensor

    @property
    def spatial(self) -> tuple[int, ...]:
        """Size of a crop along each spatial axis."""
        return tuple(self.crops.shape[1:])

    @property
    def n_pixels(self) -> int:
        """Pixels of all crops."""
        return self.crops.numel()

    def fitting(self, patch: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...]:
        """Return the largest patch up to ``patch`` that lies in a crop and is a multiple of ``multiple``."""
        return tuple(
            max(step, min(wanted, size) // step * step)
            for wanted, size, step in zip(patch, self.spatial, multiple, strict=True)
        )

    def padded(self, least: Sequence[int]) -> PatchPool:
        """Return a pool whose crops are mirrored at their far ends up to the size ``least`` where they are smaller."""
        crops = self.crops
        for axis, size in enumerate(least, start=1):
            index = mirrored_index(crops.shape[axis], size).to(crops.device)
            if len(index) > crops.shape[axis]:
                crops = crops.index_select(axis, index)
        return PatchPool(crops)

    def split(self, held_out: float, least: int) -> tuple[PatchPool, PatchPool]:
        """Hold a region out: every so many crops, or a band at the end of the Y axis where the crops are few.

        Parameters
        ----------
        held_out : float
            Share of the pixels to hold out, between 0 and 1.
        least : int
            Pixels along Y that either part must have.

        Returns
        -------
        (training, held_out) : pair of PatchPool
            Both are the whole pool where it is too small to be split.
        """
        count = len(self.crops)
        every = round(1 / held_out)
        if count >= every:
            chosen = torch.arange(count) % every == every // 2
            return PatchPool(self.crops[~chosen]), PatchPool(self.crops[chosen])
        height = self.crops.shape[-2]
        band = max(least, round(height * held_out))
        if height - band < least:
            return self, self
        return PatchPool(self.crops[..., : height - band, :]), PatchPool(self.crops[..., height - band :, :])

    def sample(self, batch_size: int, patch: Sequence[int], generator: torch.Generator, *, turn: bool = True) -> Tensor:
        """Draw patches at random places, flipped along random axes, and with Y and X swapped at random.

        Parameters
        ----------
        batch_size : int
        patch : sequence of int
            Size along each spatial axis, at most that of a crop.
        generator : torch.Generator
            On the device of the crops.
        turn : bool
            Whether Y and X may be swapped; done only where the patch is as high as wide.

        Returns
        -------
        Tensor, (batch_size, 1, *patch), float32
        """
        device = self.crops.device
        strides = self.crops.stride()
        shape = (batch_size, *(1 for _ in patch))

        def draw(most: int) -> Tensor:
            return torch.randint(most, (batch_size,), device=device, generator=generator)

        place: Any = (draw(len(self.crops)) * strides[0]).view(shape) + self.crops.storage_offset()
        turned = draw(2).bool().view(shape) if turn and patch[-1] == patch[-2] else None
        for axis, size in enumerate(patch):
            steps = torch.arange(size, device=device).view([-1 if i == axis else 1 for i in range(len(patch))])
            steps = torch.where(draw(2).bool().view(shape), steps, size - 1 - steps)
            stride: Any = strides[axis + 1]
            if turned is not None and axis >= len(patch) - 2:
                other = 2 * len(patch) - 3 - axis
                stride = torch.where(turned, strides[axis + 1], strides[other + 1])
            start = draw(self.spatial[axis] - size + 1) * strides[axis + 1]
            place = place + start.view(shape) + steps * stride
        flat = self.crops.as_strided((self.crops.untyped_storage().nbytes() // 4,), (1,), 0)
        patches: Tensor = flat[place].unsqueeze(1)
        return patches


def mirrored_index(size: int, wanted: int) -> Tensor:
    """Return the indices that extend an axis of ``size`` to at least ``wanted`` by mirroring without repeating the edge."""
    index = torch.arange(max(size, wanted))
    period = max(1, 2 * size - 2)
    index = index % period
    return torch.where(index < size, index, period - index)


def collect_crops(
    image: Image,
    axes: str,
    intensity: IntensityTransform,
    device: str,
    *,
    most_pixels: int = MOST_PIXELS,
    window: Sequence[int] | None = None,
) -> PatchPool:
    """Read the pixels to train on: the whole image where it is small, evenly spread windows of it where it is not.

    Parameters
    ----------
    image : Image
        In counts, possibly lazy.
    axes : str
        The spatial axes of a crop in the order wanted, e.g. ``"YX"`` or ``"ZYX"``; other axes are sampled over.
    intensity : IntensityTransform
        Applied to the crops; pixels that are not finite become the mean of the finite ones of their crop.
    device : str
        Where the pool lives, as torch names it.
    most_pixels : int
        Bound of the pool.
    window : sequence of int, optional
        Size of the windows of a huge image; by default 512 along Y and X and 32 along other axes.
    """
    lead = [axis for axis in image.axes if axis not in axes]
    sizes = [image.sizes[axis] for axis in axes]
    if image.n_pixels > most_pixels:
        wanted = window or [512 if axis in "YX" else 32 for axis in axes]
        edges = [min(size, edge) for size, edge in zip(sizes, wanted, strict=True)]
    else:
        edges = sizes
    affordable = max(1, most_pixels // prod(edges))
    positions = prod(image.sizes[axis] for axis in lead)
    tiles = [size // edge for size, edge in zip(sizes, edges, strict=True)]
    starts = [
        [round(i) for i in np.linspace(0, size - edge, count)]
        for size, edge, count in zip(sizes, edges, tiles, strict=True)
    ]
    places = list(product(*starts))
    total = positions * len(places)
    chosen = np.linspace(0, total - 1, min(total, affordable)).round().astype(int)
    crops = []
    for number in chosen:
        position, tile = divmod(int(number), len(places))
        at: dict[str, slice | int] = {
            axis: int(i)
            for axis, i in zip(lead, np.unravel_index(position, [image.sizes[a] for a in lead]), strict=True)
        }
        for axis, start, edge in zip(axes, places[tile], edges, strict=True):
            at[axis] = slice(start, start + edge)
        pixels = image.read(**at)
        order = [axis for axis in image.axes if axis in axes]
        crops.append(_finite(intensity.forward(pixels.transpose([order.index(axis) for axis in axes]))))
    return PatchPool(torch.from_numpy(np.stack(crops)).to(device))


def _finite(crop: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    finite = np.isfinite(crop)
    if finite.all():
        return crop
    return np.where(finite, crop, crop[finite].mean() if finite.any() else 0).astype(np.float32)
