"""What trainings of synthesizers share: crops to learn from, what the images that are made are like, and how good they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_synth.contract.synthesis import SampleSpec
from napari_synth.contract.trainable import TrainContext
from napari_synth.core.errors import TrainingDataError
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform, measure_statistics
from napari_synth.methods.synthesize.catalogue import SynthesisTrainParams
from napari_synth.training.augmenting import patch_augmentation
from napari_synth.training.dataset import Normalisation, TrainingImages, read_fields, split_fields
from napari_synth.training.events import Figures, Preview
from napari_synth.training.losses import FeatureScale, RandomFeatures, blurred, kernel_distance, variety
from napari_synth.training.patches import PatchRegion, PatchSampler, fitting_patch
from napari_synth.training.training_module import Validation
from napari_synth.training.two_sample import ToldApart, told_apart

LIMIT = 1.25
"""What networks see is clipped to this on both sides: the few darkest and brightest pixels lie beyond -1 and 1."""
JUDGED = 128
"""Images that are looked at to say how good they are."""
TOLD, AUC = "Told from real (%)", "Told from real (AUC)"
"""In how many of a hundred cases a fresh network knows whether it sees a made image or a real one: 50 where it guesses; and the
area under its curve: 0.5 where it guesses."""
VARIETY = "Variety (%)"
REAL = "real crops"
_SHOWN = 4
_GAP = 2
# Shares of the variety of real crops: images are all alike, and were varied before.
_ALIKE, _VARIED = 0.15, 0.5
# Of the distance of untrained networks, which may be as varied as noise: below it, something was learnt.
_BETTER = 0.5
# Real crops that the fresh network learns from, and pixels of them at most.
_LEARNT_FROM, _MOST_LEARNT = 512, 2**22
# Of the distance, beside how well images are told apart: it decides where all of them are told apart at once.
_BESIDE = 0.02


@dataclass(frozen=True)
class Crops:
    """What is learnt from.

    Attributes
    ----------
    pool : PatchSampler
        Normalised to about 0 to 1, see `sample`.
    held_out : Tensor
        Shape (`JUDGED`, C, Y, X): crops, as networks see them, of a part that is never learnt from.
    spec : SampleSpec
        What the images that are made will be like.
    transforms : tuple of IntensityTransform
        Of each channel, the same for all images.
    turns : bool
    fields : tuple of Field
        What the pool draws from.
    notes : tuple of str
    """

    pool: PatchSampler
    held_out: Tensor
    spec: SampleSpec
    transforms: tuple[IntensityTransform, ...]
    turns: bool
    fields: tuple[PatchRegion, ...]
    notes: tuple[str, ...] = ()

    def sample(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Draw crops (N, C, Y, X) as networks see them: about -1 to 1, and nothing beyond `LIMIT`."""
        return as_seen(self.pool.sample(batch_size, generator, turn=self.turns, flip=self.turns))

    def as_counts(self, seen: Tensor) -> npt.NDArray[np.float64]:
        """Return the counts (N, C, Y, X) of images as networks see them, clipped to what the dtype holds."""
        normalised = 0.5 * seen.float().cpu().numpy() + 0.5
        counts = np.stack([one.inverse(normalised[:, i]) for i, one in enumerate(self.transforms)], axis=1)
        dtype = np.dtype(self.spec.dtype)
        return counts if dtype.kind == "f" else np.clip(counts, np.iinfo(dtype).min, np.iinfo(dtype).max)

    def as_delivered(self, seen: Tensor) -> Tensor:
        """Return images (N, C, Y, X) as networks would see them once they were counts: clipped and rounded as real crops are."""
        counts = self.as_counts(seen.clamp(-LIMIT, LIMIT))
        if np.dtype(self.spec.dtype).kind != "f":
            counts = np.rint(counts)
        normalised = np.stack([one.forward(counts[:, i]) for i, one in enumerate(self.transforms)], axis=1)
        return as_seen(torch.from_numpy(normalised.astype(np.float32)).to(seen.device))

    def preview(self, seen: Tensor) -> Preview:
        """Return images as networks see them side by side, in counts."""
        counts = self.as_counts(seen[: _SHOWN**2])
        count, channels, height, width = counts.shape
        across = min(_SHOWN, count)
        down = ceil(count / across)
        sheet = np.full((channels, down * (height + _GAP) - _GAP, across * (width + _GAP) - _GAP), counts.min())
        for number, image in enumerate(counts):
            y, x = divmod(number, across)
            y, x = y * (height + _GAP), x * (width + _GAP)
            sheet[:, y : y + height, x : x + width] = image
        shown = {"": sheet[0], "C": sheet, "S": np.moveaxis(sheet, 0, -1)}[self.spec.axis]
        return Preview(np.ascontiguousarray(shown, np.float32), self.spec.axes)

    def normalisation(self) -> dict[str, Any]:
        """Return what the card of a model says of intensities."""
        return {"source": [vars(one) for one in self.transforms]}

    def extras(self) -> dict[str, Any]:
        """Return what the card of a model says of the images that it makes."""
        return {"sample": self.spec.record()}


