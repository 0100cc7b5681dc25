"""What trainings of denoisers share: the axes of a block, what is held out, and how near to it the restored pixels are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log10, prod

import numpy as np
import torch
from torch import Tensor

from napari_synth.contract.trainable import Dimensions
from napari_synth.core.device import Device
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.training.events import Preview
from napari_synth.training.patches import PatchRegion

PLANES = 8
"""Of a patch of a volume."""
AS_IT_IS = "the image as it is"
_EDGE = 256
_MOST_PIXELS = 2**17


def block_axes(images: Sequence[Image], wanted: Dimensions, device: Device) -> tuple[str, tuple[str, ...]]:
    """Return the spatial axes of a block, and what the user should know of the choice.

    Parameters
    ----------
    images : sequence of Image
    wanted : {"auto", "2D", "3D"}
    device : Device
    """
    volumes = all("Z" in image.axes for image in images)
    deep = volumes and min(image.sizes["Z"] for image in images) >= PLANES
    if wanted == "3D" and not volumes:
        return "YX", ("Not every image has a Z axis: planes are learnt from.",)
    if wanted == "3D" or (wanted == "auto" and deep and device.kind == "cuda"):
        return "ZYX", ()
    return "YX", ()


def patch_of(edge: int, axes: str) -> tuple[int, ...]:
    """Return the wanted patch along the axes of a block."""
    return (PLANES, edge, edge)[-len(axes) :]


def batch_of(device: Device, axes: str) -> int:
    """Return how many patches a step usually has."""
    return (2 if len(axes) == 3 else 8) * (1 if device.kind == "cpu" else 4)


@dataclass(frozen=True)
class Block:
    """A held-out part that is looked at again and again.

    Attributes
    ----------
    pixels : Tensor
        Shape (1, C, *spatial), on the device.
    inside : Tensor or None
        Shape (*spatial), bool.
    field : PatchRegion
        Where it comes from.
    """

    pixels: Tensor
    inside: Tensor | None
    field: PatchRegion


def held_out_blocks(fields: Sequence[PatchRegion], multiple: Sequence[int], device: str) -> list[Block]:
    """Return parts of held-out fields whose sizes a network takes, spread evenly and few enough to be looked at often.

    Parameters
    ----------
    fields : sequence of Field
    multiple : sequence of int
        What the sizes of a block are multiples of.
    device : str
        As torch calls it.
    """
    blocks: list[Block] = []
    fields = [field.at_least(multiple) for field in fields]
    edges = [_middle(field, multiple) for field in fields]
    affordable = max(1, _MOST_PIXELS // max(prod(part.stop - part.start for part in at) for at in edges))
    for number in np.unique(np.linspace(0, len(fields) - 1, min(len(fields), affordable)).round().astype(int)):
        field, at = fields[number], edges[number]
        pixels = torch.from_numpy(np.ascontiguousarray(field.pixels[(slice(None), *at)]))[None].to(device)
        inside = None if field.inside is None else torch.from_numpy(np.ascontiguousarray(field.inside[at])).to(device)
        if inside is not None and not bool(inside.any()):
            continue
        place = tuple(start + part.start for start, part in zip(field.place, at, strict=True))
        blocks.append(Block(pixels, inside, replace(field, place=place)))
    return blocks or [Block(torch.from_numpy(fields[0].pixels)[None].to(device), None, fields[0])]


def mean_square(
    blocks: Sequence[Block], restored: Callable[[Block], Tensor], truth: Callable[[Block], Tensor]
) -> float:
    """Return the mean squared error over all blocks, inside the region.

    Parameters
    ----------
    blocks : sequence of Block
    restored, truth : callable
        Map a block to what was made of it, and to what it should be.
    """
    total = count = 0.0
    for block in blocks:
        error = (restored(block).float() - truth(block)).square()
        chosen = error if block.inside is None else error[..., block.inside]
        total, count = total + float(chosen.sum()), count + chosen.numel()
    return total / count


def psnr(square: float) -> float:
    """Return the peak signal-to-noise ratio in dB, the range of the image being 1."""
    return 10.0 * log10(1.0 / max(square, 1e-12))


def preview_of(block: Block, restored: Tensor, intensity: IntensityTransform, axes: str) -> Preview:
    """Return a restored block (1, C, *spatial) in counts, colours last.

    Parameters
    ----------
    block : Block
    restored : Tensor, (1, C, *spatial)
        In normalised units.
    intensity : IntensityTransform
        Brings it back to counts.
    axes : str
        The spatial axes of the block.
    """
    pixels = intensity.inverse(restored[0].float().cpu().numpy()).astype(np.float32)
    colours = len(pixels) > 1
    shown = np.moveaxis(pixels, 0, -1) if colours else pixels[0]
    place = dict(zip(axes, block.field.place, strict=True))
    if block.field.frame is not None:
        place["T"] = block.field.frame
    place["C"] = block.field.apart
    return Preview(shown, axes + "S" * colours, place, block.field.image)


def _middle(field: PatchRegion, multiple: Sequence[int]) -> tuple[slice, ...]:
    """Return the middle of a field, or of its region, at most so large that it is looked at quickly."""
    parts = []
    for axis, (size, step) in enumerate(zip(field.spatial, multiple, strict=True)):
        most = PLANES if len(field.spatial) == 3 and axis == 0 else _EDGE
        edge = max(step, min(size, most) // step * step)
        middle = size / 2
        if field.inside is not None and field.inside.any():
            others = tuple(i for i in range(field.inside.ndim) if i != axis)
            weight = field.inside.sum(axis=others)
            middle = float((weight * np.arange(size)).sum() / weight.sum())
        start = int(np.clip(round(middle - edge / 2), 0, size - edge))
        parts.append(slice(start, start + edge))
    return tuple(parts)
