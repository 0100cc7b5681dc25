"""A variational autoencoder: the steadiest maker of images, whose latents are few and smooth."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.synthesize._autoencoder_options import AutoencoderTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class VAE(Trainable[AutoencoderTrainParams]):
    """Encoder and decoder."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="synthesize/vae",
        title="Variational autoencoder",
        summary="Learns to make images, and to find images again, from a few smooth numbers: steady and quick, but blurred.",
        task=Task.SYNTHESIZE,
        images="one",
        reference="Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014",
    )
    params_type: ClassVar[type[TrainParams]] = AutoencoderTrainParams

    def prepare(self, images: TrainingImages, params: AutoencoderTrainParams, context: TrainContext) -> Lesson:
        """Read the images; see `Trainable.prepare`."""
        from napari_synth.trainables.synthesize._vae import learn_latents

        return learn_latents(images, params, context)