def as_seen(normalised: Tensor) -> Tensor:
    """Return pixels of about 0 to 1 as networks see them: about -1 to 1, and nothing beyond `LIMIT`."""
    return (2.0 * normalised - 1.0).clamp(-LIMIT, LIMIT)


def narrowed(width: int, share: float) -> int:
    """Return a share of a network's width, a multiple of 8 as the settings ask for."""
    return max(8, int(width * share) // 8 * 8)


def learnt_crops(
    images: TrainingImages,
    params: SynthesisTrainParams,
    context: TrainContext,
    *,
    multiple: int = 16,
    grid: int | None = None,
) -> Crops:
    """Read the images, bring all to one range, and hold a part out.

    Parameters
    ----------
    images : TrainingImages
    params : SynthesisTrainParams
    context : TrainContext
    multiple : int
        What the height and width of a crop must be a multiple of.
    grid : int, optional
        As in `SampleSpec`: what other sizes must be multiples of that the model can make.

    Raises
    ------
    TrainingDataError
        The images have different channels, or are too small.
    """
    source = images.source
    axis, channels = _channels(source)
    context.report.start("Reading the images")
    transforms = _transforms(source, axis, channels)
    as_it_is = Normalisation((((IntensityTransform(0.0, 1.0),)),) * len(source))
    fields = [_normalised(field, transforms) for field in read_fields(source, as_it_is, "YX", joint=axis)]
    edge, share = _edge(fields, params.patch, multiple)
    training, held_out = split_fields(fields, share)
    device = context.device.torch_name
    generator = torch.Generator(device).manual_seed(0)
    real = PatchSampler(held_out, (edge, edge), device).sample(
        JUDGED, generator, turn=params.flips_and_rotations, flip=params.flips_and_rotations
    )
    notes = images.notes
    if edge < params.patch:
        notes += (f"The images are too small for {params.patch} pixels: images of {edge} pixels are made.",)
    spec = SampleSpec(
        channels,
        axis,
        str(np.result_type(*(image.dtype for image in source))),
        (edge, edge),
        grid,
        _common([image.spacing for image in source]),
        _common([image.units for image in source]),
    )
    augmentation, left_out = patch_augmentation(params.augmentation, source, "YX", sources=channels, intensities="none")
    if left_out:
        notes += ("Crops are moved and not changed in brightness, blur or noise: made images would show that too.",)
    pool = PatchSampler(training, (edge, edge), device, augmentation=augmentation)
    return Crops(pool, as_seen(real), spec, transforms, params.flips_and_rotations, tuple(training), notes)


class Judge:
    """Says how good made images are, beside crops that are held out.

    Parameters
    ----------
    crops : Crops
    """

    def __init__(self, crops: Crops) -> None:
        device = crops.held_out.device
        self.crops = crops
        self.learnt = crops.sample(JUDGED, torch.Generator(device).manual_seed(1))
        self._features = RandomFeatures(crops.spec.channels).to(device)
        self._scale = FeatureScale(self._features(torch.cat((crops.held_out, self.learnt))))
        self._every = self._scaled(torch.cat((crops.held_out, self.learnt)))
        self._variety = max(variety(self.learnt), 1e-6)
        self._first: float | None = None
        self._reached = 0.0

    def judge(self, made: Tensor) -> Validation:
        """Judge images (N, C, Y, X) as networks see them, and say whether they are all alike by now.

        The score is how well a fresh network tells them from real ones in the course of its training, which begins anew for each
        judgement and in the same way. That images are alike before they ever were not is how training begins, and no collapse.
        """
        told = self.told_apart(made)
        share = variety(made) / self._variety
        distance = kernel_distance(self._scaled(made), self._every)
        if self._first is None:
            self._first = distance
        elif distance < _BETTER * self._first:
            self._reached = max(self._reached, share)
        alike = self._reached > _VARIED and share < _ALIKE
        score = told.course + _BESIDE * distance / (1.0 + abs(distance))
        return Validation(score, self.shown(made, told), "The images became all alike" if alike else "")

    def told_apart(
        self, made: Tensor, *, runs: Literal[1, 2] = 1, check: Callable[[], None] | None = None
    ) -> ToldApart:
        """Return how well a fresh network tells images (N, C, Y, X) from crops that neither it nor the model saw.

        Parameters
        ----------
        made : Tensor
            As networks see them.
        runs, check
            See `napari_synth.training.two_sample.told_apart`.
        """
        return told_apart(
            self._learnt_from(), self.crops.as_delivered(made), self.crops.held_out, runs=runs, check=check
        )

    def figures(
        self, made: Tensor, *, runs: Literal[1, 2] = 1, check: Callable[[], None] | None = None
    ) -> dict[str, float]:
        """Return what the user is shown of images (N, C, Y, X) as networks see them; for the others see `Judge.told_apart`."""
        return self.shown(made, self.told_apart(made, runs=runs, check=check))

    def baselines(self) -> Mapping[str, Figures]:
        """Return the same of the images of `compared`."""
        return {name: self.figures(images) for name, images in self.compared().items()}

    def compared(self) -> dict[str, Tensor]:
        """Return real crops that are learnt from, those blurred, and noise with their histogram, as networks see them."""
        generator = torch.Generator().manual_seed(2)
        pixels = self.learnt.cpu()
        order = torch.randperm(pixels[:, 0].numel(), generator=generator)
        noise = pixels.transpose(0, 1).flatten(1)[:, order].view(pixels.shape[1], len(pixels), *pixels.shape[2:])
        return {
            REAL: self.learnt,
            f"{REAL}, blurred": blurred(self.learnt, 1.5),
            "noise": noise.transpose(0, 1).to(self.learnt.device),
        }

    def state(self) -> dict[str, Any]:
        """Return what the next judgement depends on; see `TrainingModule.state`."""
        return {"first": self._first, "reached": self._reached}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self._first, self._reached = state["first"], state["reached"]

    def shown(self, made: Tensor, told: ToldApart) -> dict[str, float]:
        """Return what the user is shown of images of which it is known how well they are told apart.

        Parameters
        ----------
        made : Tensor, (N, C, Y, X)
            As networks see them.
        told : ToldApart
        """
        return {TOLD: 100.0 * told.accuracy, AUC: told.auc, VARIETY: 100.0 * variety(made) / self._variety}

    def _learnt_from(self) -> Tensor:
        """Return the real crops that a fresh network learns from, the same at every call."""
        count = min(_LEARNT_FROM, max(JUDGED, _MOST_LEARNT // self.learnt[0].numel()))
        return self.crops.sample(count, torch.Generator(self.learnt.device).manual_seed(5))

    def _scaled(self, images: Tensor) -> Tensor:
        return self._scale(self._features(images))


def _channels(images: Sequence[Image]) -> tuple[Literal["C", "S", ""], int]:
    """Return what the channels of a crop are, and how many there are."""
    kinds = {(image.sizes.get("C"), image.sizes.get("S")) for image in images}
    if len(kinds) > 1:
        raise TrainingDataError("The images have different channels: give images of one kind.")
    count, samples = kinds.pop()
    if count is not None and samples is not None:
        raise TrainingDataError("RGB images with further channels cannot be learnt from: choose the one or the others.")
    if count is not None:
        return "C", count
    return ("S", samples) if samples is not None and samples > 1 else ("", 1)


def _transforms(images: Sequence[Image], axis: str, channels: int) -> tuple[IntensityTransform, ...]:
    """Return what brings each channel of all images together to about 0 to 1; colours share one, so that they keep their tone."""
    found = []
    for channel in range(channels if axis == "C" else 1):
        parts = [image.select(C=channel) if axis == "C" else image for image in images]
        measured = [measure_statistics(part) for part in parts]
        low, high = min(one.low for one in measured), max(one.high for one in measured)
        if not high > low:
            low, high = min(one.minimum for one in measured), max(one.maximum for one in measured)
        if not high > low:
            raise TrainingDataError("The images are all of one value: there is nothing to learn.")
        found.append(IntensityTransform(low, high - low))
    return tuple(found) * (channels if axis != "C" else 1)


def _normalised(field: PatchRegion, transforms: Sequence[IntensityTransform]) -> PatchRegion:
    pixels = np.stack([one.forward(plane) for one, plane in zip(transforms, field.pixels, strict=True)])
    return replace(field, pixels=pixels)


def _edge(fields: Sequence[PatchRegion], wanted: int, multiple: int) -> tuple[int, float]:
    """Return the edge of a crop, and the share to hold out: so many rows that crops fit into them, where there are enough."""
    fitting = min(fitting_patch(fields, (wanted, wanted), (multiple, multiple)))
    rows = float(np.median([field.spatial[0] for field in fields]))
    edge = max(multiple, min(fitting, int(rows * 2 / 3) // multiple * multiple))
    return edge, float(np.clip(edge / rows, 1 / 8, 1 / 3))


def _common(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what all say alike of Y and X."""
    return {
        axis: found[0][axis]
        for axis in "YX"
        if axis in found[0] and all(one.get(axis) == found[0][axis] for one in found)
    }


_AT_ONCE = 2**19


def in_parts(made: Callable[..., Tensor], size: tuple[int, int], *given: Tensor) -> Tensor:
    """Return what a function makes of tensors (N, ...), in parts.

    Parameters
    ----------
    made : callable
        Maps as many tensors to one (N, ...).
    size : (int, int)
        Height and width of the images, of which a part may have about half a million pixels.
    *given : Tensor, (N, ...)
        What it maps.
    """
    count = max(1, _AT_ONCE // (size[0] * size[1]))
    parts = zip(*(torch.split(one, count) for one in given), strict=True)
    return torch.cat([made(*part) for part in parts])
