"""Trains a network to make images of labels: to tell the velocities that lead from noise to the image that labels were drawn on.

What labels cannot tell, such as how bright each object is and what texture it has, comes from the noise, and so differs from image
to image; where borders lie, how steep they are and what shines beyond them is learnt as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_synth.contract.synthesis import SampleSpec
from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.core.errors import TrainingDataError
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.methods.synthesize.catalogue import LabelsToImageTrainParams
from napari_synth.methods.synthesize.crops import as_seen, in_parts
from napari_synth.methods.synthesize.labelled import LabelChannels, signed_distance
from napari_synth.methods.synthesize.objects import ObjectStatistics
from napari_synth.methods.translate.figures import PatchTarget
from napari_synth.methods.translate.paired import Kind, linear_mix, some_pixels
from napari_synth.networks.velocity_unet import VelocityUNet, flow, mixing_times, spread_times
from napari_synth.training.augmenting import patch_augmentation
from napari_synth.training.dataset import Normalisation, TrainingImages, read_fields, split_fields
from napari_synth.training.events import Figures, Preview
from napari_synth.training.optim import FitSettings, usual_optimizers
from napari_synth.training.patches import PatchRegion, PatchSampler, fitting_patch
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

DISTANCE = "patch distance to real images (% of range)"
EDGES = "steepness at label borders (real 100)"
VARIETY = "variety over noise (real 100)"
VELOCITY = "squared error of velocities"
BY_LABEL = "the mean of each label"
_NETWORK = "velocities"
_AS_IT_IS = IntensityTransform(0.0, 1.0)
_RATE = 3e-3
_LARGE = 128
# Of a validation: crops that are held out, and of those how many are made, in how many steps.
_HELD_OUT, _MADE, _STEPS = 64, 12, 8
# Pixels on both sides of a border.
_BORDER = 1.5
_HARDLY = 10.0
_LIMITS = (
    "Its images are invented: they show what such labels may look like, and nothing that was measured.",
    "Labels that are drawn otherwise than those it learnt from (coarser, or of other shapes) may give other images.",
)


@dataclass(frozen=True)
class Annotated:
    """Labels and images, ready to be learnt from.

    Attributes
    ----------
    labels : LabelChannels
    objects : ObjectStatistics or None
        None where labels are classes, or objects are too few.
    kind : Kind
        Of the images.
    pool : PatchSampler
        Draws patches, the channels of the labels and behind them those of the image, about 0 to 1.
    held_out : Tensor
        Shape (N, channels, Y, X): patches of a part that is never learnt from.
    mix : (Tensor, Tensor)
        Weights (C, labels) and offsets (C,) of the image that the channels of the labels alone tell.
    notes : tuple of str
    """

    labels: LabelChannels
    objects: ObjectStatistics | None
    kind: Kind
    pool: PatchSampler
    held_out: Tensor
    mix: tuple[Tensor, Tensor]
    notes: tuple[str, ...]

    @classmethod
    def read(cls, images: TrainingImages, params: LabelsToImageTrainParams, context: TrainContext) -> Annotated:
        """Read labels and images.

        For its parameters see `Trainable.prepare`.

        Raises
        ------
        TrainingDataError
            The labels are none, all alike or too many, the images have different channels, or there is too little of them.
        """
        _check_labels(images.source)
        kind = Kind.of(images.target, "target")
        context.report.start("Reading the images")
        most = max(image.sizes.get("C", 1) for image in images.target)
        as_it_is = Normalisation(((_AS_IT_IS,) * most,) * len(images.source))
        counts = read_fields(
            images.source, as_it_is, "YX", joint="CS", others=images.target, other_normalisation=as_it_is
        )
        labels = LabelChannels.of([_plane(field) for field in counts], params.labels)
        # New labels are those of the part that is learnt from, so that the other one can judge them as well.
        parts = split_fields(counts)
        planes = [_plane(field) for field in parts[0]]
        objects, said = _objects(labels, planes, turns=params.flips_and_rotations)
        training, held_out = ([_encoded(field, labels, kind) for field in part] for part in parts)
        levels = 4 if params.patch >= _LARGE else 3
        patch = fitting_patch(training, (params.patch,) * 2, (2**levels,) * 2)
        augmentation, unfit = patch_augmentation(
            params.augmentation, images.source, "YX", sources=labels.count, intensities="none"
        )
        device = context.device.torch_name
        turns = params.flips_and_rotations
        seen, truth = some_pixels(training, labels.count)
        weights, offsets = linear_mix(seen, truth)
        return cls(
            labels,
            objects,
            kind,
            PatchSampler(training, patch, device, sources=labels.count, augmentation=augmentation),
            PatchSampler(held_out, patch, device).sample(
                _HELD_OUT, torch.Generator(device).manual_seed(0), turn=turns, flip=turns
            ),
            (torch.from_numpy(weights).float().to(device), torch.from_numpy(offsets).float().to(device)),
            (*images.notes, _in_words(labels), *said, *unfit),
        )


def learn_to_paint(images: TrainingImages, params: LabelsToImageTrainParams, context: TrainContext) -> TrainingSetup:
    """Set up the training.

    For its parameters see `Trainable.prepare`.
    """
    data = Annotated.read(images, params, context)
    sampled = data.pool.sample(256, torch.Generator(context.device.torch_name).manual_seed(4))
    seen = as_seen(sampled[:, data.labels.count :]).transpose(0, 1).flatten(1)
    network = VelocityUNet(
        len(data.kind.transforms),
        params.width,
        4 if params.patch >= _LARGE else 3,
        seen.mean(1).tolist(),
        seen.std(1).clamp_min(1e-2).tolist(),
        torch.Generator().manual_seed(context.seed),
        data.labels.count,
    )
    settings = FitSettings(
        learning_rate=params.learning_rate or _RATE,
        batch_size=params.batch or (8 if context.device.kind == "cpu" else 64),
        averaging=0.998,
        validations=8,
        optimizer="muon",
    )
    first = images.target[0]
    spec = SampleSpec(
        len(data.kind.transforms),
        data.kind.axis,
        data.kind.dtype,
        (data.pool.patch[0], data.pool.patch[1]),
        None,
        {axis: step for axis, step in first.spacing.items() if axis in "YX"},
        {axis: unit for axis, unit in first.units.items() if axis in "YX"},
    )
    extras: dict[str, Any] = {"sample": spec.record(), "labels": data.labels.record()}
    if data.objects is not None:
        extras["objects"] = data.objects.record()
    return TrainingSetup(
        Painting(network, data, params, settings),
        settings,
        network,
        "label-flow",
        normalisation={"source": [vars(one) for one in data.kind.transforms]},
        extras=extras,
        notes=data.notes,
        limits=_LIMITS,
    )


class Painting(TrainingModule):
    """Learns velocities under labels.

    Parameters
    ----------
    network : VelocityUNet
    data : Annotated
    params : LabelsToImageTrainParams
    settings : FitSettings
    """

    def __init__(
        self, network: VelocityUNet, data: Annotated, params: LabelsToImageTrainParams, settings: FitSettings
    ) -> None:
        self.networks: Networks = {_NETWORK: network}
        self.data, self.params, self.settings, self.pool = data, params, settings, data.pool
        self._labels, image = self._parts(data.held_out)
        self._images = as_seen(image)

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        return {_NETWORK: usual_optimizers(self.networks[_NETWORK], self.settings)}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        turns = self.params.flips_and_rotations
        labels, image = self._parts(self.pool.sample(work.batch_size, work.generator, turn=turns, flip=turns))
        images = _velocities(self.networks[_NETWORK]).standardised(as_seen(image))
        noise = torch.randn(images.shape, generator=work.generator, device=images.device)
        times = mixing_times(len(images), work.generator, images.device)
        given = (work.share(one) for one in (images, noise, times, labels))
        loss = _errors(work.networks[_NETWORK], *given).mean()
        work.update(_NETWORK, loss)
        return {"loss": loss}

    def validate(self, networks: Networks) -> Validation:
        """See `TrainingModule.validate`."""
        network = networks[_NETWORK]
        standardised = _velocities(self.networks[_NETWORK]).standardised(self._images)
        noise = self._normal(len(self._images), 1)
        times = spread_times(len(self._images)).to(noise.device)
        size = (self.pool.patch[0], self.pool.patch[1])
        found = in_parts(partial(_errors, network), size, standardised, noise, times, self._labels)
        error = float(found.mean())
        draws = torch.stack([self._made(network, draw) for draw in (2, 3)])
        figures = self._figures(draws[0])
        figures[VARIETY] = 100.0 * float(draws.std(0).mean()) / self._unexplained
        figures[VELOCITY] = error
        return Validation(error, figures, "" if isfinite(error) else "Images are not finite")

    def baselines(self) -> Mapping[str, Figures]:
        """See `TrainingModule.baselines`."""
        return {BY_LABEL: self._figures(self._mixed)}

    def limits(self, metrics: Figures) -> tuple[str, ...]:
        """See `TrainingModule.limits`."""
        if metrics.get(VARIETY, _HARDLY) < _HARDLY:
            return ("Images of the same labels hardly differ: train longer.",)
        return ()

    def preview(self, networks: Networks) -> Preview:
        """See `TrainingModule.preview`."""
        made = self.data.kind.transforms, 0.5 * self._made(networks[_NETWORK], 2)[0].cpu().numpy() + 0.5
        counts = np.stack([one.inverse(plane) for one, plane in zip(*made, strict=True)]).astype(np.float32)
        axis = self.data.kind.axis
        shown = {"": counts[0], "C": counts, "S": np.moveaxis(counts, 0, -1)}[axis]
        return Preview(np.ascontiguousarray(shown), {"": "YX", "C": "CYX", "S": "YXS"}[axis])

    def _parts(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels and image."""
        return pixels[:, : self.pool.sources], pixels[:, self.pool.sources :]

    def _made(self, network: nn.Module, seed: int) -> Tensor:
        """Return images of some of the held-out labels, as networks see them."""
        labels = self._labels[:_MADE]
        made = flow(lambda x, time: network(x, time, labels), self._normal(len(labels), seed), _STEPS)
        return _velocities(self.networks[_NETWORK]).unstandardised(made)

    def _normal(self, count: int, seed: int) -> Tensor:
        drawn = torch.randn((count, *self._images.shape[1:]), generator=torch.Generator().manual_seed(seed))
        return drawn.to(self._images.device)

    @cached_property
    def _mixed(self) -> Tensor:
        """What labels alone tell, of what is learnt from, for some of the held-out crops."""
        weights, offsets = self.data.mix
        return as_seen(torch.einsum("ck,nkyx->ncyx", weights, self._labels[:_MADE]) + offsets[:, None, None])

    @cached_property
    def _unexplained(self) -> float:
        """How much real images differ from that."""
        return max(float((self._images[:_MADE] - self._mixed).std()) / 2**0.5, 1e-6)

    @cached_property
    def _patches(self) -> PatchTarget:
        return PatchTarget(list(torch.split(self._images[:_MADE], 1)))

    @cached_property
    def _near(self) -> Tensor:
        """Which pixels of some of the held-out crops lie at a border of labels."""
        inside = self._labels[:_MADE].cpu().numpy()[:, 0] > 0
        near = [np.abs(signed_distance(one.astype(np.int64))) < _BORDER for one in inside]
        return torch.from_numpy(np.stack(near))[:, None].to(self._labels.device)

    def _figures(self, made: Tensor) -> dict[str, float]:
        """Compare images of the held-out labels with the truth."""
        truth = self._images[:_MADE]
        steep, real = (float((_steepness(one) * self._near).mean()) for one in (made, truth))
        # The range of what networks see is 2.
        return {
            DISTANCE: 0.5 * self._patches.distance(list(torch.split(made, 1))),
            EDGES: 100.0 * steep / max(real, 1e-6),
        }


