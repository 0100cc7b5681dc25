"""Fills what is hidden at one place of many frames, such as dust on a camera: once for all frames that show the same.

Frames are brought into register by the movement of what lies around the hole, and put together. Where the scene moves, other frames
show what is hidden in one; where it stands still, the noise of many becomes that of a mean, the hole is filled once, and nothing
flickers. What the mosaic does not tell of the rim of the hole in a frame that had no part in it says whether it may be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, pi

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.core.progress import check_cancelled
from napari_synth.imaging.registration import estimate_shift
from napari_synth.methods.correct.moving import TAPS, shifted
from napari_synth.methods.inpaint.biharmonic import fill_smoothly
from napari_synth.networks.sigma_map import gaussian_blur

# Pixels around a hole that say whether a mosaic may be believed.
_RIM = 8
# Frames that are put together at most: over many more, scenes change.
_MOST_FRAMES = 24
# Of the edge of what is looked at: how far frames of one mosaic may be moved.
_FARTHEST = 0.25
# Pixels: what moves less over all frames stands still.
_STILL = 0.15
# Correlation of details: of what is less alike no movement is known.
_LEAST_ALIKE = 0.2
# Standard deviation in pixels: whatever smooths noise away leaves what a mosaic gets wrong.
_SMOOTHED = 1.5
# Of the variance of the rim: where more is left, the mosaic is another scene.
_MOST_UNEXPLAINED = 0.4
# Times the variance that white noise has after the smoothing: what is left has no form.
_MOST_FORM = 2.0

# How many times more of both a single frame may have, of which there is less to tell it by.
_ONE_FRAME = 2.0

Filler = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Takes planes (C, A, Y, X), their holes and the pixels that say nothing (A, Y, X); returns the planes with their holes filled."""


def seen_together(pixels: Tensor, holes: Tensor, unknown: Tensor, fill: Filler) -> Tensor | None:
    """Fill the holes of a crop by what its frames show together.

    Parameters
    ----------
    pixels : torch.Tensor, (C, A, Y, X)
        The holes are filled smoothly.
    holes : torch.Tensor of bool, (A, Y, X)
        Pixels to be filled.
    unknown : torch.Tensor of bool, (A, Y, X)
        Pixels that say nothing, the holes among them.
    fill : callable
        Fills what no frame shows, and the holes of frames that are unlike the others.

    Returns
    -------
    torch.Tensor, (C, A, Y, X), or None
        None where the frames do not tell each other's rims.
    """
    marked = [int(plane) for plane in holes.any((1, 2)).nonzero().squeeze(1)]
    if len(marked) < 2:
        return None
    result, alone = pixels.clone(), holes.clone()
    for group in _groups(pixels, marked):
        check_cancelled()
        part = holes[group.planes]
        mosaic = _Mosaic.of(pixels[:, group.planes], unknown[group.planes], group)
        told = mosaic.told(part)
        if not any(told):
            continue
        whole = mosaic.completed(part, told, fill)
        for index, plane in enumerate(range(group.planes.start, group.planes.stop)):
            if told[index]:
                guess = _without_seam(pixels[:, plane], group.back(whole, index), holes[plane], unknown[plane])
                result[:, plane] = torch.where(holes[plane], guess, pixels[:, plane])
                alone[plane] = False
    if not bool(alone.any()):
        return result
    return None if bool((alone == holes).all()) else torch.where(alone, fill(pixels, alone, unknown), result)


