"""Denoises what a correction has brightened in places as the camera saw it: there, one noise law holds for all of the image.

Where a flat field was divided by, say, the corners are brighter, and so is their noise. Methods that know one noise law are given
the image as it was before, and what they make of it is brightened again. A gain that changes from pixel to pixel, such as that of
stripes, is smoothed before: to put it back would be to draw it into the image, and the noise hardly differs by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_synth.contract.generator import Context, Prepared
from napari_synth.imaging.image import Image
from napari_synth.imaging.screening import noise_of
from napari_synth.methods.denoise.shared import Unchanged
from napari_synth.networks.sigma_map import blur_radius, gaussian_blur

_SMOOTH = 4.0


def with_even_noise(image: Image, context: Context, prepare: Callable[[Image], Prepared]) -> Prepared:
    """Prepare a method that knows one noise law for an image, whose noise corrections may have multiplied in places.

    Parameters
    ----------
    image : Image
    context : Context
        Of the image.
    prepare : callable
        Prepares the method for an image with one noise law.
    """
    if not image.gains:
        return prepare(image)
    prepared = prepare(_even(image))
    if isinstance(prepared, Unchanged):
        return prepared
    intensity = context.intensity if prepared.intensity is None else prepared.intensity[0]
    level = (float(image.gains[-1].levels[0]) - intensity.offset) / intensity.scale
    told = EvenNoise(prepared, level)
    told.noise, told.wants_gains = noise_of(image), True
    return told


class EvenNoise(Prepared):
    """Restores as another does, before what a correction multiplied.

    Parameters
    ----------
    inner : Prepared
        For an image with one noise law.
    level : float
        The normalised intensity from which on the correction multiplied.
    gains : Tensor, (N, C, *spatial), or None
        Of the blocks, not smoothed; None where nothing was multiplied.
    """

    def __init__(self, inner: Prepared, level: float, gains: Tensor | None = None) -> None:
        self._inner, self._level, self._gains = inner, level, gains
        halo, radius = inner.spec.halo, blur_radius(_SMOOTH)
        self.spec = replace(inner.spec, halo=(*halo[:-2], *(size + radius for size in halo[-2:])))
        self.intensity, self.result, self.noise = inner.intensity, inner.result, inner.noise
        self.notes, self.weights, self.resolved = inner.notes, inner.weights, inner.resolved

    def with_gains(self, gains: Tensor) -> Prepared:
        """Return what knows the gains of these very blocks; see `Prepared.with_gains`."""
        return self._beside(self._inner, gains)

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks as they were before, and multiply the result; see `Prepared.apply`."""
        if self._gains is None:
            return self._inner.apply(block)
        planes = self._gains.float().reshape(-1, 1, *self._gains.shape[-2:])
        gains = gaussian_blur(planes, _SMOOTH).reshape(self._gains.shape)
        return (self._inner.apply((block - self._level) / gains + self._level) - self._level) * gains + self._level

    def transposed(self) -> Prepared:
        """Return what restores the image with Y and X swapped."""
        return self._beside(self._inner.transposed(), None if self._gains is None else self._gains.mT)

    def flipped(self, y: bool, x: bool) -> Prepared:
        """Return what restores the image flipped along Y or X."""
        axes = [axis for axis, turns in ((-2, y), (-1, x)) if turns]
        return self._beside(self._inner.flipped(y, x), None if self._gains is None else self._gains.flip(axes))

    def _beside(self, inner: Prepared, gains: Tensor | None) -> Prepared:
        made = EvenNoise(inner, self._level, gains)
        made.noise, made.wants_gains = self.noise, True
        return made


@dataclass(frozen=True)
class _EvenImage(Image):
    """An image that is read as it was before corrections multiplied it, up to what they multiplied from pixel to pixel."""

    image: Image | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is read."""
        return np.dtype(np.float32)

    def read(self, **selection: slice | int) -> npt.NDArray[Any]:
        """Load a part, see `Image.read`."""
        assert self.image is not None
        pixels = self.image.read(**selection).astype(np.float32)
        level = self.image.gains[-1].level(**selection)
        axes = [axis for axis in self.axes if not isinstance(selection.get(axis), int)]
        gains = np.broadcast_to(self.image.gain(**selection), pixels.shape)
        if "Y" in axes and "X" in axes and pixels.size:
            order = (axes.index("Y"), axes.index("X"))
            moved = np.moveaxis(gains, order, (-2, -1))
            planes = torch.from_numpy(moved.copy()).reshape(-1, 1, *moved.shape[-2:])
            gains = np.moveaxis(gaussian_blur(planes, _SMOOTH).reshape(moved.shape).numpy(), (-2, -1), order)
        return np.asarray((pixels - level) / gains + level, np.float32)

    def select(self, **selection: slice | int) -> Image:
        """Return a part without loading it, see `Image.select`."""
        assert self.image is not None
        return _even(self.image.select(**selection))


def _even(image: Image) -> _EvenImage:
    return _EvenImage(
        image.data,
        image.axes,
        image.spacing,
        image.units,
        image.name,
        image.mask,
        channels=image.channels,
        optics=image.optics,
        image=image,
    )
