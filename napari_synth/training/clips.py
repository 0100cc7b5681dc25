"""Clips of time-lapses to learn from: what is read, what is held out, and how batches are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from napari_synth.core.errors import TrainingDataError
from napari_synth.imaging.image import Image
from napari_synth.training.dataset import Normalisation, read_fields, split_fields
from napari_synth.training.patches import MOST_PIXELS, PatchRegion, PatchSampler

AXES = "TYX"
# Many movies are split among each other.
_MANY = 8
_MOST_PIXELS = 2**18
_EDGE = 128


def read_movies(
    images: Sequence[Image], frames: int, *, channels: Literal["apart", "joint"] = "apart"
) -> tuple[list[PatchRegion], Normalisation]:
    """Read time-lapses as fields along T, Y and X.

    Parameters
    ----------
    images : sequence of Image
    frames : int
        Of a clip.
    channels : {"apart", "joint"}
        Whether every channel is a movie of its own, or the channels of one field; each is normalised by itself. RGB samples are
        always the channels of a field.

    Returns
    -------
    (fields, normalisation)
        Of the first channel where they are joint.

    Raises
    ------
    TrainingDataError
        An image has no T axis, or no movie has as many frames as a clip, or some have other channels than the others.
    """
    for image in images:
        if "T" not in image.axes:
            raise TrainingDataError(f"{image.name!r} has no T axis ({image.axes}): give time-lapses, or set the axes.")
    longest = max(image.sizes["T"] for image in images)
    if longest < frames:
        raise TrainingDataError(
            f"A clip has {frames} frames, the longest movie {longest}: learn from shorter clips, or give longer movies."
        )
    counts = {(image.sizes.get("S", 1), image.sizes.get("C", 1) if channels == "joint" else 1) for image in images}
    if len(counts) > 1:
        raise TrainingDataError("The movies have different channels: give movies of one kind.")
    together = channels == "joint" and any("C" in image.axes for image in images)
    parts = [list(images)]
    if together:
        parts = [[image.select(C=channel) for image in images] for channel in range(images[0].sizes["C"])]
    read = []
    for part in parts:
        normalisation = Normalisation.of(part)
        read.append((read_fields(part, normalisation, AXES, most_pixels=MOST_PIXELS // len(parts)), normalisation))
    fields = [
        replace(same[0], pixels=np.concatenate([field.pixels for field in same]))
        for same in zip(*(found for found, _ in read), strict=True)
    ]
    return [field for field in fields if field.spatial[0] >= frames], read[0][1]


def split_clips(
    fields: Sequence[PatchRegion], frames: int, share: float = 1 / 6
) -> tuple[list[PatchRegion], list[PatchRegion]]:
    """Hold out the end of every movie; where movies are short, or many, a part of them as `split_fields` does.

    Parameters
    ----------
    fields : sequence of Field
        Along T, Y and X.
    frames : int
        Of a clip: either part has as many.
    share : float
        Of the frames to hold out.

    Raises
    ------
    TrainingDataError
        There is too little for that.
    """
    if len({field.image for field in fields}) >= _MANY:
        return split_fields(fields, share)
    frozen = [max(frames, round(share * field.spatial[0])) for field in fields]
    if any(field.spatial[0] - last < frames for field, last in zip(fields, frozen, strict=True)):
        return split_fields(fields, share)
    cuts = [field.spatial[0] - last for field, last in zip(fields, frozen, strict=True)]
    parts = (
        [_between(field, 0, cut) for field, cut in zip(fields, cuts, strict=True)],
        [_between(field, cut, field.spatial[0]) for field, cut in zip(fields, cuts, strict=True)],
    )
    training, held_out = ([f for f in part if f.inside is None or f.inside.any()] for part in parts)
    if not (training and held_out):
        raise TrainingDataError("The region leaves nothing to check what was learnt: mark more frames of it.")
    return training, held_out


def held_out_clips(fields: Sequence[PatchRegion], frames: int, multiple: int, most: int = 16) -> list[PatchRegion]:
    """Return clips of held-out movies, spread evenly in time, few and small enough to be looked at often.

    Parameters
    ----------
    fields : sequence of Field
    frames : int
        Of a clip.
    multiple : int
        What height and width are multiples of.
    most : int
        How many clips at most.
    """
    clips = []
    every = [
        (number, start)
        for number, field in enumerate(fields)
        for start in range(0, field.spatial[0] - frames + 1, max(1, frames // 2))
    ]
    edges = [[min(size, _EDGE) // multiple * multiple or multiple for size in field.spatial[1:]] for field in fields]
    pixels = max(frames * height * width for height, width in edges)
    affordable = max(1, min(most, 4 * _MOST_PIXELS // pixels))
    for number, start in (every[i] for i in _spread(len(every), affordable)):
        field = fields[number].at_least((frames, *edges[number]))
        corner = [(size - edge) // 2 for size, edge in zip(field.spatial[1:], edges[number], strict=True)]
        at = (slice(start, start + frames), *(slice(c, c + e) for c, e in zip(corner, edges[number], strict=True)))
        place = tuple(a + b for a, b in zip(field.place, (start, *corner), strict=True))
        clips.append(
            replace(field, pixels=np.ascontiguousarray(field.pixels[(slice(None), *at)]), inside=None, place=place)
        )
    return clips


def draw_clips(pool: PatchSampler, batch_size: int, generator: torch.Generator, *, backwards: bool) -> Tensor:
    """Draw clips (N, T, C, Y, X) at random places, flipped and turned in the plane, and backwards in time where that is wanted.

    Parameters
    ----------
    pool : PatchSampler
    batch_size : int
        How many clips.
    generator : torch.Generator
    backwards : bool
        Whether half of them run backwards in time.
    """
    clips = pool.sample(batch_size, generator, flip=False)
    for axis in (2, 3, 4) if backwards else (3, 4):
        coins = torch.randint(2, (batch_size, 1, 1, 1, 1), device=clips.device, generator=generator).bool()
        clips = torch.where(coins, clips.flip(axis), clips)
    return clips.transpose(1, 2)


def _between(field: PatchRegion, start: int, stop: int) -> PatchRegion:
    """Return the part of a field with these frames."""
    inside = None if field.inside is None else field.inside[start:stop]
    place = (field.place[0] + start, *field.place[1:])
    return replace(field, pixels=field.pixels[:, start:stop], inside=inside, place=place)


def _spread(count: int, wanted: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()))
