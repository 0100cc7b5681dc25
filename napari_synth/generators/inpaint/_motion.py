"""Missing planes from those before and behind, along the motion between them where that is nearer to the truth."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from napari_synth.core.progress import check_cancelled
from napari_synth.generators.inpaint._neighbours import between
from napari_synth.generators.predict_frames._flow import Moved
from napari_synth.networks.sigma_map import gaussian_blur

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
