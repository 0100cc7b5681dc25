"""Fixed rising curves of each channel, to bring kinds of images near each other, and splines that are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Knots = list[list[float]]

_MOST = 8.0


class MatchedCurve(nn.Module):
    """Straight pieces between knots, continued straight beyond them.

    Parameters
    ----------
    before, after : sequence of sequence of float
        For each channel, what goes where; both rise strictly.
    """

    def __init__(self, before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> None:
        super().__init__()
        for one, other in zip(before, after, strict=True):
            if len(one) < 2 or len(one) != len(other) or min(*np.diff(one), *np.diff(other)) <= 0:
                raise ValueError("A curve needs two knots or more, and rises from each to the next.")
        self.before, self.after = ([[float(v) for v in channel] for channel in knots] for knots in (before, after))

    @classmethod
    def between(cls, own: Sequence[npt.ArrayLike], target: Sequence[npt.ArrayLike], knots: int = 17) -> MatchedCurve:
        """Return the curve that brings intensities of each channel to where those of the target of the same rank lie.

        It is nowhere much flatter or steeper than among usual intensities: that would lose what is faint, or blow it up.

        Parameters
        ----------
        own, target : sequence of array-like
            Of each channel, any number of pixels.
        knots : int
        """
        shares = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, knots))
        before, after = [], []
        for one, other in zip(own, target, strict=True):
            x, y = (np.quantile(np.asarray(pixels, dtype=np.float64), shares) for pixels in (one, other))
            x = np.unique(x)
            y = y[np.linspace(0, knots - 1, len(x)).round().astype(int)] if len(x) < knots else y
            if len(x) < 2 or not y[-1] > y[0]:
                x, y = np.array([0.0, 1.0]), np.array([0.0, 1.0])
            middle = slice(len(x) // 4, -(len(x) // 4) or None)
            usual = max(np.ptp(y[middle]), 1e-6 * np.ptp(y)) / np.ptp(x[middle])
            slopes = np.clip(np.diff(y) / np.diff(x), usual / _MOST, usual * _MOST)
            rise = np.concatenate([[0.0], np.cumsum(slopes * np.diff(x))])
            before.append(x.tolist())
            after.append((rise + y[len(y) // 2] - rise[len(y) // 2]).tolist())
        return cls(before, after)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild it, as plain JSON types."""
        return {"before": self.before, "after": self.after}

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, *spatial)."""
        return self._mapped(x, self.before, self.after)

    def inverse(self, y: Tensor) -> Tensor:
        """Map images (N, C, *spatial) back."""
        return self._mapped(y, self.after, self.before)

    def _mapped(self, x: Tensor, before: Knots, after: Knots) -> Tensor:
        results = []
        for channel, (own, target) in enumerate(zip(before, after, strict=True)):
            pixels = x[:, channel].contiguous()
            start, end = (torch.tensor(knots, dtype=x.dtype, device=x.device) for knots in (own, target))
            right = torch.searchsorted(start, pixels.detach()).clamp(1, len(own) - 1)
            slope = (end[1:] - end[:-1]) / (start[1:] - start[:-1])
            results.append(end[right - 1] + (pixels - start[right - 1]) * slope[right - 1])
        return torch.stack(results, dim=1)


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
