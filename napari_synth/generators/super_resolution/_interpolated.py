"""Plain interpolation: blocks stay as they are, and the runner resamples them."""

from __future__ import annotations

from torch import Tensor

from napari_synth.core.generator import BlockSpec, Kernel, Prepared
from napari_synth.core.image import Image
from napari_synth.core.resampling import RADIUS


def finer(image: Image, factor: float) -> tuple[int, int]:
    """Return the height and width in pixels of an image that is ``factor`` times finer, rounded."""
    return round(image.sizes["Y"] * factor), round(image.sizes["X"] * factor)


def bytes_for_result(factor: float) -> int:
    """Return the working memory that the pixels of a result take, for each pixel of the image.

    There is a resampled copy beside the result, and two of rounded counts.
    """
    return round(16 * factor**2)


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
        needed = (16 + bytes_for_result(factor)) * image.sizes.get("S", 1)
        self.spec = BlockSpec("YX", halo, one, one, bytes_per_pixel=needed, result=finer(image, factor), kernel=kernel)

    def apply(self, block: Tensor) -> Tensor:
        """Return the block; see `Prepared.apply`."""
        return block
