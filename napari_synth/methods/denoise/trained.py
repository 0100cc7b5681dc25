"""Runs denoisers that the user trained, from their model files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.methods.denoise.blind_spot import BlindSpotRestorer
from napari_synth.methods.denoise.catalogue import OverTimeTrainParams
from napari_synth.methods.denoise.even_noise import with_even_noise
from napari_synth.methods.denoise.shared import Unchanged, is_clean, keeping_photons, measure_noise
from napari_synth.models.card import reading_card
from napari_synth.networks.blind_spot_unet import BlindSpotMask, BlindSpotUNet
from napari_synth.networks.frame_predictors import SimVP
from napari_synth.networks.residual_unet import ResidualUNet
from napari_synth.training.clips import draw_clips, held_out_clips, read_movies, split_clips
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.events import Figures, Preview
from napari_synth.training.held_out import psnr
from napari_synth.training.optim import FitSettings, usual_optimizers
from napari_synth.training.patches import PatchRegion, PatchSampler, fitting_patch
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

# What lies further away hardly changes a result.
_HALO = 48
_BYTES_PER_PIXEL = 600


class TrainedRestorer(Prepared):
    """A network that turns normalised images into better ones.

    Parameters
    ----------
    network : ResidualUNet
    weights : mapping of str to str
        Hashes of the weight files.
    """

    def __init__(self, network: ResidualUNet, weights: Mapping[str, str]) -> None:
        self._network, self.weights = network, weights
        field = network.receptive_field
        halo = min(_HALO, field[-1])
        if network.dims == 2:
            self.spec = BlockSpec.plane(halo, multiple=network.multiple, bytes_per_pixel=_BYTES_PER_PIXEL)
        else:
            self.spec = BlockSpec.volume(
                "ZYX",
                (field[0], halo, halo),
                multiple=(1, network.multiple, network.multiple),
                bytes_per_pixel=_BYTES_PER_PIXEL,
            )

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, C, *spatial); see `Prepared.apply`."""
        restored: Tensor = self._network(block)
        return restored.float()


def blind_spot_restorer_of(
    network: BlindSpotUNet,
    weights: Mapping[str, str],
    extras: Mapping[str, Any],
    image: Image,
    context: Context,
    *,
    weigh_measurement: bool,
) -> Prepared:
    """Return what restores an image by a blind-spot network and the noise measured in it.

    Parameters
    ----------
    network : BlindSpotUNet
    weights : mapping of str to str
        The hash of the weights, by name.
    extras : mapping of str to object
        What the card says of the training.
    image : Image
    context : Context
    weigh_measurement : bool
        Whether the measured value is combined with the prediction.
    """
    with reading_card("blind-spot network"):
        mask, axes = BlindSpotMask(tuple(map(int, extras["reach"])), int(extras["gap"])), str(extras["axes"])

    def prepare(even: Image) -> Prepared:
        noise = measure_noise(even, context)
        if is_clean(noise):
            return Unchanged(noise)
        model = noise.model.scaled(context.intensity.scale, context.intensity.offset)
        prepared = BlindSpotRestorer(network, mask, model if weigh_measurement else None, axes, noise, ())
        prepared.weights = weights
        return keeping_photons(prepared, noise, context)

    return with_even_noise(image, context, prepare)


_OVER_TIME_BYTES_PER_PIXEL = 1024


