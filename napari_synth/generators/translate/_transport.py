"""Gives an image the colours of another: all of them, and as many of each.

Pitié, Kokaram and Dahyot, "Automated colour grading using colour distribution transfer", CVIU 2007: the distributions of
colours are brought to each other along one random direction after another (sliced optimal transport).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import special_ortho_group
from torch import Tensor

from napari_synth.core.errors import ReferenceImageError
from napari_synth.core.generator import BlockSpec, Context, Prepared
from napari_synth.core.image import Image
from napari_synth.generators._conditioning import full_precision
from napari_synth.generators.translate._colours import Colours, full_scale, sample_colours
from napari_synth.generators.translate._evidence import AsItIs, shows_something
from napari_synth.generators.translate._options import StrengthParams

_TURNS = 16
_STEPS = 1024
_BYTES_PER_PIXEL = 160


@dataclass(frozen=True)
class Turn:
    """One step of the transport: three directions at right angles, and a curve along each.

    Attributes
    ----------
    axes : numpy.ndarray, (3, 3)
        A direction a row.
    start, width : numpy.ndarray, (3,)
        Where the curve along each direction begins, and the distance of its points.
    shift : numpy.ndarray, (3, points)
        How far colours move there.
    """

    axes: Colours
    start: Colours
    width: Colours
    shift: Colours

    @classmethod
    def between(cls, own: Colours, target: Colours, axes: Colours) -> Turn:
        """Return the step that brings colours (pixels, 3) to others along three directions."""
        before, after = np.sort(own @ axes.T, axis=0), np.sort(target @ axes.T, axis=0)
        start, width = before[0], np.maximum(np.ptp(before, axis=0) / (_STEPS - 1), 1e-9)
        points = start + width * np.arange(_STEPS)[:, None]
        rank = (np.arange(len(before)) + 0.5) / len(before)
        wanted = (np.arange(len(after)) + 0.5) / len(after)
        curves = []
        for i in range(3):
            reached = np.interp(rank, wanted, after[:, i])
            # Equal colours before stay equal: they go to the mean of where they would.
            level, first, count = np.unique(before[:, i], return_index=True, return_counts=True)
            curves.append(np.interp(points[:, i], level, np.add.reduceat(reached, first) / count) - points[:, i])
        return cls(axes, start, width, np.stack(curves))

    def of(self, colours: Tensor) -> Tensor:
        """Move colours (N, 3, pixels)."""
        axes, start, width, shift = (
            torch.as_tensor(v, dtype=colours.dtype, device=colours.device)
            for v in (self.axes, self.start, self.width, self.shift)
        )
        along = ((axes @ colours) - start.view(3, 1)) / width.view(3, 1)
        along = along.clamp_(0.0, _STEPS - 1.0)
        left = along.long().clamp_max_(_STEPS - 2)
        share = along - left
        flat, place = shift.flatten(), left + torch.arange(3, device=colours.device).view(3, 1) * _STEPS
        moved = torch.lerp(flat[place], flat[place + 1], share)
        return colours + axes.T @ moved


class Transported(Prepared):
    """An image whose colours go where those of a reference are.

    Parameters
    ----------
    turns : list of Turn
        In normalised intensities.
    strength : float
    """

    def __init__(self, turns: list[Turn], strength: float) -> None:
        self.spec = BlockSpec.plane(0, bytes_per_pixel=_BYTES_PER_PIXEL)
        self._turns, self._strength = turns, strength

    def apply(self, block: Tensor) -> Tensor:
        """Move the colours of blocks (N, 3, H, W); see `Prepared.apply`."""
        with full_precision(block):
            return block + self._strength * (moved(block.flatten(2), self._turns).view(block.shape) - block)


def moved(colours: Tensor, turns: list[Turn]) -> Tensor:
    """Move colours (N, 3, pixels) by all turns."""
    for turn in turns:
        colours = turn.of(colours)
    return colours


def prepare_transport(image: Image, params: StrengthParams, context: Context) -> Prepared:
    """Find the way from the colours of an image to those of its reference.

    Raises
    ------
    ReferenceImageError
        There is none.
    """
    if context.reference is None:
        raise ReferenceImageError(
            "Colour transfer needs a reference image: say which image the result should look like."
        )
    if not shows_something(image):
        return AsItIs()
    own = sample_colours(image, context.seed)
    target = sample_colours(context.reference, context.seed)
    if image.dtype != context.reference.dtype:
        target = target * (full_scale(image) / full_scale(context.reference))
    own, target = ((c - context.intensity.offset) / context.intensity.scale for c in (own, target))
    context.report.start("Finding the way between the colours", _TURNS)
    rng = np.random.default_rng(context.seed)
    turns: list[Turn] = []
    for i in range(_TURNS):
        axes = np.eye(3) if i == 0 else special_ortho_group.rvs(3, random_state=rng)
        turn = Turn.between(own, target, axes)
        own = turn.of(torch.from_numpy(own.T.copy())[None])[0].numpy().T
        turns.append(turn)
        context.report.advance()
    return Transported(turns, params.strength)
