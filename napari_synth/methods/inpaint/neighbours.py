"""What neighbouring planes and frames say of a hole."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.core.progress import check_cancelled
from napari_synth.methods.inpaint.biharmonic import fill_smoothly
from napari_synth.methods.predict_frames.flow import Moved
from napari_synth.networks.sigma_map import gaussian_blur

_RIM = 8
_LEAST_ALIKE = 0.05
# Of the variance of the rim: where the neighbours leave more of it, copied patches are as near to the truth.
_MOST_UNEXPLAINED = 0.4


def alikeness(pixels: Tensor, known: Tensor) -> float:
    """Return how much neighbouring planes belong together, where neighbours in a plane do by 1.

    It is the mean squared difference of neighbours in a plane over that of neighbours along the first axis, at most 1, and 0
    where planes have hardly anything in common.

    Parameters
    ----------
    pixels : torch.Tensor, (C, A, Y, X)
    known : torch.Tensor of bool, (A, Y, X)
    """
    if pixels.shape[1] < 2:
        return 0.0
    along = _roughness(pixels, known, 0)
    found = [_roughness(pixels, known, axis) for axis in (1, 2)]
    across = [value for value in found if value is not None]
    if along is None or not across:
        return 0.0
    share = min(1.0, sum(across) / len(across) / along) if along > 0.0 else 1.0
    return share if share >= _LEAST_ALIKE else 0.0


def _roughness(pixels: Tensor, known: Tensor, axis: int) -> float | None:
    """Return the mean squared difference of known neighbours, or None where there are none."""
    both = known.narrow(axis, 1, known.shape[axis] - 1) & known.narrow(axis, 0, known.shape[axis] - 1)
    count = int(both.sum())
    if not count:
        return None
    steps = pixels.diff(dim=axis + 1).square_().mean(0)
    return float((steps * both).sum()) / count


def between(pixels: Tensor, missing: Tensor) -> Tensor:
    """Fill missing planes with those before and behind, the nearer the more.

    Parameters
    ----------
    pixels : torch.Tensor, (C, A, Y, X)
    missing : torch.Tensor of bool, (A,)
        At least one is none.
    """
    there = (~missing).nonzero().squeeze(1).tolist()
    result = pixels.clone()
    for plane in missing.nonzero().squeeze(1).tolist():
        before = max((at for at in there if at < plane), default=None)
        behind = min((at for at in there if at > plane), default=None)
        result[:, plane] = _mixed(pixels, plane, before, behind)
    return result


def _mixed(pixels: Tensor, plane: int, before: int | None, behind: int | None) -> Tensor:
    if before is None or behind is None:
        nearest = behind if before is None else before
        assert nearest is not None
        return pixels[:, nearest]
    return torch.lerp(pixels[:, before], pixels[:, behind], (plane - before) / (behind - before))


def explained(pixels: Tensor, holes: Tensor, unknown: Tensor) -> Tensor | None:
    """Fill the holes of a crop with the planes before and behind, where these tell its rim.

    What they get wrong at the rim is carried smoothly into the hole, so that there is no seam.

    Parameters
    ----------
    pixels : torch.Tensor, (C, A, Y, X)
    holes : torch.Tensor of bool, (A, Y, X)
        Pixels to be filled.
    unknown : torch.Tensor of bool, (A, Y, X)
        Pixels that say nothing, the holes among them.

    Returns
    -------
    torch.Tensor or None
        None where the neighbours do not tell.
    """
    planes = holes.any((1, 2)) if holes.shape[0] > 1 else holes.new_zeros(1)
    marked = [int(plane) for plane in planes.nonzero().squeeze(1)]
    if not marked:
        return None
    footprint = holes.any(0)
    around = functional.max_pool2d(footprint.float()[None], 2 * _RIM + 1, stride=1, padding=_RIM)[0] > 0
    usable = ~(unknown & footprint).any((1, 2))
    before = max((int(at) for at in usable.nonzero().squeeze(1) if at < marked[0]), default=None)
    behind = min((int(at) for at in usable.nonzero().squeeze(1) if at > marked[-1]), default=None)
    if before is None and behind is None:
        return None
    result, left, spread = pixels.clone(), 0.0, 0.0
    for plane in marked:
        guess = _mixed(pixels, plane, before, behind)
        off = pixels[:, plane] - guess
        sides = [side for side in (before, behind) if side is not None]
        rim = around & ~torch.stack([unknown[side] for side in (plane, *sides)]).any(0)
        if not bool(rim.any()):
            return None
        # The smooth part of the difference is mended.
        varied = pixels[:, plane][:, rim]
        left += float(off[:, rim].var(1, correction=0).sum())
        spread += float(varied.var(1, correction=0).sum())
        carried = fill_smoothly(off, ~rim & around)
        result[:, plane] = torch.where(holes[plane], guess + carried, pixels[:, plane])
    return result if left <= _MOST_UNEXPLAINED * spread else None


_RADIUS = 7
_TRIALS = 3
# Edge of what is looked at in a trial, in pixels.
_TRIAL_EDGE = 384
# Of the squared error of a fade.
_BETTER = 0.85
# Standard deviation in pixels: whatever smooths noise is nearer to the truth, and says nothing of motion.
_SMOOTHED = 1.5


def between_in_motion(pixels: Tensor, missing: Tensor) -> Tensor:
    """Fill missing planes with what lies between those before and behind.

    What is there is tried on planes that are not missing, with gaps like those to be filled: where moving what is seen is clearly
    nearer to them than a fade from one to the other, the missing planes are made so.

    Parameters
    ----------
    pixels : torch.Tensor, (C, A, Y, X)
    missing : torch.Tensor of bool, (A,)
        At least one is none.

    Returns
    -------
    torch.Tensor, (C, A, Y, X)
    """
    result = between(pixels, missing)
    there = (~missing).nonzero().squeeze(1).tolist()
    moves: dict[int, bool] = {}
    for before, behind in pairwise(there):
        gap = behind - before
        if gap < 2:
            continue
        if gap not in moves:
            moves[gap] = _moves(pixels, there, gap)
        if moves[gap]:
            result[:, before + 1 : behind] = _moved(pixels[:, before], pixels[:, behind], gap - 1)
    return result


def _moves(pixels: Tensor, there: list[int], gap: int) -> bool:
    """Return whether planes that are known are better predicted along the motion over a gap."""
    known = set(there)
    spans = [(at, at + gap) for at in there if at + gap in known and any(at + i in known for i in range(1, gap))]
    if not spans:
        # Motion over a shorter gap says at least whether there is any.
        spans = [(at, at + 2) for at in there if at + 2 in known and at + 1 in known]
    chosen = spans[:: max(1, -(-len(spans) // _TRIALS))]
    top, left = (max(0, (size - _TRIAL_EDGE) // 2) for size in pixels.shape[2:])
    middle = pixels[..., top : top + _TRIAL_EDGE, left : left + _TRIAL_EDGE]
    faded = moved = 0.0
    for before, behind in chosen:
        check_cancelled()
        held_out = [at for at in range(before + 1, behind) if at in known]
        guess = _moved(middle[:, before], middle[:, behind], behind - before - 1)
        for at in held_out:
            fade = torch.lerp(middle[:, before], middle[:, behind], (at - before) / (behind - before))
            faded += _apart(fade, middle[:, at])
            moved += _apart(guess[:, at - before - 1], middle[:, at])
    return bool(chosen) and moved < _BETTER * faded


def _apart(guess: Tensor, truth: Tensor) -> float:
    return float(gaussian_blur((guess - truth)[None], _SMOOTHED).square().mean())


def _moved(before: Tensor, behind: Tensor, count: int) -> Tensor:
    """Return ``count`` planes (C, count, Y, X) between two (C, Y, X)."""
    frames = Moved("lucas-kanade", _RADIUS).fill(before[None, None], behind[None, None], count)
    return frames[0].transpose(0, 1)
