"""A small network that makes images finer along one axis only: slices of a volume, whose first axis is the coarse one.

It computes at the size of the image and shuffles its last channels into finer rows (Shi et al., "Real-time single image and video
super-resolution using an efficient sub-pixel convolutional neural network", CVPR 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_synth.networks.blocks import initialise, residual_blocks


class AxialEnlarger(nn.Module):
    """Finds what a cubic enlargement along the first axis lacks.

    It is homogeneous of degree 1: ``f(k y) = k f(y)`` for k > 0, so the network takes images of any range.

    Parameters
    ----------
    scale : int
        How many times finer the result is along the first spatial axis.
    width : int
        Channels.
    blocks : int
        Residual blocks.
    """

    def __init__(self, scale: int, width: int = 32, blocks: int = 3) -> None:
        super().__init__()
        self.scale, self.blocks = scale, blocks
        self.head = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.body = residual_blocks(width, blocks)
        self.tail = nn.Conv2d(width, scale, 3, padding=1, bias=False)
        initialise(self)
        # Untrained, it adds nothing.
        nn.init.zeros_(self.tail.weight)

    @property
    def receptive_field(self) -> int:
        """Largest distance in pixels of the image, along an axis, at which a pixel can change the result."""
        return 2 * self.blocks + 2

    def forward(self, image: Tensor) -> Tensor:
        """Return what is to be added to the cubic enlargement.

        Parameters
        ----------
        image : Tensor
            Shape (N, 1, A, B), any range; A is the coarse axis.

        Returns
        -------
        Tensor
            Shape (N, 1, scale * A, B).
        """
        rows: Tensor = self.tail(self.body(self.head(image.contiguous(memory_format=torch.channels_last))))
        n, _, a, b = image.shape
        return rows.permute(0, 2, 1, 3).reshape(n, 1, self.scale * a, b)
