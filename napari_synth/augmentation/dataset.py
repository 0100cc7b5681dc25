"""Augmented crops to train on, made in batches on the device where the sources lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from napari_synth.augmentation.batch import (
    Range,
    background,
    measured_ranges,
    moved_points,
    pasted,
    shaded_batch,
    warped,
    warped_labels,
)
from napari_synth.augmentation.displacement import SamplingMap
from napari_synth.augmentation.draws import Draw
from napari_synth.augmentation.geometry import Crop
from napari_synth.augmentation.layout import Layout, exact, floating, tensor_of
from napari_synth.augmentation.pipeline import Pipeline
from napari_synth.augmentation.plan import Plan
from napari_synth.augmentation.sample import Floats, Sample
from napari_synth.augmentation.sampling import Windows, folded, steps
from napari_synth.augmentation.shading import MIXING
from napari_synth.augmentation.transform import Frame, Transform
from napari_synth.core.arguments import whole
from napari_synth.core.errors import AxesError, InvalidImageError, InvalidParameterError

_MARGIN = 4
_MOST_CROPS = 2**32
_LABEL_TYPES = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.bool: torch.uint8}


class Item(TypedDict, total=False):
    """What a data set yields: of a batch every entry is stacked, and points are a list.

    ``labels`` and ``points`` are there where all sources have them. ``draw`` says what was done.
    """

    image: Tensor
    labels: Tensor
    points: Any
    draw: Any


@dataclass(frozen=True)
class _Scene:
    """One plane or volume to cut crops from."""

    image: Tensor
    labels: Tensor | None
    points: Floats | None
    frame: Frame
    ranges: tuple[Range, ...]


class Places(Tensor):
    """Points of one crop, of which torch's data loaders make a list: crops have different numbers of them."""


def _listed(items: list[Any], **_: Any) -> list[Any]:
    return [item.as_subclass(Tensor) if isinstance(item, Places) else item for item in items]


# What torch documents for types of one's own, so that its data loaders need no other function to make batches.
default_collate_fn_map[Places] = _listed
default_collate_fn_map[Draw] = _listed


