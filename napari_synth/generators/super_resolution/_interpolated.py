"""Plain interpolation: blocks stay as they are, and the runner resamples them."""

from __future__ import annotations

from torch import Tensor

from napari_synth.core.generator import BlockSpec, Kernel, Prepared
from napari_synth.core.image import Image
from napari_synth.core.resampling import RADIUS


def finer(image: Image, factor: float) -> tuple[int, int]:
    """Return the height and width in pixels of an image that is ``factor`` times finer, rounded."""
    return round(image.sizes["Y"] * factor), round(image.sizes["X"] * factor)


class Interpolated(Prepared):
    """An image that is interpolated.

    Parameters
    ----------
    image : Image
    factor : float
        How many times finer the result is.
    kernel : {"cubic", "lanczos"}
    """

    def __init__(self, image: Image, factor: float, kernel: Kernel) -> None:
        halo, one = (RADIUS[kernel] + 1,) * 2, (1, 1)
        # A result has factor² as many pixels, a resampled copy beside it, and one along the first axis only.
        needed = round(8 + 12 * factor**2)
        self.spec = BlockSpec("YX", halo, one, one, bytes_per_pixel=needed, result=finer(image, factor), kernel=kernel)

    def apply(self, block: Tensor) -> Tensor:
        """Return the block; see `Prepared.apply`."""
        return block
