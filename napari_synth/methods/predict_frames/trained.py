"""Runs networks that were trained to predict frames, from their model files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_synth.contract.frames import FrameSpec, PreparedFrames
from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.core.errors import AxesError
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.methods.predict_frames.catalogue import ClipTrainParams, ConvLSTMTrainParams, SimVPTrainParams
from napari_synth.methods.predict_frames.flow import Copied, Lines, Moved
from napari_synth.networks.frame_predictors import ConvLSTM, SimVP
from napari_synth.training.clips import draw_clips, held_out_clips, read_movies, split_clips
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.events import Figures, Preview
from napari_synth.training.optim import FitSettings, usual_optimizers
from napari_synth.training.patches import PatchRegion, PatchSampler, fitting_patch
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

# What lies further away hardly changes an answer.
_HALO = 48
_BYTES_PER_PIXEL = 512


class LearntFrames(PreparedFrames):
    """A network that goes on from frames it is shown.

    Parameters
    ----------
    network : ConvLSTM or SimVP
    weights : mapping of str to str
        Hashes of the weight files.
    extras : mapping
        Of the model's card.
    """

    def __init__(self, network: Any, weights: Mapping[str, str], extras: Mapping[str, Any]) -> None:
        self._network, self.weights = network, weights
        self.spec = FrameSpec(
            history=network.history, halo=_HALO, multiple=network.multiple, bytes_per_pixel=_BYTES_PER_PIXEL
        )
        if not extras.get("backwards", True):
            self.notes = (
                "This model did not learn from movies played backwards: frames that are filled from what comes after may be wrong.",
            )

    def predict(self, past: Tensor, count: int) -> Tensor:
        """Go on; see `PreparedFrames.predict`."""
        predicted: Tensor = self._network(past, count)[:, -count:]
        return predicted.float()


def check_channels(network: Any, movie: Image, joint: str, title: str) -> None:
    """Raise `AxesError` unless a movie has the channels that a network was trained on.

    Parameters
    ----------
    network : torch.nn.Module
        Its ``channels`` are held against the movie.
    movie : Image
    joint : str
        The axes that are the channels of the network.
    title : str
        How the error calls the method.
    """
    found = 1
    for axis in joint:
        found *= movie.sizes[axis]
    if found != network.in_channels:
        raise AxesError(
            f"{title} was trained on movies of {network.in_channels} channels, this one has {found}: set the axes, or choose"
            " another model."
        )


_NAME = "network"
_PSNR = "PSNR of the next frames (dB)"
_RATE = {"simvp": 2e-2, "conv-lstm": 6e-3}
# Scheduled sampling: the network goes on from its own frames alone after this share of the budget, or so many steps.
_TAUGHT_SHARE, _TAUGHT_STEPS = 0.5, 2000
_FLOW_RADIUS, _LINE = 7, 3


def learn_from_clips(
    images: TrainingImages,
    params: ClipTrainParams,
    context: TrainContext,
    network_of: Callable[[int], nn.Module],
    architecture: str,
) -> TrainingSetup:
    """Set up the training.

    Parameters
    ----------
    images : TrainingImages
    params : ClipTrainParams
    context : TrainContext
    network_of : callable
        Returns a fresh network for frames of so many channels.
    architecture : str
        Its name in the card.
    """
    context.report.start("Reading the movies")
    frames = params.past + params.future
    fields, normalisation = read_movies(images.source, frames, channels=params.channels)
    training, held_out = split_clips(fields, frames)
    # What draws the initial weights is seeded by the studio.
    network: Any = network_of(fields[0].pixels.shape[0])
    grid = (1, network.multiple, network.multiple)
    patch = (frames, *fitting_patch(training, (frames, params.patch, params.patch), grid)[1:])
    settings = FitSettings(
        learning_rate=params.learning_rate or _RATE[architecture],
        batch_size=params.batch or (8 if context.device.kind == "cpu" else 32),
        averaging=0.99,
        validations=24,
        optimizer="muon",
    )
    notes: tuple[str, ...] = ()
    if params.augmentation != "none":
        notes = ("Clips are flipped and turned, and not augmented further: that would change how they move.",)
    module = FramePredictionModule(
        network,
        PatchSampler(training, patch, context.device.torch_name),
        held_out_clips(held_out, frames, network.multiple),
        params.past,
        settings,
        normalisation.transforms,
        context.device.torch_name,
        backwards=params.backwards,
        has_colours=any("S" in image.axes for image in images.source),
    )
    return TrainingSetup(
        module,
        settings,
        network,
        architecture,
        normalisation={"source": normalisation.record(), "each_image": True},
        extras={
            "past": params.past,
            "future": params.future,
            "backwards": params.backwards,
            "channels": params.channels,
        },
        notes=(*images.notes, *notes),
        limits=(
            "It was trained on movies of one kind at one time step: others may be continued wrongly.",
            "What it predicts is invented, and becomes blurred where the future is uncertain.",
        ),
    )


class FramePredictionModule(TrainingModule):
    """Learns to predict the last frames of clips from the first ones.

    Parameters
    ----------
    network : nn.Module
        `ConvLSTM` or `SimVP`.
    pool : PatchSampler
        Of whole clips.
    held_out : list of Field
        Clips.
    past : int
        How many of the frames of a clip it is shown.
    settings : FitSettings
    shown : sequence of sequence of IntensityTransform
        Of each image, for the preview.
    device : str
        As torch calls it.
    backwards : bool
        Whether clips are played backwards too.
    has_colours : bool
        Whether the channels of a frame are red, green and blue.
    """

    def __init__(
        self,
        network: nn.Module,
        pool: PatchSampler,
        held_out: list[PatchRegion],
        past: int,
        settings: FitSettings,
        shown: Sequence[Sequence[IntensityTransform]],
        device: str,
        *,
        backwards: bool,
        has_colours: bool,
    ) -> None:
        self.networks: Networks = {_NAME: network}
        self.pool, self.past, self.settings, self.shown = pool, past, settings, shown
        self.future = pool.patch[0] - past
        self.backwards, self.has_colours = backwards, has_colours
        self.is_recurrent = isinstance(network, ConvLSTM)
        self.held_out = held_out
        self._clips = [torch.from_numpy(field.pixels).transpose(0, 1)[None].to(device) for field in held_out]

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        return {_NAME: usual_optimizers(self.networks[_NAME], self.settings)}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        clips = draw_clips(self.pool, work.batch_size, work.generator, backwards=self.backwards)
        taught = torch.rand(work.batch_size, self.future, device=clips.device, generator=work.generator)
        taught = taught < self._taught_share(work)
        clips, taught = work.share(clips), work.share(taught)
        past, truth = clips[:, : self.past], clips[:, self.past :]
        if self.is_recurrent:
            said = work.networks[_NAME](past, self.future, truth, taught)
            # What it says of the frames that it is shown teaches as well.
            error = said[:, 1 - clips.shape[1] :] - clips[:, 1:]
        else:
            error = work.networks[_NAME](past, self.future) - truth
        loss = error.square().mean()
        work.update(_NAME, loss)
        return {"loss": loss}

    def validate(self, networks: Networks) -> Validation:
        """See `TrainingModule.validate`."""
        return self._measured(lambda past: networks[_NAME](past, self.future)[:, -self.future :])

    def baselines(self) -> Mapping[str, Figures]:
        """Return what methods reach that need no learning."""
        methods: dict[str, PreparedFrames] = {
            "a copy of the last frame": Copied(),
            "lines": Lines(_LINE),
            "optical flow": Moved("lucas-kanade", _FLOW_RADIUS),
        }

        def measured(method: PreparedFrames) -> Figures:
            return self._measured(lambda past: method.predict(past[:, -method.spec.history :], self.future)).metrics

        return {name: measured(method) for name, method in methods.items()}

    def preview(self, networks: Networks) -> Preview:
        """See `TrainingModule.preview`."""
        field = self.held_out[0]
        predicted = (
            networks[_NAME](self._clips[0][:, : self.past], self.future)[0, -self.future :].float().cpu().numpy()
        )
        transform = self.shown[field.image][field.apart]
        pixels = transform.inverse(predicted).astype(np.float32)
        shown = np.moveaxis(pixels, 1, -1) if self.has_colours else pixels[:, 0]
        place = {"T": field.place[0] + self.past, "Y": field.place[1], "X": field.place[2]}
        return Preview(shown, "TYX" + "S" * self.has_colours, place)

    def _taught_share(self, work: StepContext) -> float:
        """Return how often the network goes on from a true frame: at first always, later never."""
        return max(0.0, 1.0 - max(work.spent / _TAUGHT_SHARE, work.step / _TAUGHT_STEPS))

    def _measured(self, predicted: Callable[[Tensor], Tensor]) -> Validation:
        """Measure frame by frame; the score is the mean squared error over all of them, the range being 1."""
        squares = []
        for clip in self._clips:
            error = predicted(clip[:, : self.past]).float() - clip[:, self.past :]
            squares.append(error.square().mean((0, 2, 3, 4)))
        by_frame = torch.stack(squares).mean(0).tolist()
        score = sum(by_frame) / len(by_frame)
        figures = {_PSNR: 10.0 * math.log10(1.0 / max(score, 1e-12))}
        for ahead in sorted({1, self.future}):
            figures[f"MSE of frame +{ahead} (x 1000)"] = 1000.0 * by_frame[ahead - 1]
        return Validation(score, figures)


def set_up_simvp(images: TrainingImages, params: SimVPTrainParams, context: TrainContext) -> TrainingSetup:
    """Read the movies.

    For its parameters see `Trainable.prepare`.
    """

    def network(channels: int) -> SimVP:
        return SimVP(channels, params.past, params.future, params.width, blocks=params.blocks)

    return learn_from_clips(images, params, context, network, "simvp")


def set_up_conv_lstm(images: TrainingImages, params: ConvLSTMTrainParams, context: TrainContext) -> TrainingSetup:
    """Read the movies.

    For its parameters see `Trainable.prepare`.
    """

    def network(channels: int) -> ConvLSTM:
        return ConvLSTM(channels, params.past, params.width, params.layers)

    return learn_from_clips(images, params, context, network, "conv-lstm")