class AugmentedCrops(Dataset[Item]):
    """Random crops of a few samples, augmented, as many as wanted; the same ones for the same seed and epoch.

    Crops are cut and moved in one step, so that what is turned into a crop comes from the image around it. With a
    `torch.utils.data.DataLoader`, with workers or without, each crop is the same to the last bit whatever the batch size; whenever
    an index is asked for again, its crop is that of the next epoch. `batches` is faster, and the way to go on a GPU; its crops
    differ from those by the rounding of a batch. On several machines, set ``epoch`` before each.

    Parameters
    ----------
    sources : sequence of Sample
        Of the same channels; sizes may differ. Planes of a volume are scenes of their own where crops are planes, and so are the
        frames of a movie.
    pipeline : Pipeline or what may stand for one
        Applied to each crop; see `Pipeline.of`.
    crop : sequence of int
        ``(Y, X)`` or ``(Z, Y, X)`` in pixels.
    count : int
        Crops in an epoch.
    seed : int
    device : str
        Where the sources are kept and crops are made.

    Raises
    ------
    InvalidParameterError
        There is no source, or the crop is not of two or three sizes.
    InvalidImageError
        The sources have no image, or different channels.
    AxesError
        Crops are volumes and a source has no Z.
    """

    def __init__(
        self,
        sources: Sequence[Sample],
        pipeline: Pipeline | Sequence[Transform] | str,
        *,
        crop: Sequence[int],
        count: int = 1000,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        self.count = whole("The count of crops", count, 1, _MOST_CROPS)
        self.seed = whole("The seed", seed, -(2**63), 2**63 - 1)
        if not sources:
            raise InvalidParameterError("There is nothing to cut crops from: give at least one sample.")
        if len(crop) not in (2, 3) or min(crop) < 1:
            raise InvalidParameterError(
                f"A crop cannot be {tuple(crop)}: give two or three sizes of at least one pixel."
            )
        given = Pipeline.of(pipeline)
        depth = {"depth": crop[0]} if len(crop) == 3 else {}
        first = Crop(height=crop[-2], width=crop[-1], **depth)
        self.pipeline = given.model_copy(update={"transforms": (first, *given.transforms)})
        self.epoch = 0
        # How often each was asked for, by all workers together.
        self._asked = torch.zeros(self.count, dtype=torch.int32)
        with suppress(RuntimeError, OSError):
            self._asked.share_memory_()  # type: ignore[no-untyped-call]
        self.device = torch.device(device)
        axes = "ZYX"[3 - len(crop) :]
        self._scenes = [scene for source in sources for scene in _scenes(source, axes, self.device)]
        if len({scene.image.shape[0] for scene in self._scenes}) > 1:
            raise InvalidImageError("The samples have different numbers of channels: give samples of one kind.")
        self._labelled = all(scene.labels is not None for scene in self._scenes)
        self._dotted = all(scene.points is not None for scene in self._scenes)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Item:
        """Return one crop: image (C, [Z,] Y, X), labels ([Z,] Y, X), points (N, D)."""
        if not -self.count <= index < self.count:
            raise IndexError(f"There are {self.count} crops, and none has the number {index}.")
        index = int(index) % self.count
        epoch = self.epoch + int(self._asked[index])
        self._asked[index] += 1
        batch = self._made([(index, epoch)])
        item: Item = {"image": batch["image"][0], "draw": batch["draw"][0]}
        if "labels" in batch:
            item["labels"] = batch["labels"][0]
        if "points" in batch:
            item["points"] = batch["points"][0].as_subclass(Places)
        return item

    def batches(self, batch_size: int, *, drop_last: bool = True) -> Iterator[Item]:
        """Iterate over an epoch in batches on the device, then begin the next epoch."""
        for start in range(0, self.count, batch_size):
            indices = range(start, min(start + batch_size, self.count))
            if len(indices) == batch_size or not drop_last:
                yield self.batch(indices)
        self.epoch += 1

    def batch(self, indices: Sequence[int]) -> Item:
        """Return crops as one batch: image (B, C, [Z,] Y, X), labels (B, [Z,] Y, X), and points as a list of (N, D)."""
        return self._made([(index, self.epoch) for index in indices])

    def _made(self, numbers: Sequence[tuple[int, int]]) -> Item:
        """Return crops, each given by its index and its epoch, as one batch."""
        drawn = [self._drawn(*number) for number in numbers]
        own = len(drawn)
        others = list(range(own))
        for i, number in enumerate(numbers):
            if (partner := self._partner(*number, drawn[i][1])) is not None:
                others[i] = len(drawn)
                drawn.append(self._drawn(*partner))
        scenes, draws = zip(*drawn, strict=True)
        plan = Plan.of(draws)
        if len(drawn) > own:
            plan = plan.mixed_with(MIXING, own, others + list(range(own, len(drawn))))
        warp, sampling = plan.map(), self.pipeline.sampling
        sizes = torch.tensor([scene.frame.sizes[::-1] for scene in scenes], dtype=torch.float32, device=self.device)
        places = folded(warp.coordinates(sizes), sizes, sampling.outside)
        starts, extent = _windows(places, sizes, warp, smooth=sampling.antialias)
        ends = torch.tensor([scene.ranges for scene in scenes], dtype=torch.float32, device=self.device)
        low, high = ends[..., 0], ends[..., 1]
        level = background(sampling, low)
        # Alpha is no intensity, and 0 where there is no image.
        level = torch.cat([level, level.new_zeros(len(level), scenes[0].image.shape[0] - level.shape[1])], 1)
        cut = [
            _cut(floating(scene.image), start, extent, own)
            for scene, start, own in zip(scenes, starts.tolist(), level, strict=True)
        ]
        origin = torch.tensor(starts.flip(1).tolist(), dtype=torch.float32, device=self.device)
        images = warped(Windows(torch.stack(cut), origin, sizes), warp, places, sampling, level)
        shown = shaded_batch(images, plan, low, high, rgb=scenes[0].frame.rgb)
        item: Item = {"image": shown[:own], "draw": list(draws[:own])}
        if self._labelled:
            none = torch.zeros(1, dtype=torch.long)
            parts = [
                _cut(scene.labels[None], start, extent, none)
                for scene, start in zip(scenes, starts.tolist(), strict=True)
                if scene.labels is not None
            ]
            moved = warped_labels(Windows(torch.stack(parts), origin, sizes), places)
            item["labels"] = pasted(moved, plan)[:own, 0]
        if self._dotted:
            points = [scene.points for scene in scenes if scene.points is not None]
            item["points"] = list(moved_points(points, plan, warp, plan.axes, sampling)[0][:own])
        return item

    def _partner(self, index: int, epoch: int, draw: Draw) -> tuple[int, int] | None:
        """Return which other crop of the epoch is mixed in, whatever batch it comes in; None where none is."""
        step = next((step for step in draw.steps if step.kind in MIXING and step.applied), None)
        if step is None:
            return None
        share = step.values["partner"]
        assert isinstance(share, float)
        return (index + 1 + int(share * max(self.count - 1, 1))) % self.count, epoch

    def _drawn(self, index: int, epoch: int) -> tuple[_Scene, Draw]:
        """Choose a scene, the larger the likelier, and draw."""
        key = np.array([self.seed % 2**64, (epoch << 40) | index], dtype=np.uint64)
        rng = np.random.Generator(np.random.Philox(key=key))
        weights = np.cumsum([float(np.prod(scene.frame.sizes)) for scene in self._scenes])
        chosen = int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
        scene = self._scenes[min(chosen, len(self._scenes) - 1)]
        return scene, self.pipeline.draw_for(int(rng.integers(2**53)), scene.frame, scene.ranges)


def _scenes(sample: Sample, axes: str, device: torch.device) -> list[_Scene]:
    """Return the planes or volumes of a sample, one for each position along its other axes."""
    if sample.image is None:
        raise InvalidImageError("A sample has no image: there is nothing to cut crops from.")
    if "Z" in axes and "Z" not in sample.axes:
        raise AxesError(
            f"Crops of three sizes are volumes, and a sample with axes {sample.axes} has no Z: give two sizes."
        )
    layout = Layout(sample.axes, sample.sizes)
    volume = layout.forth(tensor_of(sample.image)).to(device)
    labels = None
    if sample.labels is not None:
        own = Layout(sample.labels_axes, dict(zip(sample.labels_axes, sample.labels.shape, strict=True)))
        if "C" in sample.labels_axes:
            raise AxesError("The labels have channels: give one labels array for all channels to train on crops.")
        found = tensor_of(sample.labels)
        found = found.to(_LABEL_TYPES[found.dtype]) if found.dtype in _LABEL_TYPES else exact(found)
        labels = own.forth(found).to(device)[:, 0]
    rows = dict(sample.coordinates()).get("points")
    columns = sample.columns("points", rows) if rows is not None else ""
    ranges, frame = measured_ranges(sample), sample.frame(axes)
    frame = Frame(axes, frame.sizes, frame.spacing, frame.channels, 1, frame.rgb)
    deep = "Z" in axes
    scenes = []
    for time, plane in product(range(volume.shape[0]), range(1 if deep else volume.shape[2])):
        place = {"T": time, "Z": plane}
        image = volume[time] if deep else volume[time, :, plane]
        marked = None
        if labels is not None:
            shown = labels[time if labels.shape[0] > 1 else 0]
            marked = shown if deep else shown[plane if shown.shape[0] > 1 else 0]
        points = None
        if rows is not None:
            here = np.ones(len(rows), dtype=bool)
            for axis in columns:
                if axis in place and axis not in axes:
                    here &= rows[:, columns.index(axis)].round() == place[axis]
            points = rows[here][:, [columns.index(axis) for axis in axes]]
        scenes.append(_Scene(image, marked, points, frame, ranges))
    return scenes


def _windows(places: Tensor, sizes: Tensor, warp: SamplingMap, *, smooth: bool) -> tuple[Tensor, list[int]]:
    """Return the first pixel of each item's window, in the order ([Z,] Y, X), and their common size."""
    flat = places.detach().flatten(1, -2)
    margin = _MARGIN + (2 * steps(warp).to(flat) if smooth else 0)
    top = sizes - 1
    low = torch.minimum((flat.amin(1) - margin).floor().clamp(min=0), top)
    high = torch.minimum((flat.amax(1) + margin).ceil().clamp(min=0), top)
    extent = (high - low + 1).amax(0)
    starts = torch.minimum(low, (sizes - extent).clamp(min=0))
    return starts.flip(1).long().cpu(), [ceil(float(size)) for size in extent.flip(0)]


def _cut(image: Tensor, start: Sequence[int], extent: Sequence[int], level: Tensor) -> Tensor:
    """Cut a window out of (C, *sizes), filled up with a level a channel where the image ends."""
    for axis, (first, size) in enumerate(zip(start, extent, strict=True), 1):
        image = image.narrow(axis, int(first), min(size, image.shape[axis] - int(first)))
    if list(image.shape[1:]) == list(extent):
        return image
    filled = level.to(image).view(-1, *(1 for _ in extent)).expand(image.shape[0], *extent).clone()
    filled[(slice(None), *(slice(0, size) for size in image.shape[1:]))] = image
    return filled
