"""Moves frames along the optical flow between two of them.

References
----------
Jiang et al., "Super SloMo", CVPR 2018: the flow at a time between two frames, from those of both to the other.
"""

from __future__ import annotations

import numpy as np
import torch
from skimage.registration import optical_flow_ilk, optical_flow_tvl1
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.frames import FrameSpec, PreparedFrames
from napari_synth.contract.generator import Context
from napari_synth.contract.params import NoParams
from napari_synth.core.progress import check_cancelled
from napari_synth.imaging.image import Image
from napari_synth.methods.predict_frames.catalogue import LinearParams, OpticalFlowParams

_SMALLEST = 8


class Moved(PreparedFrames):
    """What is seen moves on at its speed.

    Parameters
    ----------
    flow : {"lucas-kanade", "tv-l1"}
    radius : int
        Of the neighbourhood of Lucas-Kanade.
    """

    spec = FrameSpec(history=2, divides=True, whole=True, bytes_per_pixel=128)

    def __init__(self, flow: str, radius: int) -> None:
        self._flow, self._radius = flow, radius

    def predict(self, past: Tensor, count: int) -> Tensor:
        """Move the last frame on; see `PreparedFrames.predict`."""
        last = past[:, -1]
        if past.shape[1] < 2:
            return last[:, None].expand(-1, count, -1, -1, -1)
        back = self._between(last, past[:, -2])
        frames, where = [], torch.zeros_like(back)
        for _ in range(count):
            # Along the path of what arrives at a pixel: where it was one step before, and the step before that.
            where = where + warped(back, where)
            frames.append(warped(last, where))
        return torch.stack(frames, dim=1)

    def fill(self, before: Tensor, after: Tensor, count: int) -> Tensor:
        """Move both frames towards the time between; see `PreparedFrames.fill`."""
        first, second = before[:, -1], after[:, 0]
        onwards, backwards = self._between(first, second), self._between(second, first)
        frames = []
        for number in range(1, count + 1):
            t = number / (count + 1)
            to_first = t * t * backwards - t * (1 - t) * onwards
            to_second = (1 - t) * (1 - t) * onwards - t * (1 - t) * backwards
            frames.append((1 - t) * warped(first, to_first) + t * warped(second, to_second))
        return torch.stack(frames, dim=1)

    def _between(self, here: Tensor, there: Tensor) -> Tensor:
        """Return where each pixel of ``here`` lies in ``there`` (both (N, C, Y, X)), relative to it: (N, 2, Y, X), in pixels."""
        flows = []
        for one, other in zip(here.mean(1), there.mean(1), strict=True):
            check_cancelled()
            pair = [frame.float().cpu().numpy() for frame in (one, other)]
            if min(one.shape) < _SMALLEST:
                flows.append(np.zeros((2, *one.shape), np.float32))
            elif self._flow == "tv-l1":
                flows.append(np.asarray(optical_flow_tvl1(*pair), np.float32))
            else:
                flows.append(np.asarray(optical_flow_ilk(*pair, radius=self._radius), np.float32))
        return torch.from_numpy(np.nan_to_num(np.stack(flows))).to(here.device)


def warped(frames: Tensor, where: Tensor) -> Tensor:
    """Return frames (N, C, Y, X) sampled at other places.

    Parameters
    ----------
    frames : Tensor
    where : Tensor, (N, 2, Y, X)
        Along Y and X, relative to each pixel, in pixels; beyond the border its pixels go on.
    """
    height, width = frames.shape[-2:]
    rows = torch.arange(height, device=frames.device, dtype=frames.dtype)[:, None] + where[:, 0]
    columns = torch.arange(width, device=frames.device, dtype=frames.dtype) + where[:, 1]
    grid = torch.stack((columns / max(1, width - 1), rows / max(1, height - 1)), dim=-1) * 2 - 1
    return functional.grid_sample(frames, grid, mode="bilinear", padding_mode="border", align_corners=True)


def prepare_optical_flow(movie: Image, params: OpticalFlowParams, context: Context) -> PreparedFrames:
    """Nothing to prepare.

    For its parameters see `FramePredictor.prepare`.
    """
    return Moved(params.flow, params.radius)


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


def prepare_linear(movie: Image, params: LinearParams, context: Context) -> PreparedFrames:
    """Nothing to prepare.

    For its parameters see `FramePredictor.prepare`.
    """
    return Lines(params.frames)


def prepare_copy_last(movie: Image, params: NoParams, context: Context) -> PreparedFrames:
    """Nothing to prepare.

    For its parameters see `FramePredictor.prepare`.
    """
    return Copied()
