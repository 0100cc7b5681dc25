"""What neighbouring planes and frames say of a hole."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.generators.inpaint._biharmonic import fill_smoothly

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
