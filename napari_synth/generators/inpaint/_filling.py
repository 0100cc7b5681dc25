"""Fills the holes of blocks, each by the method that suits it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from napari_synth.core.errors import MaskError
from napari_synth.core.generator import BlockSpec, Context, Prepared
from napari_synth.core.image import Image, colour_samples
from napari_synth.core.progress import check_cancelled
from napari_synth.generators.inpaint._biharmonic import fill_smoothly
from napari_synth.generators.inpaint._fills import Crop, Fill
from napari_synth.generators.inpaint._holes import Box, Holes, grown
from napari_synth.generators.inpaint._motion import between_in_motion
from napari_synth.generators.inpaint._neighbours import alikeness, between, explained

# Of a volume that is filled as a whole; larger ones are filled plane by plane.
_MOST_PIXELS = 2**28
_BYTES_PER_PIXEL = 64
_PLANES_AROUND = 3


@dataclass(frozen=True)
class Method:
    """What fills which holes.

    Attributes
    ----------
    thick : Fill, optional
        What fills thick holes; smoothly where there is none.
    along : bool
        Whether thick holes are filled from neighbouring planes where these tell what is missing.
    thin : float
        Radius in pixels up to which a hole is filled smoothly.
    context : int
        How far around a thick hole is looked at, in pixels; around a large one further.
    apart : int
        Thick holes nearer to each other than this are filled together.
    """

    thick: Fill | None = None
    along: bool = True
    thin: float = 3.0
    context: int = 64
    apart: int = 7

    def sorted(self, holes: Tensor) -> Holes:
        """Sort the holes (A, Y, X)."""
        return Holes.of(holes.cpu().numpy(), float("inf") if self.thick is None else self.thin, self.apart)


def prepare_filling(image: Image, method: Method, neighbours: bool, context: Context) -> Filling:
    """Choose the blocks of an image with a mask, and look which holes there are.

    Raises
    ------
    MaskError
        A plane is a hole as a whole, and there are no neighbours to fill it from.
    """
    axes, notes = _block_axes(image, neighbours)
    filling = Filling(axes, method, context)
    filling.notes = (*notes, *_tell(image, axes, method, context))
    return filling


class Filling(Prepared):
    """Fills the holes of blocks.

    Parameters
    ----------
    axes : str
        Of a block: a plane, or a stack of planes along Z or T.
    method : Method
    context : Context
    """

    def __init__(self, axes: str, method: Method, context: Context) -> None:
        n = len(axes)
        self.spec = BlockSpec(axes, (0,) * n, (1,) * n, (1,) * n, whole=True, bytes_per_pixel=_BYTES_PER_PIXEL)
        self._method, self._context = method, context

    def saying(self, sentence: str) -> Filling:
        """Add a note, and return this."""
        self.notes = (*self.notes, sentence)
        return self

    def apply(self, block: Tensor) -> Tensor:
        """Fill the holes of blocks (N, C + 1, [A,] Y, X); see `Prepared.apply`."""
        stacked = block if block.dim() == 5 else block.unsqueeze(2)
        with torch.autocast(block.device.type, enabled=False):
            filled = torch.stack([self._filled(part[:-1].float(), part[-1] > 0) for part in stacked])
        return filled.reshape(len(block), -1, *block.shape[2:])

    def _filled(self, pixels: Tensor, unknown: Tensor) -> Tensor:
        """Fill the holes (A, Y, X) of pixels (C, A, Y, X)."""
        if not bool(unknown.any()) or bool(unknown.all()):
            return pixels
        known = pixels[:, ~unknown]
        low, high = (getattr(known, end)(1).reshape(-1, 1, 1, 1) for end in ("amin", "amax"))
        holes = self._method.sorted(unknown)
        missing = torch.from_numpy(holes.missing).to(pixels.device)
        if holes.missing.any():
            pixels = between(pixels, missing)
        partial = unknown & ~missing[:, None, None]
        weights = (alikeness(pixels, ~unknown), 1.0, 1.0)
        pixels = fill_smoothly(pixels, partial, weights, check_cancelled).clamp(low, high)
        left = torch.from_numpy(holes.is_thick).to(pixels.device) | missing[:, None, None]
        generator = self._context.torch_generator()
        for box in holes.boxes:
            check_cancelled()
            pixels, left = self._textured(pixels, left, box, generator)
        if holes.missing.any():
            pixels = between_in_motion(pixels, missing)
        return pixels.clamp(low, high)

    def _textured(self, pixels: Tensor, left: Tensor, box: Box, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Fill the thick holes in a box, and return which are left."""
        deep, *wide = (part.stop - part.start for part in box)
        margin = max(self._method.context, 3 * max(wide) // 2)
        around = grown(box, (max(_PLANES_AROUND, deep // 2), margin, margin), tuple(left.shape))
        at = tuple(
            slice(part.start - crop.start, part.stop - crop.start) for part, crop in zip(box, around, strict=True)
        )
        crop, unknown = pixels[:, *around], left[around]
        holes = torch.zeros_like(unknown)
        holes[at] = unknown[at]
        filled = explained(crop, holes, unknown) if self._method.along else None
        if filled is None:
            assert self._method.thick is not None
            filled = self._method.thick(Crop(crop, holes, unknown), generator)
        pixels = pixels.clone()
        pixels[:, *around] = torch.where(holes, filled, crop)
        left = left.clone()
        left[around] &= ~holes
        return pixels, left


def _block_axes(image: Image, neighbours: bool) -> tuple[str, tuple[str, ...]]:
    """Return the axes of blocks, and what is to be told of them: neighbours along Z or T count where a hole may end along it."""
    assert image.mask is not None
    stacks = [a for a in "ZT" if neighbours and image.sizes.get(a, 1) > 1 and a in image.mask.axes]
    samples = colour_samples(image.sizes.get("S", 1))
    fitting = [a for a in stacks if samples * prod(image.sizes[axis] for axis in a + "YX") <= _MOST_PIXELS]
    for axes in (*(axis + "YX" for axis in fitting), "YX"):
        if not _covers(image.mask, axes):
            notes = ("The volume is too large to be filled as a whole: planes are filled one by one.",)
            return axes, notes if stacks and not fitting else ()
    what = "a whole stack of planes" if stacks else "a whole plane"
    raise MaskError(
        f"The mask covers {what}, which leaves nothing to learn from: mark less of it"
        + ("." if stacks or not _is_stack(image) else ", or let neighbouring planes and frames count.")
    )


def _is_stack(image: Image) -> bool:
    return any(image.sizes.get(axis, 1) > 1 for axis in "ZT")


def _covers(mask: Image, axes: str) -> bool:
    """Return whether a mask covers a whole block anywhere."""
    mapped = "".join(axis for axis in mask.axes if axis not in axes)
    return any(bool((mask.read(**at) != 0).all()) for at in mask.indices(mapped))


def _tell(image: Image, axes: str, method: Method, context: Context) -> tuple[str, ...]:
    """Say how many holes there are of which kind, and what is done with them."""
    assert image.mask is not None
    mask = image.mask
    mapped = "".join(axis for axis in mask.axes if axis not in axes)
    thin = thick = missing = 0
    for at in mask.indices(mapped):
        context.report.cancel.check()
        block = mask.read(**at) != 0
        order = [axis for axis in mask.axes if axis in axes]
        block = block.transpose([order.index(axis) for axis in axes if axis in order])
        found = method.sorted(torch.from_numpy(np.ascontiguousarray(block.reshape((-1, *block.shape[-2:])))))
        thin, thick, missing = thin + found.thin, thick + found.thick, missing + int(found.missing.sum())
    said = []
    if thin:
        said.append(f"{_counted(thin, 'hole' if method.thick is None else 'thin hole')} filled smoothly.")
    if thick and method.thick is not None:
        how = (
            "from neighbouring planes where these tell what is missing, else " if method.along and len(axes) > 2 else ""
        )
        said.append(f"{_counted(thick, 'thick hole')} filled {how}{method.thick.said}.")
    if missing:
        said.append(
            f"{_counted(missing, 'missing plane')} interpolated between those before and behind, along motion where that is better."
        )
    return tuple(said)


def _counted(count: int, what: str) -> str:
    return f"1 {what} is" if count == 1 else f"{count} {what}s are"
