"""Trains a network to make images of labels, against one who judges whether patches of an image go with those labels.

What is wanted beside looking real is that image and truth are alike at a quarter of the resolution: how bright, and where. Finer
texture is different in each image, and is left to the noise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.synthesis import SampleSpec
from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.core.errors import TrainingDataError
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.methods.synthesize.catalogue import LabelsToImageTrainParams
from napari_synth.methods.synthesize.samplers import LabelChannels
from napari_synth.methods.translate.figures import PatchTarget
from napari_synth.methods.translate.paired import Kind, linear_mix, preview_of, some_pixels
from napari_synth.networks.discriminators import PatchDiscriminator
from napari_synth.networks.label_painter import LabelPainter
from napari_synth.training.augmenting import patch_augmentation
from napari_synth.training.dataset import Normalisation, TrainingImages, read_fields, split_fields
from napari_synth.training.events import Figures, Preview
from napari_synth.training.held_out import Block, batch_of, held_out_blocks, mean_square, psnr
from napari_synth.training.losses import adversarial_optimizer, discriminator_loss, frozen, generator_loss
from napari_synth.training.optim import FitSettings
from napari_synth.training.patches import PatchRegion, PatchSampler, fitting_patch
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

DISTANCE = "patch distance to real images (% of range)"
PSNR, ERROR = "PSNR (dB)", "mean error (% of range)"
VARIETY = "variety over noise (%)"
BY_LABEL = "the mean of each label"
PAINTER, _DISCRIMINATOR = "painter", "discriminator"
_AS_IT_IS = IntensityTransform(0.0, 1.0)
_RATE = 1e-3
_COARSER = 4
_DRAWS = 4
_HARDLY = 5.0
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
    kind : Kind
        Of the images.
    pool : PatchSampler
        Draws patches whose first channels are those of the labels.
    held_out : list of Block
    means : (Tensor, Tensor)
        Weights (C, n) and offsets (C,) that give the mean of each kind of pixel from the first n channels of the labels.
    notes : tuple of str
    """

    labels: LabelChannels
    kind: Kind
    pool: PatchSampler
    held_out: list[Block]
    means: tuple[Tensor, Tensor]
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
        planes = [np.rint(field.pixels[0]).astype(np.int64) for field in counts]
        labels = LabelChannels.of(planes, params.labels)
        fields = [_encoded(field, plane, labels, kind) for field, plane in zip(counts, planes, strict=True)]
        training, held_out = split_fields(fields)
        grid = (LabelPainter.multiple,) * 2
        patch = fitting_patch(training, (params.patch,) * 2, grid)
        augmentation, said = patch_augmentation(
            params.augmentation, images.source, "YX", sources=labels.count, intensities="none"
        )
        device = context.device.torch_name
        seen, truth = some_pixels(training, labels.count)
        weights, offsets = linear_mix(seen[:, : labels.flat], truth)
        return cls(
            labels,
            kind,
            PatchSampler(training, patch, device, sources=labels.count, augmentation=augmentation),
            held_out_blocks(held_out, grid, device),
            (torch.from_numpy(weights).float(), torch.from_numpy(offsets).float()),
            (*images.notes, _in_words(labels), *said),
        )


def learn_to_paint(images: TrainingImages, params: LabelsToImageTrainParams, context: TrainContext) -> TrainingSetup:
    """Set up the training.

    For its parameters see `Trainable.prepare`.
    """
    data = Annotated.read(images, params, context)
    generator = torch.Generator().manual_seed(context.seed)
    channels = len(data.kind.transforms)
    painter = LabelPainter(data.labels.count, channels, params.width, generator)
    painter.start_from(*data.means)
    discriminator = PatchDiscriminator(2, data.pool.channels, params.width, generator=generator)
    settings = FitSettings(
        learning_rate=params.learning_rate or _RATE,
        batch_size=params.batch or batch_of(context.device, "YX"),
        averaging=0.995,
        held_flat=0.5,
        validations=16,
    )
    first = images.target[0]
    spec = SampleSpec(
        channels,
        data.kind.axis,
        data.kind.dtype,
        (data.pool.patch[0], data.pool.patch[1]),
        None,
        {axis: step for axis, step in first.spacing.items() if axis in "YX"},
        {axis: unit for axis, unit in first.units.items() if axis in "YX"},
    )
    return TrainingSetup(
        Painting(data, painter, discriminator, params, settings),
        settings,
        painter,
        "label-painter",
        normalisation={"source": [vars(one) for one in data.kind.transforms]},
        extras={"sample": spec.record(), "labels": data.labels.record()},
        notes=data.notes,
        limits=_LIMITS,
    )