class OverTime(Prepared):
    """Predicts each frame from its neighbours in time, without looking at it.

    Parameters
    ----------
    network : SimVP
        Sees as many frames before as after.
    weights : mapping of str to str
        Hashes of the weight files.
    """

    def __init__(self, network: SimVP, weights: Mapping[str, str]) -> None:
        self._network, self.weights = network, weights
        self._reach = network.history // 2
        halo = min(48, network.receptive_field)
        self.spec = BlockSpec.volume(
            "TYX",
            (self._reach, halo, halo),
            multiple=(1, network.multiple, network.multiple),
            bytes_per_pixel=_OVER_TIME_BYTES_PER_PIXEL,
        )

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, C, T, Y, X); see `Prepared.apply`."""
        frames = block.transpose(1, 2)
        restored = [
            self._network(frames[:, neighbours_of(t, frames.shape[1], self._reach)]) for t in range(frames.shape[1])
        ]
        return torch.cat(restored, dim=1).transpose(1, 2).float()


def neighbours_of(frame: int, frames: int, reach: int) -> list[int]:
    """Return the frames before and after one, mirrored about it where a movie ends; of a single frame, that frame.

    Parameters
    ----------
    frame : int
        Its index.
    frames : int
        How many there are.
    reach : int
        How many before and after are returned.
    """
    found = []
    for step in (*range(-reach, 0), *range(1, reach + 1)):
        other = frame + step if 0 <= frame + step < frames else frame - step
        if not 0 <= other < frames:
            # A movie shorter than what is looked at: the neighbour on the side where there is one.
            other = frame - 1 if frame else min(1, frames - 1)
        found.append(other)
    return found


_NAME = "network"
_PSNR = "PSNR of frames not looked at (dB)"
_RATE = 2e-2


def learn_over_time(images: TrainingImages, params: OverTimeTrainParams, context: TrainContext) -> TrainingSetup:
    """Set up the training.

    For its parameters see `Trainable.prepare`.
    """
    context.report.start("Reading the movies")
    frames = 2 * params.reach + 1
    fields, normalisation = read_movies(images.source, frames)
    training, held_out = split_clips(fields, frames)
    network = SimVP(fields[0].pixels.shape[0], 2 * params.reach, 1, params.width, base="none")
    grid = (1, network.multiple, network.multiple)
    patch = (frames, *fitting_patch(training, (frames, params.patch, params.patch), grid)[1:])
    settings = FitSettings(
        learning_rate=params.learning_rate or _RATE,
        batch_size=params.batch or (8 if context.device.kind == "cpu" else 32),
        validations=24,
        optimizer="muon",
    )
    notes: tuple[str, ...] = ()
    if params.augmentation != "none":
        notes = (
            "Clips are flipped and turned, and not augmented further: the noise is learnt from as it was measured.",
        )
    module = Interpolation(
        network,
        PatchSampler(training, patch, context.device.torch_name),
        held_out_clips(held_out, frames, network.multiple),
        settings,
        normalisation.transforms,
        context.device.torch_name,
        has_colours=any("S" in image.axes for image in images.source),
    )
    return TrainingSetup(
        module,
        settings,
        network,
        "simvp",
        normalisation={"source": normalisation.record(), "each_image": True},
        extras={"reach": params.reach},
        notes=(*images.notes, *notes),
        limits=(
            "It was trained on movies of one kind at one time step: others may be restored wrongly.",
            "It does not look at the frame that it restores: what is seen in that frame alone is lost.",
        ),
    )


class Interpolation(TrainingModule):
    """Learns to predict the middle frame of clips from the others.

    Parameters
    ----------
    network : SimVP
    pool : PatchSampler
        Of whole clips.
    held_out : list of Field
        Clips.
    settings : FitSettings
    shown : sequence of sequence of IntensityTransform
        Of each image, for the preview.
    device : str
        As torch calls it.
    has_colours : bool
        Whether the channels of a frame are red, green and blue.
    """

    def __init__(
        self,
        network: SimVP,
        pool: PatchSampler,
        held_out: list[PatchRegion],
        settings: FitSettings,
        shown: Sequence[Sequence[IntensityTransform]],
        device: str,
        *,
        has_colours: bool,
    ) -> None:
        self.networks: Networks = {_NAME: network}
        self.pool, self.settings, self.shown, self.has_colours = pool, settings, shown, has_colours
        self.held_out = held_out
        self._clips = [torch.from_numpy(field.pixels).transpose(0, 1)[None].to(device) for field in held_out]

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        return {_NAME: usual_optimizers(self.networks[_NAME], self.settings)}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        clips = work.share(draw_clips(self.pool, work.batch_size, work.generator, backwards=True))
        around, middle = _parts(clips)
        # Whose noise has mean zero: the mean of what may have been measured is the clean frame.
        loss = (work.networks[_NAME](around) - middle).square().mean()
        work.update(_NAME, loss)
        return {"loss": loss}

    def validate(self, networks: Networks) -> Validation:
        """See `TrainingModule.validate`."""
        return self._measured(networks[_NAME])

    def baselines(self) -> Mapping[str, Figures]:
        """Return how well means of the frames around predict one that is not looked at."""
        reach = self.pool.patch[0] // 2

        def mean_of(count: int) -> Callable[[Tensor], Tensor]:
            return lambda around: around[:, reach - count : reach + count].mean(1, keepdim=True)

        found: dict[str, Figures] = {"the mean of the frames next to it": self._measured(mean_of(1)).metrics}
        if reach > 1:
            found["the mean of all frames around it"] = self._measured(mean_of(reach)).metrics
        return found

    def preview(self, networks: Networks) -> Preview:
        """See `TrainingModule.preview`."""
        field = self.held_out[0]
        around, _ = _parts(self._clips[0])
        restored = networks[_NAME](around)[0, 0].float().cpu().numpy()
        pixels = self.shown[field.image][field.apart].inverse(restored).astype(np.float32)
        shown = np.moveaxis(pixels, 0, -1) if self.has_colours else pixels[0]
        place = {"T": field.place[0] + self.pool.patch[0] // 2, "Y": field.place[1], "X": field.place[2]}
        return Preview(shown, "YX" + "S" * self.has_colours, place)

    def _measured(self, predicted: nn.Module | Callable[[Tensor], Tensor]) -> Validation:
        squares = []
        for clip in self._clips:
            around, middle = _parts(clip)
            squares.append((predicted(around).float() - middle).square().mean())
        score = float(torch.stack(squares).mean())
        return Validation(score, {_PSNR: psnr(score)})


def _parts(clips: Tensor) -> tuple[Tensor, Tensor]:
    """Return the frames around the middle one, and that, of clips (N, T, C, Y, X)."""
    middle = clips.shape[1] // 2
    return torch.cat((clips[:, :middle], clips[:, middle + 1 :]), dim=1), clips[:, middle : middle + 1]
