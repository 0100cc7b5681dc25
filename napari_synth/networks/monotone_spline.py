"""A learnt function that only rises, and its inverse: for variance stabilisation.

Herbreteau et al., "Noise2VST: noise-independent self-supervised denoising by a learnt variance stabilisation", ICCV 2025.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MonotoneSpline(nn.Module):
    """A rising, piecewise linear function, continued straight beyond its ends.

    Parameters
    ----------
    slopes : Tensor, (knots - 1,)
        Initial slope of each of the equally wide pieces, positive.
    low, high : float
        Where the first piece begins and the last one ends.
    start : float
        Initial value at ``low``.
    """

    low: Tensor
    width: Tensor

    def __init__(self, slopes: Tensor, low: float, high: float, start: float = 0.0) -> None:
        super().__init__()
        self.log_slopes = nn.Parameter(slopes.float().log())
        self.start = nn.Parameter(torch.tensor(float(start)))
        self.register_buffer("low", torch.tensor(float(low)))
        self.register_buffer("width", torch.tensor((high - low) / len(slopes)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the function at ``x``, any shape."""
        slopes, values = self._pieces()
        piece = ((x.detach() - self.low) / self.width).floor().clamp(0, len(slopes) - 1).long()
        return values[piece] + (x - self.low - piece * self.width) * slopes[piece]

    def inverse(self, y: Tensor) -> Tensor:
        """Return where the function is ``y``, any shape."""
        slopes, values = self._pieces()
        piece = torch.searchsorted(values[1:-1].detach(), y.detach().contiguous(), right=True)
        return self.low + piece * self.width + (y - values[piece]) / slopes[piece]

    def _pieces(self) -> tuple[Tensor, Tensor]:
        """Return the slope of each piece, and the values at all knots."""
        slopes = self.log_slopes.exp()
        rise = torch.cumsum(slopes * self.width, 0)
        return slopes, self.start + torch.cat((torch.zeros_like(rise[:1]), rise))
