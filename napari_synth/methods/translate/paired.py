"""What trainings on pairs of two kinds of images share: what they read, how results are compared with the truth, what is shown.

The intensities of a target are brought to about 0 to 1 by one straight line for all images, and those of the source likewise, so
that what is brighter in one image stays brighter, and results are in the counts of the target.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement
from math import isfinite
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from kornia.metrics import ssim
from torch import Tensor, nn

from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.core.errors import TrainingDataError
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.methods.translate.catalogue import PairedTrainParams
from napari_synth.methods.translate.figures import content_correlation, planes_of
from napari_synth.networks.translation_unet import TranslationUNet
from napari_synth.training.augmenting import patch_augmentation
from napari_synth.training.dataset import Normalisation, Scaling, TrainingImages, read_fields, split_fields
from napari_synth.training.events import Figures, Preview
from napari_synth.training.held_out import Block, batch_of, block_axes, held_out_blocks, mean_square, patch_of, psnr
from napari_synth.training.optim import FitSettings
from napari_synth.training.patches import PatchRegion, PatchSampler, fitting_patch
from napari_synth.training.training_module import Networks, TrainingModule, Validation

PSNR, SSIM, PEARSON = "PSNR (dB)", "SSIM", "Pearson correlation"
CONTENT = "content correlation with the source"
NETWORK = "network"
BY_PIXEL = "the per-pixel regression"
ARCHITECTURE = "translation-unet"
_AS_IT_IS = IntensityTransform(0.0, 1.0)
_WINDOW = 7
_TELLING = 0.1
_LIMITS = (
    "It guesses what the target would show from what the source shows, which is no measurement: structures may be invented, or"
    " lost.",
    "It was trained on images of one kind: others may come out wrong.",
)


@dataclass(frozen=True)
class Kind:
    """What the channels of images of one kind are, and how they are normalised.

    Attributes
    ----------
    transforms : tuple of IntensityTransform
        Of each channel of a field, the same for all images.
    axis : {"C", "S", ""}
        What the channels of a field are.
    dtype : str
        Of the counts; float32 where images differ.
    """

    transforms: tuple[IntensityTransform, ...]
    axis: Literal["C", "S", ""]
    dtype: str

    @classmethod
    def of(cls, images: Sequence[Image], what: str) -> Kind:
        """Look at images, which the user calls ``what``.

        Raises
        ------
        TrainingDataError
            They have different channels, or channels and colours.
        """
        sizes = {(image.sizes.get("C", 1), image.sizes.get("S", 1)) for image in images}
        if len(sizes) > 1:
            found = " and ".join(str(channels * samples) for channels, samples in sorted(sizes))
            raise TrainingDataError(
                f"The images of the {what} have different channels ({found}): give images with the same."
            )
        ((channels, samples),) = sizes
        if channels > 1 and samples > 1:
            raise TrainingDataError(f"The {what} has channels and colours: give images that have one of them.")
        apart = Normalisation.of(images, shared=True).transforms[0]
        kinds = {str(image.dtype) for image in images}
        return cls(
            tuple(one for one in apart for _ in range(samples)),
            "S" if samples > 1 else "C" if any("C" in image.axes for image in images) else "",
            kinds.pop() if len(kinds) == 1 else "float32",
        )

    def record(self) -> dict[str, Any]:
        """Return what a generator must know to read or to make such images, as plain JSON types."""
        return {"axis": self.axis, "dtype": self.dtype}


@dataclass(frozen=True)
class Paired:
    """Pairs of images, ready to be learnt from.

    Attributes
    ----------
    axes : str
        The spatial axes of a patch.
    source, target : Kind
    pool : PatchSampler
        Draws patches whose first channels are the source's.
    held_out : list of Block
    by_pixel : PixelRegression
        Fitted to what is learnt from.
    mix : (array, array)
        See `linear_mix`.
    notes : tuple of str
    """

    axes: str
    source: Kind
    target: Kind
    pool: PatchSampler
    held_out: list[Block]
    by_pixel: PixelRegression
    mix: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
    notes: tuple[str, ...]

    @classmethod
    def read(cls, images: TrainingImages, params: PairedTrainParams, context: TrainContext) -> Paired:
        """Read the pairs.

        For its parameters see `Trainable.prepare`.

        Raises
        ------
        TrainingDataError
            Images of one kind have different channels, or there is too little of them.
        """
        device = context.device
        source, target = Kind.of(images.source, "source"), Kind.of(images.target, "target")
        axes, notes = block_axes(images.source, params.dimensions, device)
        context.report.start("Reading the images")
        alike = Scaling.between(images.source, images.target, noisy_target=True)
        if abs(alike.correlation) <= _TELLING:
            notes += (
                f"Source and target hardly go together (correlation {alike.correlation:.2f}): check that they show the same"
                " fields, pixel by pixel.",
            )
        as_it_is = Normalisation(((_AS_IT_IS,) * _most_channels(images),) * len(images.source))
        counts = read_fields(
            images.source, as_it_is, axes, joint="CS", others=images.target, other_normalisation=as_it_is
        )
        training, held_out = split_fields([_normalised(field, source, target) for field in counts])
        channels = len(source.transforms)
        grid = (1,) * (len(axes) - 2) + (TranslationUNet.multiple,) * 2
        augmentation, said = patch_augmentation(
            params.augmentation, images.source, axes, sources=channels, intensities="damage"
        )
        patch = fitting_patch(training, patch_of(params.patch, axes), grid)
        pixels = some_pixels(training, channels)
        return cls(
            axes,
            source,
            target,
            PatchSampler(training, patch, device.torch_name, sources=channels, augmentation=augmentation),
            held_out_blocks(held_out, grid, device.torch_name),
            PixelRegression(*pixels),
            linear_mix(*pixels),
            (*images.notes, *notes, *said),
        )

    def network(self, params: PairedTrainParams, context: TrainContext) -> TranslationUNet:
        """Return a fresh network that starts from the mix of channels which is nearest to the target."""
        generator = torch.Generator().manual_seed(context.seed)
        channels = len(self.source.transforms), len(self.target.transforms)
        made = TranslationUNet(len(self.axes), *channels, params.width, params.normalisation, generator)
        made.start_from(*(torch.from_numpy(part).float() for part in self.mix))
        return made

    def settings(self, params: PairedTrainParams, context: TrainContext, rate: float, **more: Any) -> FitSettings:
        """Return how networks are fitted, with a learning rate where the user set none.

        Parameters
        ----------
        params : PairedTrainParams
        context : TrainContext
        rate : float
            The learning rate where the user set none.
        **more : object
            Further settings of `FitSettings`.
        """
        return FitSettings(
            learning_rate=params.learning_rate or rate,
            batch_size=params.batch or batch_of(context.device, self.axes),
            validations=24,
            **more,
        )

    def setup(self, module: TrainingModule, settings: FitSettings, network: nn.Module) -> TrainingSetup:
        """Return the training as the studio runs it.

        Parameters
        ----------
        module : TrainingModule
        settings : FitSettings
        network : torch.nn.Module
            Whose weights become the model.
        """
        return TrainingSetup(
            module,
            settings,
            network,
            ARCHITECTURE,
            normalisation={
                "source": [vars(one) for one in self.source.transforms],
                "target": [vars(one) for one in self.target.transforms],
                "each_image": False,
            },
            extras={"axes": self.axes, "source": self.source.record(), "target": self.target.record()},
            notes=(
                *self.notes,
                "It can be stopped at any time: the weights that did best on held-out pixels are kept, not the last ones.",
            ),
            limits=_LIMITS,
        )


class PairedModule(TrainingModule):
    """Learns to turn the first channels of patches into the ones that follow.

    Parameters
    ----------
    data : Paired
    network : TranslationUNet
    params : PairedTrainParams
    settings : FitSettings
    """

    def __init__(self, data: Paired, network: nn.Module, params: PairedTrainParams, settings: FitSettings) -> None:
        self.networks: Networks = {NETWORK: network}
        self.data, self.params, self.settings = data, params, settings
        self.pool = data.pool

    @property
    def averaged(self) -> Collection[str]:
        """See `TrainingModule.averaged`."""
        return (NETWORK,)

    def score(self, results: Sequence[Tensor]) -> float:
        """Return what the best weights are chosen by: the mean absolute error of results on held-out blocks."""
        return self.mean_error(results)

    def validate_further(self, results: Sequence[Tensor]) -> Figures:
        """Return what else is measured of results on held-out blocks."""
        return {}

    def validate(self, networks: Networks) -> Validation:
        """Compare with the truth; see `TrainingModule.validate`."""
        results = [networks[NETWORK](self.source_of(block.pixels)).float() for block in self.data.held_out]
        metrics = {**self._figures(results), **self.validate_further(results)}
        score = self.score(results)
        # Flat results are no collapse: those of sparse targets are flat until the first structures are found.
        return Validation(score, metrics, "" if isfinite(score) else "Results are not finite")

    def baselines(self) -> Mapping[str, Figures]:
        """See `TrainingModule.baselines`."""
        guessed = self.guesses_by_pixel()
        mean = torch.from_numpy(self.data.by_pixel.mean).float()
        flat = [mean.to(truth).view(-1, *(1,) * (truth.ndim - 2)).expand_as(truth) for truth in self._truths]
        return {
            BY_PIXEL: {**self._by_pixel, **self.validate_further(guessed)},
            "the mean of the target": {PSNR: self._figures(flat)[PSNR]},
            "the target itself": {CONTENT: self._content},
        }

    def preview(self, networks: Networks) -> Preview:
        """See `TrainingModule.preview`."""
        block = self.data.held_out[0]
        result = networks[NETWORK](self.source_of(block.pixels))[0].float().cpu().numpy()
        return preview_of(block, result, self.data.target, self.data.axes)

    def limits(self, metrics: Figures) -> tuple[str, ...]:
        """Say what is wrong with results on held-out pixels, from their metrics."""
        said = []
        truth = self._content
        found = metrics.get(CONTENT, truth)
        if truth * found < 0 and min(abs(truth), abs(found)) > _TELLING:
            said.append(
                f"Results are inverted: their content correlation with the source is {found:.2f}, that of the target {truth:.2f};"
                " check that nuclei are not swapped with background."
            )
        by_pixel = self._by_pixel[PSNR]
        if metrics.get(PSNR, by_pixel) < by_pixel:
            said.append(
                f"It does not come nearer to the truth than the per-pixel regression ({by_pixel:.1f} dB): train longer, on more"
                " images, or check that the pairs lie on each other."
            )
        return tuple(said)

    def source_of(self, pixels: Tensor) -> Tensor:
        """Return the channels of the source."""
        return pixels[:, : self.pool.sources]

    def target_of(self, pixels: Tensor) -> Tensor:
        """Return the channels of the target."""
        return pixels[:, self.pool.sources :]

    def dissimilarity(self, made: Tensor, truth: Tensor) -> Tensor:
        """Return one minus the structural similarity of blocks, both (N, C, *spatial)."""
        return 1.0 - similarity(made, truth).mean()

    @cached_property
    def _truths(self) -> list[Tensor]:
        return [self.target_of(block.pixels) for block in self.data.held_out]

    @cached_property
    def _sources(self) -> list[Tensor]:
        return _planes([self.source_of(block.pixels) for block in self.data.held_out])

    @cached_property
    def target_planes(self) -> list[Tensor]:
        """The planes (1, C, Y, X) of the held-out target."""
        return _planes(self._truths)

    @cached_property
    def _by_pixel(self) -> Figures:
        return self._figures(self.guesses_by_pixel())

    @cached_property
    def _content(self) -> float:
        return content_correlation(self._sources, self.target_planes)

    def guesses_by_pixel(self) -> list[Tensor]:
        """Return what the per-pixel regression makes of the held-out blocks."""
        return [self.data.by_pixel(self.source_of(block.pixels)) for block in self.data.held_out]

    def mean_error(self, results: Sequence[Tensor], *, squared: bool = False) -> float:
        """Return the mean absolute (or squared) error of results on held-out blocks, inside the region."""
        inside = [
            _inside((made - truth).square() if squared else (made - truth).abs(), block)
            for made, truth, block in zip(results, self._truths, self.data.held_out, strict=True)
        ]
        return float(sum(part.sum() for part in inside)) / sum(part.numel() for part in inside)

    def _figures(self, results: Sequence[Tensor]) -> dict[str, float]:
        """Compare results with the truth inside the region, the range of the target being 1."""
        blocks = self.data.held_out
        of_block = {id(block): made for block, made in zip(blocks, results, strict=True)}
        square = mean_square(blocks, lambda block: of_block[id(block)], lambda block: self.target_of(block.pixels))
        alike = [
            _inside(similarity(made, truth), block)
            for made, truth, block in zip(results, self._truths, blocks, strict=True)
        ]
        return {
            PSNR: psnr(square),
            SSIM: float(torch.cat([part.flatten() for part in alike]).mean()),
            PEARSON: _pearson(
                [_inside(made, block) for made, block in zip(results, blocks, strict=True)],
                [_inside(truth, block) for truth, block in zip(self._truths, blocks, strict=True)],
            ),
            CONTENT: content_correlation(self._sources, _planes(results)),
        }


def preview_of(block: Block, result: npt.NDArray[Any], kind: Kind, axes: str) -> Preview:
    """Return what was made of a block, (C, *spatial), in the counts of its kind.

    Parameters
    ----------
    block : Block
    result : array, (C, *spatial)
        In normalised units.
    kind : Kind
        What the result is an image of.
    axes : str
        The spatial axes of the block.
    """
    counts = [one.inverse(plane) for one, plane in zip(kind.transforms, result, strict=True)]
    pixels = np.stack(counts, axis=-1 if kind.axis == "S" else 0).astype(np.float32)
    place = dict(zip(axes, block.field.place, strict=True))
    if block.field.frame is not None:
        place["T"] = block.field.frame
    if kind.axis == "":
        return Preview(pixels[0], axes, place, block.field.image)
    return Preview(pixels, axes + "S" if kind.axis == "S" else "C" + axes, place, block.field.image)


def similarity(made: Tensor, truth: Tensor) -> Tensor:
    """Return the structural similarity (Wang et al. 2004) at every pixel of blocks (N, C, *spatial), plane by plane."""
    if made.dim() == 5:
        flat = [blocks.transpose(1, 2).flatten(0, 1) for blocks in (made, truth)]
        alike: Tensor = ssim(flat[0], flat[1], _WINDOW)
        return alike.reshape(made.shape[0], made.shape[2], *alike.shape[1:]).transpose(1, 2)
    plane: Tensor = ssim(made, truth, _WINDOW)
    return plane


def _planes(blocks: Sequence[Tensor]) -> list[Tensor]:
    return [plane for block in blocks for plane in planes_of(block)]


def _inside(values: Tensor, block: Block) -> Tensor:
    """Return the values (N, C, *spatial) inside the region of a block, (N, C, pixels)."""
    return values.flatten(2) if block.inside is None else values[..., block.inside]


def _pearson(results: Sequence[Tensor], truths: Sequence[Tensor]) -> float:
    """Return the correlation of values (N, C, pixels), the mean over channels; 0 where one is constant."""
    made, truth = (torch.cat(parts, dim=2).double() for parts in (list(results), list(truths)))
    made, truth = (values - values.mean(2, keepdim=True) for values in (made, truth))
    norms = made.norm(dim=2) * truth.norm(dim=2)
    return float(torch.where(norms > 1e-9, (made * truth).sum(2) / norms.clamp_min(1e-9), 0.0).mean())


def _most_channels(images: TrainingImages) -> int:
    return max(image.sizes.get("C", 1) for image in (*images.source, *images.target))


def _normalised(field: PatchRegion, source: Kind, target: Kind) -> PatchRegion:
    transforms = (*source.transforms, *target.transforms)
    pixels = np.stack([one.forward(plane) for plane, one in zip(field.pixels, transforms, strict=True)])
    return replace(field, pixels=pixels)


Doubles = npt.NDArray[np.float64]

MOST_PIXELS = 2**18
_BINS = 128
_RIDGE = 1e-6
_FEW_CHANNELS = 4


class PixelRegression:
    """Least squares from the channels of a pixel to those of another image there.

    One channel is looked up in a table of means over as many pixels each, between which it is interpolated; several go through a
    polynomial of third degree (of second degree where they are more than four).

    Parameters
    ----------
    source : array, (pixels, channels)
        Normalised to about 0 to 1; what lies outside the range of these pixels is cut off there.
    target : array, (pixels, results)

    Attributes
    ----------
    mean : array, (results,)
        Of the target.
    """

    def __init__(self, source: Doubles, target: Doubles) -> None:
        self.mean: Doubles = target.mean(axis=0)
        self._low, self._high = source.min(axis=0), source.max(axis=0)
        self._degree = 3 if source.shape[1] <= _FEW_CHANNELS else 2
        self._knots: Doubles | None = None
        self._values: Doubles
        if source.shape[1] == 1:
            order = np.argsort(source[:, 0], kind="stable")
            bins = [part for part in np.array_split(order, min(_BINS, len(order))) if len(part)]
            knots = np.array([source[part, 0].mean() for part in bins], np.float64)
            means = np.array([target[part].mean(axis=0) for part in bins])
            # Where many pixels are alike, they fill several bins.
            self._knots, inverse = np.unique(knots, return_inverse=True)
            counts = np.bincount(inverse)
            self._values = np.stack([np.bincount(inverse, column) / counts for column in means.T], axis=1)
        else:
            terms = self._terms(source)
            square = terms.T @ terms + _RIDGE * len(terms) * np.eye(terms.shape[1])
            self._values = np.linalg.solve(square, terms.T @ target).astype(np.float64)

    def __call__(self, blocks: Tensor) -> Tensor:
        """Return the guess for blocks (N, channels, *spatial), as (N, results, *spatial)."""
        pixels = blocks.movedim(1, -1).reshape(-1, blocks.shape[1]).cpu().numpy().astype(np.float64)
        if self._knots is None:
            guessed = self._terms(pixels) @ self._values
        else:
            guessed = np.stack([np.interp(pixels[:, 0], self._knots, column) for column in self._values.T], axis=1)
        shape = (blocks.shape[0], *blocks.shape[2:], guessed.shape[1])
        return torch.from_numpy(guessed.astype(np.float32)).reshape(shape).movedim(-1, 1).to(blocks.device)

    def _terms(self, source: Doubles) -> Doubles:
        inside = np.clip(source, self._low, self._high)
        count = inside.shape[1]
        columns = [np.ones(len(inside))]
        for degree in range(1, self._degree + 1):
            columns += [
                inside[:, chosen].prod(axis=1) for chosen in combinations_with_replacement(range(count), degree)
            ]
        return np.stack(columns, axis=1)


def some_pixels(fields: Sequence[PatchRegion], channels: int) -> tuple[Doubles, Doubles]:
    """Return evenly spread pixels of fields whose first channels are the source's: (pixels, channels) of both."""
    flat = []
    for field in fields:
        pixels = field.pixels.reshape(len(field.pixels), -1)
        flat.append(pixels if field.inside is None else pixels[:, field.inside.ravel()])
    step = max(1, sum(pixels.shape[1] for pixels in flat) // MOST_PIXELS)
    chosen = np.concatenate([pixels[:, ::step] for pixels in flat], axis=1).T.astype(np.float64)
    return chosen[:, :channels], chosen[:, channels:]


def linear_mix(source: Doubles, target: Doubles) -> tuple[Doubles, Doubles]:
    """Return weights (results, channels) and offsets (results,) of the least squares without powers."""
    means = source.mean(axis=0), target.mean(axis=0)
    centred = source - means[0]
    square = centred.T @ centred + _RIDGE * len(source) * np.eye(source.shape[1])
    weights = np.linalg.solve(square, centred.T @ (target - means[1])).T
    return weights, means[1] - weights @ means[0]
