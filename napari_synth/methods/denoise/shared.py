"""What several denoisers share: the measured noise, images without any, and directions that are swapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import lcm
from typing import TYPE_CHECKING

from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.device import Device
from napari_synth.core.progress import Reporter
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform, measure_statistics
from napari_synth.imaging.noise import NoiseModel, NoiseReport
from napari_synth.imaging.screening import noise_of
from napari_synth.methods.noise_conditioning import FAINT, MEAN_SPREAD, Condition, measure_condition
from napari_synth.networks.local_mean import CELL, local_mean, local_mean_reach

if TYPE_CHECKING:
    from napari_synth.training.loop import FitResult


def measure_noise(image: Image, context: Context) -> NoiseReport:
    """Estimate the noise of the image, in counts."""
    context.report.start("Measuring the noise")
    return noise_of(image)


def is_clean(noise: NoiseReport) -> bool:
    """Whether there is no noise to remove."""
    return noise.model.gain <= 0.0 and noise.model.read_noise <= 0.0


def noise_variance(model: NoiseModel, signal: Tensor) -> Tensor:
    """Return the variance of the noise at ``signal``, both in the units of the model."""
    return model.gain * (signal - model.offset).clamp_min(0.0) + model.read_noise**2


def training_notes(result: FitResult) -> tuple[str, ...]:
    """Say how a training run went."""
    said = [
        f"Trained {result.steps} steps in {result.seconds:.0f} s: set steps to {result.planned} to train as long again."
    ]
    if len(result.held_out) > 1:
        best = min(result.held_out, key=lambda item: item[1])
        said.append(f"The held-out loss fell from {result.held_out[0][1]:.3f} to {best[1]:.3f} at step {best[0]}.")
    if result.roll_backs:
        said.append(f"Training became unstable {result.roll_backs} times and went back to earlier weights.")
    return tuple(said)


class Unchanged(Prepared):
    """Returns an image without noise as it is."""

    def __init__(self, noise: NoiseReport) -> None:
        self.noise = noise
        self.notes = ("There was nothing to learn: the image is returned as it is.",)
        self.spec = BlockSpec.plane(0)

    def apply(self, block: Tensor) -> Tensor:
        """Return the block; see `Prepared.apply`."""
        return block


class MeansKept(Prepared):
    """Restores as another does, with local means that are those of the image.

    Photons are neither made nor lost: what a method adds or takes over some dozen pixels is its own error, such as that of a
    training that has just begun, or of a few photons whose distribution is not symmetric.

    Parameters
    ----------
    restorer : Prepared
        At the image's own size.
    """

    def __init__(self, restorer: Prepared) -> None:
        self._restorer = restorer
        spec, reach = restorer.spec, local_mean_reach(MEAN_SPREAD)
        self.spec = replace(
            spec,
            halo=(*spec.halo[:-2], *(halo + reach for halo in spec.halo[-2:])),
            multiple=(*spec.multiple[:-2], *(lcm(multiple, CELL) for multiple in spec.multiple[-2:])),
        )
        self.intensity, self.result = restorer.intensity, restorer.result
        self.noise, self.weights, self.resolved = restorer.noise, restorer.weights, restorer.resolved
        self.notes = (*restorer.notes, "So few photons are there that local means are put right after it.")

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks, and put their means right; see `Prepared.apply`."""
        made = self._restorer.apply(block)
        lost = (block - made).reshape(-1, 1, *block.shape[-2:])
        return made + local_mean(lost, MEAN_SPREAD).reshape(block.shape)

    def transposed(self) -> Prepared:
        """Return what restores the image with Y and X swapped."""
        return MeansKept(self._restorer.transposed())

    def flipped(self, y: bool, x: bool) -> Prepared:
        """Return what restores the image flipped along Y or X."""
        return MeansKept(self._restorer.flipped(y, x))


def keeping_photons(prepared: Prepared, noise: NoiseReport, context: Context) -> Prepared:
    """Return what restores as another does, and keeps local means where there are so few photons that it would not.

    Parameters
    ----------
    prepared : Prepared
    noise : NoiseReport
        Of the image, in counts.
    context : Context
    """
    model = noise.model.scaled(context.intensity.scale, context.intensity.offset)
    is_faint = model.gain > 0.0 and float(model.sigma(1.0)) > FAINT
    return MeansKept(prepared) if is_faint else prepared


class TransposedRestorer(Prepared):
    """Restores an image whose Y and X are swapped, with what was prepared for the image as it is."""

    def __init__(self, upright: Prepared) -> None:
        self._upright = upright
        spec = upright.spec
        swap = [*range(len(spec.axes) - 2), len(spec.axes) - 1, len(spec.axes) - 2]
        halo, multiple = (tuple(values[i] for i in swap) for values in (spec.halo, spec.multiple))
        self.spec = BlockSpec(spec.axes, halo, multiple, spec.scale, spec.whole, spec.bytes_per_pixel)
        self.noise, self.notes, self.weights = upright.noise, upright.notes, upright.weights

    def apply(self, block: Tensor) -> Tensor:
        """Restore a block of the swapped image; see `Prepared.apply`."""
        return self._upright.apply(block.transpose(-1, -2).contiguous()).transpose(-1, -2)

    def transposed(self) -> Prepared:
        """Return what restores the image as it is."""
        return self._upright


def conditions(
    images: Sequence[Image], transforms: Sequence[Sequence[IntensityTransform]], device: Device, report: Reporter
) -> Iterator[list[Condition]]:
    """Measure the noise of each image, of each of its channels apart, in normalised units.

    Parameters
    ----------
    images : sequence of Image
    transforms : sequence of sequence of IntensityTransform
        Those of each image, of each of its channels.
    device : Device
    report : Reporter
        Told of every image.
    """
    for image, own in zip(images, transforms, strict=True):
        found = []
        for channel, intensity in enumerate(own):
            part = image.select(C=channel) if "C" in image.axes else image
            context = Context(device, intensity, measure_statistics(part), report=report)
            found.append(measure_condition(part, context))
        yield found