@dataclass(frozen=True)
class _Group:
    """Frames of one mosaic.

    Attributes
    ----------
    planes : slice
    moves : list of (float, float)
        Where what is at a place of the first of them lies in each, relative to it, in pixels along Y and X.
    """

    planes: slice
    moves: list[tuple[float, float]]

    def forth(self, planes: Tensor) -> Tensor:
        """Bring planes (C, A, Y, X) into register with the first."""
        return torch.stack([_moved(planes[:, index], move) for index, move in enumerate(self.moves)], 1)

    def back(self, plane: Tensor, index: int) -> Tensor:
        """Return a plane (C, Y, X) as one of the frames shows it."""
        y, x = self.moves[index]
        return _moved(plane, (-y, -x))

    def shown(self, unknown: Tensor) -> Tensor:
        """Return which pixels of the first each frame shows, (A, Y, X), from those which say nothing."""
        found = torch.zeros_like(unknown)
        for index, (y, x) in enumerate(self.moves):
            # A moved pixel is made of its neighbours.
            reach = [0 if move == round(move) else TAPS for move in (y, x)]
            size = [2 * r + 1 for r in reach]
            near = functional.max_pool2d(unknown[index].float()[None], size, stride=1, padding=reach)
            known = _moved(1.0 - near, (float(round(y)), float(round(x))))[0] > 0.5
            down, right = (ceil(abs(move)) for move in (y, x))
            height, width = known.shape
            inside = torch.zeros_like(known)
            inside[
                down if y < 0 else 0 : height - (down if y > 0 else 0),
                right if x < 0 else 0 : width - (right if x > 0 else 0),
            ] = True
            found[index] = known & inside
        return found


def _moved(plane: Tensor, move: tuple[float, float]) -> Tensor:
    """Return a plane (C, Y, X) as it is at each place plus a move."""
    return shifted(shifted(plane, 1, move[0]), 2, move[1])


def _groups(pixels: Tensor, marked: list[int]) -> Iterator[_Group]:
    """Split the frames from the first to the last with a hole into groups that may be put together."""
    planes = range(marked[0], marked[-1] + 1)
    path = _path(pixels, planes)
    farthest = [_FARTHEST * size for size in pixels.shape[2:]]
    start = 0
    for index in range(1, len(planes) + 1):
        moves = [(y - path[start][0], x - path[start][1]) for y, x in path[start : index + 1]]
        is_far = any(abs(move) > most for move, most in zip(moves[-1], farthest, strict=True))
        if index == len(planes) or index - start == _MOST_FRAMES or is_far:
            yield _Group(slice(planes[start], planes[0] + index), moves[: index - start])
            start = index


def _path(pixels: Tensor, planes: range) -> list[tuple[float, float]]:
    """Return where what is at a place of the first plane lies in each, relative to it, with frames unlike the others left out."""
    path = [(0.0, 0.0)]
    known, missed = 0, 0
    for index in range(1, len(planes)):
        check_cancelled()
        here, there = (pixels[:, planes[at]].mean(0).double().cpu().numpy() for at in (known, index))
        found = estimate_shift(here, there)
        (y, x), (up, left) = path[known], found.displacement
        is_alike = found.correlation >= _LEAST_ALIKE
        path.append((y + up, x + left) if is_alike else (y, x))
        missed = 0 if is_alike else missed + 1
        known = index if is_alike or missed > 1 else known
    return path if max(abs(move) for place in path for move in place) >= _STILL else [(0.0, 0.0)] * len(planes)


