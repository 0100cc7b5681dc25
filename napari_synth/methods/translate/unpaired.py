"""What trainings on images of two kinds share: what they read, how results are judged without pairs, and what is shown."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_synth.contract.trainable import TrainContext
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.methods.translate.catalogue import UnpairedTrainParams
from napari_synth.methods.translate.figures import PatchTarget, content_correlation, is_flat, planes_of
from napari_synth.methods.translate.paired import Kind, preview_of
from napari_synth.networks.curves import MatchedCurve
from napari_synth.training.augmenting import patch_augmentation
from napari_synth.training.dataset import Normalisation, TrainingImages, read_fields, split_fields
from napari_synth.training.events import Figures, Preview
from napari_synth.training.held_out import Block, batch_of, block_axes, held_out_blocks, patch_of
from napari_synth.training.losses import PatchTransport
from napari_synth.training.optim import FitSettings
from napari_synth.training.patches import PatchRegion, PatchSampler, fitting_patch
from napari_synth.training.training_module import Networks, TrainingModule, Validation

DISTANCE = "patch distance to the target (% of range)"
CONTENT = "content correlation with the source"
CRITIC_RATE = 2.0
"""How much faster those learn who judge."""
_LIMITS = (
    "It shows what images of the target look like at such places, which is no measurement: structures may be invented, or lost.",
    "It was trained on images of one kind: others may come out wrong.",
)
_RATE = 5e-4
_SOME_CONTENT = 0.3
_TO_LOOK_AT = 64


@dataclass(frozen=True)
class Unpaired:
    """Images of two kinds, ready to be learnt from.

    Attributes
    ----------
    axes : str
        The spatial axes of a patch.
    source, target : Domain
    pools : (FieldPool, FieldPool)
        To draw patches of both from.
        Those of the source went through the curve.
    held_out : (list of Block, list of Block)
    curve : mapping or None
        What brings intensities of the source near those of the target, see `napari_synth.networks.curves`; None where the
        two have other channels.
    settings : FitSettings
    notes : tuple of str
    """

    axes: str
    source: Domain
    target: Domain
    pools: tuple[PatchSampler, PatchSampler]
    held_out: tuple[list[Block], list[Block]]
    curve: Mapping[str, Any] | None
    settings: FitSettings
    notes: tuple[str, ...]

    @classmethod
    def read(
        cls, images: TrainingImages, params: UnpairedTrainParams, context: TrainContext, multiple: int
    ) -> Unpaired:
        """Read the images.

        Parameters
        ----------
        images : TrainingImages
        params : UnpairedTrainParams
        context : TrainContext
        multiple : int
            Of which the network's patches must be along Y and X.
        """
        device = context.device
        axes, notes = block_axes((*images.source, *images.target), params.dimensions, device)
        context.report.start("Reading the images")
        domains = Domain.read(images.source, axes, "source"), Domain.read(images.target, axes, "target")
        grid = (1,) * (len(axes) - 2) + (multiple, multiple)
        curve = _curve(*domains)
        fields = [domain.training for domain in domains]
        if curve is not None:
            fields[0] = [replace(field, pixels=curve(_batch(field))[0].numpy()) for field in fields[0]]
        pools = []
        for domain, learnt, own in zip(domains, fields, (images.source, images.target), strict=True):
            patch = fitting_patch(learnt, patch_of(params.patch, axes), grid)
            augmentation, said = patch_augmentation(
                params.augmentation, own, axes, sources=domain.channels, intensities="none"
            )
            notes = (*notes, *(sentence for sentence in said if sentence not in notes))
            pools.append(PatchSampler(learnt, patch, device.torch_name, augmentation=augmentation))
        settings = FitSettings(
            learning_rate=params.learning_rate or _RATE,
            batch_size=params.batch or max(1, batch_of(device, axes) // 4),
            held_flat=0.5,
            validations=24,
            averaging=0.99,
        )
        held_out = tuple(held_out_blocks(domain.held_out, grid, device.torch_name) for domain in domains)
        return cls(
            axes,
            *domains,
            (pools[0], pools[1]),
            (held_out[0], held_out[1]),
            None if curve is None else curve.config,
            settings,
            (*images.notes, *notes, *_pixel_sizes(images, axes)),
        )

    def transports(self, seed: int) -> tuple[PatchTransport, PatchTransport]:
        """Return what draws patches there, to those of the target, and back."""
        device = str(self.held_out[0][0].pixels.device)
        source, target = (pool.sample(_TO_LOOK_AT, torch.Generator(device).manual_seed(seed)) for pool in self.pools)
        there, back = (
            (planes_of(with_channels(one, other.shape[1])), planes_of(other))
            for one, other in ((source, target), (target, source))
        )
        return PatchTransport(*there, seed), PatchTransport(*back, seed)

    def setup(self) -> dict[str, Any]:
        """Return what the lessons of all such trainings say."""
        return {
            "normalisation": {
                "source": [vars(one) for one in self.source.kind.transforms],
                "target": [vars(one) for one in self.target.kind.transforms],
                "each_image": False,
            },
            "extras": {"axes": self.axes, "source": self.source.kind.record(), "target": self.target.kind.record()},
            "notes": self.notes,
            "limits": _LIMITS,
        }


class UnpairedModule(TrainingModule):
    """Learns without pairs; judged by how its results are distributed, and by what they keep of the source.

    Parameters
    ----------
    data : Unpaired
    """

    settles = False

    def __init__(self, data: Unpaired) -> None:
        self.data, self.pool = data, data.pools[0]
        sources, targets = data.held_out
        self._sources = [plane for block in sources for plane in planes_of(block.pixels)]
        self._targets = [plane for block in targets for plane in planes_of(block.pixels)]

    @abstractmethod
    def translated(self, networks: Networks, source: Tensor) -> Tensor:
        """Return what the networks make of blocks of the source (N, C, *spatial)."""

    def further(self, networks: Networks) -> Figures:
        """Return what else is measured of the networks."""
        return {}

    def validate(self, networks: Networks) -> Validation:
        """Measure how near results are to the target, and what they keep; see `TrainingModule.validate`.

        The score is the distance, as a share of that of the source as it is, and what is missing in the content: the nearest
        results that show nothing of the source would be useless.
        """
        results = [
            plane for block in self.data.held_out[0] for plane in planes_of(self.translated(networks, block.pixels))
        ]
        metrics = self._figures(results)
        score = metrics[DISTANCE] / max(self._unchanged[DISTANCE], 1e-6) + 1.0 - abs(metrics[CONTENT])
        collapsed = ""
        if not isfinite(score):
            collapsed = "Results are not finite"
        elif is_flat(self._sources, results, self._targets):
            collapsed = "Results became the same everywhere"
        return Validation(score, {**metrics, **self.further(networks)}, collapsed)

    def baselines(self) -> Mapping[str, Figures]:
        """See `TrainingModule.baselines`."""
        matched = quantiles_matched(self._as_target(), self._targets)
        learnt_from = self.data.pools[1].sample(_TO_LOOK_AT, torch.Generator(self._targets[0].device).manual_seed(0))
        return {
            "the source as it is": self._unchanged,
            "matched quantiles": self._figures(matched),
            "other images of the target": {DISTANCE: self._target.distance(planes_of(learnt_from))},
        }

    def preview(self, networks: Networks) -> Preview:
        """See `TrainingModule.preview`."""
        block = self.data.held_out[0][0]
        result = self.translated(networks, block.pixels)[0].float().cpu().numpy()
        return preview_of(block, result, self.data.target.kind, self.data.axes)

    def limits(self, metrics: Figures) -> tuple[str, ...]:
        """Say what is wrong with the content of results; see `TrainingModule.limits`."""
        found = metrics.get(CONTENT)
        if found is None:
            return ()
        if abs(found) < _SOME_CONTENT:
            return (
                f"Results show little of what the source shows (content correlation {found:.2f} on held-out pixels): do not rely on"
                " any structure in them.",
            )
        if found < 0:
            return (
                f"Results are bright where the source is dark (content correlation {found:.2f} on held-out pixels): check with"
                " images you know that nothing was swapped, nuclei with background, say.",
            )
        return ()

    @cached_property
    def _target(self) -> PatchTarget:
        return PatchTarget(self._targets)

    @cached_property
    def _unchanged(self) -> Figures:
        return self._figures(self._as_target())

    def _as_target(self) -> list[Tensor]:
        """Return the source's planes with as many channels as the target's."""
        return [with_channels(plane, self._targets[0].shape[1]) for plane in self._sources]

    def _figures(self, results: list[Tensor]) -> dict[str, float]:
        return {DISTANCE: self._target.distance(results), CONTENT: content_correlation(self._sources, results)}


def quantiles_matched(sources: list[Tensor], targets: list[Tensor]) -> list[Tensor]:
    """Return planes (1, C, H, W) with the intensities of others: the same share of pixels above every level, by channel."""
    shares = np.linspace(0.0, 1.0, 257)
    matched = [plane.clone() for plane in sources]
    for channel in range(sources[0].shape[1]):
        own, other = (
            np.quantile(torch.cat([plane[:, channel].flatten() for plane in planes]).cpu().numpy(), shares)
            for planes in (sources, targets)
        )
        for plane in matched:
            mapped = np.interp(plane[:, channel].cpu().numpy(), own, other)
            plane[:, channel] = torch.from_numpy(mapped).to(plane)
    return matched


def network_generator(context: TrainContext) -> torch.Generator:
    """Return what the initial weights are drawn from."""
    return torch.Generator().manual_seed(context.seed)


def with_channels(pixels: Tensor, channels: int) -> Tensor:
    """Return blocks (N, C, *spatial) with so many channels: the mean of theirs for each, where they have another number."""
    if pixels.shape[1] == channels:
        return pixels
    return pixels.mean(1, keepdim=True).expand(-1, channels, *(-1 for _ in pixels.shape[2:]))


def _curve(source: Domain, target: Domain) -> MatchedCurve | None:
    """Return what brings intensities of the source near those of the target."""
    if source.channels != target.channels:
        return None
    own, other = (
        [np.concatenate([field.pixels[i].ravel() for field in domain.training]) for i in range(domain.channels)]
        for domain in (source, target)
    )
    return MatchedCurve.between(own, other)


def _batch(field: PatchRegion) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(field.pixels))[None]


def _pixel_sizes(images: TrainingImages, axes: str) -> tuple[str, ...]:
    """Say where pixels of the source are much larger or smaller than those of the target."""
    sizes = [_pixel_size(group, axes[-2:]) for group in (images.source, images.target)]
    if None in sizes or not all(sizes):
        return ()
    ratio = sizes[0] / sizes[1]  # type: ignore[operator]
    if 0.8 < ratio < 1.25:
        return ()
    return (
        f"A pixel of the source is {ratio:.2g} times as large as one of the target: bring them to one size first, or structures"
        " will be made smaller or larger than they are.",
    )


def _pixel_size(images: tuple[Image, ...], axes: str) -> float | None:
    """Return the usual size of a pixel; None where an image does not say it with a unit."""
    found = [image.spacing[axis] for image in images for axis in axes if axis in image.spacing and axis in image.units]
    return float(np.median(found)) if len(found) == len(axes) * len(images) else None


# Fields that are held out of one kind show other things than those of the other: few of them would judge by that.
_HELD_OUT = 1 / 4
_AS_IT_IS = IntensityTransform(0.0, 1.0)


@dataclass(frozen=True)
class Domain:
    """Images of one kind.

    Attributes
    ----------
    training, held_out : list of Field
        Normalised.
    kind : Kind
        What their channels are.
    """

    training: list[PatchRegion]
    held_out: list[PatchRegion]
    kind: Kind

    @classmethod
    def read(cls, images: Sequence[Image], axes: str, what: str) -> Domain:
        """Read images.

        Parameters
        ----------
        images : sequence of Image
        axes : str
            The spatial axes of a field.
        what : str
            What the user calls them: ``"source"``, say.

        Raises
        ------
        TrainingDataError
            They have different channels, or there is too little of them.
        """
        kind = Kind.of(images, what)
        counts = read_fields(images, Normalisation(((_AS_IT_IS,),) * len(images)), axes, joint="CS")
        return cls(*split_fields([_normalised(field, kind) for field in counts], _HELD_OUT), kind)

    @property
    def channels(self) -> int:
        """Of a field."""
        return len(self.kind.transforms)


def _normalised(field: PatchRegion, kind: Kind) -> PatchRegion:
    planes = [one.forward(plane) for plane, one in zip(field.pixels, kind.transforms, strict=True)]
    return replace(field, pixels=np.stack(planes))
