"""Whether an image shows anything: blank glass and dark frames have a spread too, which is noise."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Prepared
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import estimate_noise
from napari_synth.imaging.sampling import sample_planes

# Of noise alone, over any number of pixels that can be looked at; and the power of signal over it.
_RANGE = 12.0
_SIGNAL_DB = -3.0
_LEVELS = (0.01, 99.99)

NOTHING_SHOWN = "The image shows nothing but noise: it stays as it is."


def shows_something(image: Image) -> bool:
    """Return whether any colour of an image varies by more than its noise."""
    parts = [image.select(S=i) for i in range(image.sizes["S"])] if "S" in image.axes else [image]
    return any(_varies(part) for part in parts)


def _varies(image: Image) -> bool:
    planes = sample_planes(image)
    pixels = np.concatenate([plane[np.isfinite(plane)].ravel() for plane in planes]).astype(np.float64)
    if pixels.size == 0:
        return False
    low, high = np.percentile(pixels, _LEVELS)
    if not pixels.min() < pixels.max():
        return False
    noise = estimate_noise(planes)
    return bool(high - low > _RANGE * noise.sigma_typical or noise.snr_db > _SIGNAL_DB)


class AsItIs(Prepared):
    """Returns an image that shows nothing."""

    def __init__(self) -> None:
        self.spec = BlockSpec.plane(0)
        self.notes = (NOTHING_SHOWN,)

    def apply(self, block: Tensor) -> Tensor:
        """Return the block; see `Prepared.apply`."""
        return block