@dataclass(frozen=True)
class _Mosaic:
    """Frames in register.

    Attributes
    ----------
    frames : torch.Tensor, (C, A, Y, X)
    shown : torch.Tensor of bool, (A, Y, X)
        Which pixels each of them shows.
    group : _Group
    """

    frames: Tensor
    shown: Tensor
    group: _Group

    @classmethod
    def of(cls, pixels: Tensor, unknown: Tensor, group: _Group) -> _Mosaic:
        """Put frames (C, A, Y, X) together."""
        return cls(group.forth(pixels), group.shown(unknown), group)

    def told(self, holes: Tensor) -> list[bool]:
        """Return for each frame whether the others tell the rim of its holes (A, Y, X); none where they do not tell most."""
        rims = [self._rim(index, hole) for index, hole in enumerate(holes)]
        told = [rim is not None and rim.is_told(_ONE_FRAME) for rim in rims]
        good = [rim for rim, is_told in zip(rims, told, strict=True) if rim is not None and is_told]
        most = sum(rim is not None for rim in rims) / 2
        return told if len(good) > most and sum(good[1:], good[0]).is_told(1.0) else [False] * len(rims)

    def _rim(self, index: int, hole: Tensor) -> _Rim | None:
        """Compare the rim of a hole (Y, X) in a frame with the others; None where nothing is seen of it."""
        near = functional.max_pool2d(hole.float()[None], 2 * _RIM + 1, stride=1, padding=_RIM)
        others = [other for other in range(len(self.shown)) if other != index]
        rim = (_moved(near, self.group.moves[index])[0] > 0.5) & self.shown[index] & self.shown[others].any(0)
        if not bool(hole.any()) or int(rim.sum()) < 2:
            return None
        frame = self.frames[:, index]
        seen = torch.where(self.shown[others][:, rim], self.frames[:, others][..., rim], torch.nan)
        off = torch.zeros_like(frame)
        # The mean would hold what few frames show that are unlike the others.
        off[:, rim] = frame[:, rim] - seen.nanmedian(1).values
        white = float(off[:, rim].var(1, correction=0).sum()) / (4.0 * pi * _SMOOTHED**2)
        return _Rim(_smooth_variance(frame, rim), _smooth_variance(off, rim), white)

    def completed(self, holes: Tensor, told: list[bool], fill: Filler) -> Tensor:
        """Return the mean (C, Y, X) of frames that are told; what none of them shows is filled where holes (A, Y, X) need it."""
        frames, shown = self.frames[:, told], self.shown[told]
        plane, empty = (frames * shown).sum(1) / shown.sum(0).clamp_min(1), ~shown.any(0)
        needed = self.group.forth(holes[None].to(plane.dtype))[0].amax(0) > 0.0
        missing = empty & (functional.max_pool2d(needed.float()[None], 2 * TAPS + 1, stride=1, padding=TAPS)[0] > 0.0)
        if not bool(missing.any()):
            return plane
        stacked = fill_smoothly(plane[:, None], empty[None], (0.0, 1.0, 1.0), check_cancelled)
        return torch.where(missing, fill(stacked, missing[None], empty[None]), stacked)[:, 0]


@dataclass(frozen=True)
class _Rim:
    """What is seen around a hole.

    Attributes
    ----------
    spread : float
        Variance of what is seen, without its noise.
    left : float
        Of what others get wrong of it.
    white : float
        What this would be if others got nothing wrong but white noise.
    """

    spread: float
    left: float
    white: float

    def __add__(self, other: _Rim) -> _Rim:
        return _Rim(self.spread + other.spread, self.left + other.left, self.white + other.white)

    def is_told(self, tolerance: float) -> bool:
        """Return whether others tell what is seen, or all of it but noise."""
        return self.left <= tolerance * max(_MOST_UNEXPLAINED * self.spread, _MOST_FORM * self.white)


def _smooth_variance(plane: Tensor, part: Tensor) -> float:
    """Return the variance of a plane (C, Y, X) in a part of it after a Gaussian, the sum of the channels."""
    values = plane[:, part]
    centred = torch.where(part, plane - values.mean(1).reshape(-1, 1, 1), 0.0)
    weight = gaussian_blur(part.to(plane.dtype)[None, None], (_SMOOTHED,) * 2)[0]
    smooth = gaussian_blur(centred[None], (_SMOOTHED,) * 2)[0] / weight.clamp_min(1e-6)
    return float(smooth[:, part].var(1, correction=0).sum())


def _without_seam(frame: Tensor, guess: Tensor, hole: Tensor, unknown: Tensor) -> Tensor:
    """Return a guess (C, Y, X) with what it gets wrong of a frame around the hole carried smoothly into the hole."""
    near = functional.max_pool2d(hole.float()[None], 2 * _RIM + 1, stride=1, padding=_RIM)[0] > 0.5
    rim = near & ~unknown
    if not bool(rim.any()):
        return guess
    off = gaussian_blur(torch.where(rim, frame - guess, 0.0)[None], (_SMOOTHED,) * 2)[0]
    weight = gaussian_blur(rim.to(frame.dtype)[None, None], (_SMOOTHED,) * 2)[0]
    smooth = torch.where(rim, off / weight.clamp_min(1e-6), 0.0)
    return guess + fill_smoothly(smooth[:, None], (near & ~rim)[None], (0.0, 1.0, 1.0))[:, 0]