class Painting(TrainingModule):
    """One network makes images of labels and noise, one judges whether they go together.

    Parameters
    ----------
    data : Annotated
    painter : LabelPainter
    discriminator : PatchDiscriminator
        Of the channels of labels and image.
    params : LabelsToImageTrainParams
    settings : FitSettings
    """

    settles = False

    def __init__(
        self,
        data: Annotated,
        painter: LabelPainter,
        discriminator: PatchDiscriminator,
        params: LabelsToImageTrainParams,
        settings: FitSettings,
    ) -> None:
        self.networks: Networks = {PAINTER: painter, _DISCRIMINATOR: discriminator}
        self.data, self.params, self.settings, self.pool = data, params, settings, data.pool

    @property
    def averaged(self) -> Collection[str]:
        """See `TrainingModule.averaged`."""
        return (PAINTER,)

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        rate = self.settings.learning_rate
        return {name: [adversarial_optimizer(network, rate=rate)] for name, network in self.networks.items()}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        turns = self.params.flips_and_rotations
        pixels = work.share(self.pool.sample(work.batch_size, work.generator, turn=turns, flip=turns))
        labels, truth = self._parts(pixels)
        shape = (work.batch_size, LabelPainter.noises, *truth.shape[-2:])
        noise = work.share(torch.randn(shape, generator=work.generator, device=pixels.device))
        discriminator = work.networks[_DISCRIMINATOR]
        made = work.networks[PAINTER](labels, noise)
        error = _coarse_error(made, truth)
        with frozen(self.networks[_DISCRIMINATOR]):
            deceiving = generator_loss("lsgan", discriminator(torch.cat((labels, made), 1)))
            total = deceiving + self.params.l1_weight * error
            work.update(PAINTER, total)
        judging = discriminator_loss(
            "lsgan", discriminator(pixels), discriminator(torch.cat((labels, made.detach()), 1))
        )
        work.update(_DISCRIMINATOR, judging)
        return {"painter": total, "error": error, "adversarial": deceiving, "discriminator": judging}

    def validate(self, networks: Networks) -> Validation:
        """See `TrainingModule.validate`.

        The score is the error at a quarter of the resolution and the patch distance, each as a share of that of the mean of each
        label: by single pixels, images without any texture would be the best.
        """
        draws = [self._painted(networks, draw) for draw in range(_DRAWS)]
        figures = self._figures(draws[0])
        spread = torch.cat([torch.stack(same).std(0).flatten() for same in zip(*draws, strict=True)]).mean()
        figures[VARIETY] = 100.0 * float(spread) / self._unexplained
        coarse, distance = self._of_means
        score = self._coarse(draws[0]) / coarse + figures[DISTANCE] / distance
        return Validation(score, figures, "" if isfinite(score) else "Images are not finite")

    def baselines(self) -> Mapping[str, Figures]:
        """See `TrainingModule.baselines`."""
        return {BY_LABEL: self._figures(self._means)}

    def limits(self, metrics: Figures) -> tuple[str, ...]:
        """See `TrainingModule.limits`."""
        if metrics.get(VARIETY, _HARDLY) < _HARDLY:
            return ("Images of the same labels hardly differ: train longer, or with less weight of the error.",)
        return ()

    def preview(self, networks: Networks) -> Preview:
        """See `TrainingModule.preview`."""
        made = self._painted(networks, 0)[0][0].cpu().numpy()
        return preview_of(self.data.held_out[0], made, self.data.kind, "YX")

    def _parts(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels and image."""
        return pixels[:, : self.pool.sources], pixels[:, self.pool.sources :]

    def _painted(self, networks: Networks, draw: int) -> list[Tensor]:
        """Return an image of each held-out block, the same at every call with the same draw."""
        made = []
        for number, block in enumerate(self.data.held_out):
            labels, truth = self._parts(block.pixels)
            random = torch.Generator().manual_seed(1000 * draw + number)
            noise = torch.randn((1, LabelPainter.noises, *truth.shape[-2:]), generator=random)
            made.append(networks[PAINTER](labels, noise.to(labels.device)).float())
        return made

    @cached_property
    def _truths(self) -> list[Tensor]:
        return [self._parts(block.pixels)[1] for block in self.data.held_out]

    @cached_property
    def _means(self) -> list[Tensor]:
        """The mean of each kind of pixel, of what is learnt from, for each held-out block."""
        weights, offsets = self.data.means
        found = []
        for block in self.data.held_out:
            labels = block.pixels[:, : self.data.labels.flat]
            found.append(functional.conv2d(labels, weights.to(labels)[..., None, None], offsets.to(labels)))
        return found

    @cached_property
    def _unexplained(self) -> float:
        """How much real images differ from those means."""
        rest = [(truth - mean).flatten() for truth, mean in zip(self._truths, self._means, strict=True)]
        return max(float(torch.cat(rest).std()), 1e-6)

    @cached_property
    def _of_means(self) -> tuple[float, float]:
        return max(self._coarse(self._means), 1e-6), max(self._patches.distance(self._means), 1e-6)

    @cached_property
    def _patches(self) -> PatchTarget:
        return PatchTarget(self._truths)

    def _coarse(self, made: Sequence[Tensor]) -> float:
        errors = [_coarse_error(one, truth) for one, truth in zip(made, self._truths, strict=True)]
        return float(torch.stack(errors).mean())

    def _figures(self, made: Sequence[Tensor]) -> dict[str, float]:
        """Compare images of the held-out blocks with the truth, inside the region, the range being 1."""
        blocks = self.data.held_out
        of_block = {id(block): one for block, one in zip(blocks, made, strict=True)}
        square = mean_square(blocks, lambda block: of_block[id(block)], lambda block: self._parts(block.pixels)[1])
        errors = [
            (one - truth)
            .abs()
            .flatten(2)[..., slice(None) if block.inside is None else block.inside.flatten()]
            .flatten()
            for one, truth, block in zip(made, self._truths, blocks, strict=True)
        ]
        return {
            DISTANCE: self._patches.distance(made),
            PSNR: psnr(square),
            ERROR: 100.0 * float(torch.cat(errors).mean()),
        }


def _coarse_error(made: Tensor, truth: Tensor) -> Tensor:
    """Return the mean absolute error at a quarter of the resolution."""
    return (functional.avg_pool2d(made, _COARSER) - functional.avg_pool2d(truth, _COARSER)).abs().mean()


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


def _encoded(field: PatchRegion, plane: npt.NDArray[np.int64], labels: LabelChannels, kind: Kind) -> PatchRegion:
    image = np.stack([one.forward(pixels) for pixels, one in zip(field.pixels[1:], kind.transforms, strict=True)])
    return replace(field, pixels=np.concatenate((labels.encode(plane), image)))


def _in_words(labels: LabelChannels) -> str:
    """Say what labels are taken for."""
    if labels.encoding == "instances":
        return "Labels are taken for objects that are all alike: what is object, rim and depth inside is seen, not the number."
    ids = ", ".join(map(str, labels.ids))
    return f"Labels are taken for {len(labels.ids)} kinds of pixels: {ids}."