def _errors(network: nn.Module, images: Tensor, noise: Tensor, times: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared errors (N,) of the velocities of mixtures of images (N, C, Y, X) and noise at times (N,)."""
    t = times.view(-1, 1, 1, 1)
    apart: Tensor = network((1.0 - t) * noise + t * images, times, labels) - (images - noise)
    return apart.square().flatten(1).mean(1)


def _velocities(network: nn.Module) -> VelocityUNet:
    assert isinstance(network, VelocityUNet)
    return network


def _steepness(images: Tensor) -> Tensor:
    """Return the length of the gradient (N, 1, Y, X) of images (N, C, Y, X), over all channels."""
    y, x = torch.gradient(images, dim=(-2, -1))
    return (y.square() + x.square()).sum(1, keepdim=True).sqrt()


def _objects(
    labels: LabelChannels, planes: Sequence[npt.NDArray[np.int64]], *, turns: bool
) -> tuple[ObjectStatistics | None, tuple[str, ...]]:
    """Return what objects are like, or why new labels cannot be drawn."""
    if labels.encoding == "classes":
        return None, ("New labels cannot be drawn of kinds of pixels, and are given to the model.",)
    try:
        return ObjectStatistics.of(planes, turns=turns), ()
    except TrainingDataError as error:
        return None, (str(error),)


def _check_labels(images: Sequence[Image]) -> None:
    for image in images:
        if image.dtype.kind not in "iub":
            raise TrainingDataError(
                f"Labels are whole numbers, {image.name!r} has {image.dtype}: give labels as the source."
            )
        if set(image.axes) & set("CS"):
            raise TrainingDataError(
                f"Labels have no channels or colours, {image.name!r} has {image.axes}: set the axes."
            )


def _plane(field: PatchRegion) -> npt.NDArray[np.int64]:
    """Return the labels (Y, X) of a field, whose first channel they are."""
    found: npt.NDArray[np.int64] = np.rint(field.pixels[0]).astype(np.int64)
    return found


def _encoded(field: PatchRegion, labels: LabelChannels, kind: Kind) -> PatchRegion:
    image = np.stack([one.forward(pixels) for pixels, one in zip(field.pixels[1:], kind.transforms, strict=True)])
    return replace(field, pixels=np.concatenate((labels.encode(_plane(field)), image)))


def _in_words(labels: LabelChannels) -> str:
    """Say what labels are taken for."""
    if labels.encoding == "instances":
        return "Labels are taken for objects that are all alike: what is object, rim and depth inside is seen, not the number."
    ids = ", ".join(map(str, labels.ids))
    return f"Labels are taken for {len(labels.ids)} kinds of pixels: {ids}."
