"""Gives an image the patches of another: texture and small structure move over, the layout stays.

The distributions of all patches are brought to each other at one resolution after another, from the coarsest on; see
`napari_synth.generators._patch_distributions`.
"""

from __future__ import annotations

from math import ceil, log2

import torch
from torch import Tensor

from napari_synth.core.errors import ReferenceImageError
from napari_synth.core.generator import BlockSpec, Context, Prepared
from napari_synth.core.image import Image
from napari_synth.core.progress import check_cancelled
from napari_synth.core.resampling import resized
from napari_synth.generators._conditioning import full_precision
from napari_synth.generators._patch_distributions import DIRECTIONS, directions, example_plane, patches_of, step
from napari_synth.generators.translate._options import StyleParams

_BYTES_PER_PIXEL = 32 * DIRECTIONS
# Flat parts need a beginning: equal patches would move alike.
_GRAIN = 0.1


class PatchStyle(Prepared):
    """A style image whose patches an image is given.

    Parameters
    ----------
    style : torch.Tensor, (1, C, H, W)
        Normalised by its own range.
    params : StyleParams
    seed : int
    """

    def __init__(self, style: Tensor, params: StyleParams, seed: int) -> None:
        self.spec = BlockSpec.plane(0, whole=True, bytes_per_pixel=_BYTES_PER_PIXEL + 64 * style.shape[1])
        self._style, self._params, self._seed = style, params, seed

    def apply(self, block: Tensor) -> Tensor:
        """Restyle planes (N, C, Y, X), each on its own; see `Prepared.apply`."""
        with full_precision(block):
            return torch.cat([self._restyled(plane[None]) for plane in block])

    def _restyled(self, content: Tensor) -> Tensor:
        params = self._params
        rng = torch.Generator().manual_seed(self._seed)
        sizes = (content.shape[-2:], self._style.shape[-2:])
        patch = min(params.patch, *sizes[0], *sizes[1])
        halvings = max(0, ceil(log2(params.structure / patch)))
        change = torch.zeros_like(content)
        for level in range(halvings, -1, -1):
            shapes = [[max(patch, round(n / 2**level)) for n in size] for size in sizes]
            anchor, style = resized(content, shapes[0]), patches_of(resized(self._style, shapes[1]), patch)
            # What coarser levels changed is kept, and the detail that they could not see comes from the image.
            result = anchor + resized(change, shapes[0])
            if level == halvings:
                result = result + _GRAIN * params.strength * torch.randn(anchor.shape, generator=rng).to(anchor)
            for _ in range(params.steps):
                check_cancelled()
                moved = result + step(result, style, directions(patch, content.shape[1], rng).to(content))
                result = torch.lerp(anchor, moved, params.strength)
            change = result - anchor
        return content + change


def prepare_patch_style(image: Image, params: StyleParams, context: Context) -> PatchStyle:
    """Look at the style image.

    Raises
    ------
    ReferenceImageError
        There is none.
    """
    if context.reference is None:
        raise ReferenceImageError("Patch style needs a style image: say which image the result should look like.")
    context.report.start("Looking at the style")
    style, _ = example_plane(context.reference)
    if context.statistics.maximum <= context.statistics.minimum:
        params = params.model_copy(update={"strength": 0.0})
    return PatchStyle(style.to(context.device.torch_name), params, context.seed)
