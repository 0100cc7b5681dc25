"""Predictions of each pixel by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_synth.core.frames import FrameSpec, PreparedFrames


class Copied(PreparedFrames):
    """The nearest frame again."""

    spec = FrameSpec(history=1, divides=True)

    def predict(self, past: Tensor, count: int) -> Tensor:
        """Return the last frame; see `PreparedFrames.predict`."""
        return past[:, -1:].expand(-1, count, -1, -1, -1)

    def fill(self, before: Tensor, after: Tensor, count: int) -> Tensor:
        """Return the nearer of two frames; see `PreparedFrames.fill`."""
        earlier = (count + 1) // 2
        return torch.cat((self.predict(before, earlier), self.predict(after[:, :1], count - earlier)), dim=1)


class Lines(PreparedFrames):
    """A line through the last frames, kept within what the past frames hold, or between two.

    Parameters
    ----------
    frames : int
        How many.
    """

    def __init__(self, frames: int) -> None:
        self.spec = FrameSpec(history=frames, divides=True)

    def predict(self, past: Tensor, count: int) -> Tensor:
        """Continue the line; see `PreparedFrames.predict`."""
        known = past.shape[1]
        times = torch.arange(known, device=past.device, dtype=past.dtype)
        times = times - times.mean()
        mean = past.mean(1, keepdim=True)
        slope = torch.einsum("t,ntcyx->ncyx", times, past)[:, None] / times.square().sum().clamp_min(1.0)
        ahead = times[-1] + torch.arange(1, count + 1, device=past.device, dtype=past.dtype)
        low, high = past.amin((1, 3, 4), keepdim=True), past.amax((1, 3, 4), keepdim=True)
        return (mean + slope * ahead.view(1, -1, 1, 1, 1)).clamp(low, high)

    def fill(self, before: Tensor, after: Tensor, count: int) -> Tensor:
        """Blend; see `PreparedFrames.fill`."""
        share = torch.arange(1, count + 1, device=before.device, dtype=before.dtype) / (count + 1)
        return torch.lerp(before[:, -1:], after[:, :1], share.view(1, -1, 1, 1, 1))
