"""A VAE-GAN: an autoencoder, and behind it a network that draws what its images lack, at choice in the manner of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.synthesize._autoencoder_options import RefinedTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages

_REFERENCE = "Larsen et al., Autoencoding beyond pixels using a learned similarity metric, ICML 2016"


class VAEGAN(Trainable[RefinedTrainParams]):
    """Encoder, decoder, refiner, and one who judges."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="synthesize/vae-gan",
        title="VAE-GAN",
        summary="Learns smooth latents as the autoencoder does, and to draw the fine structure that its images lack.",
        task=Task.SYNTHESIZE,
        images="one",
        reference=_REFERENCE,
    )
    params_type: ClassVar[type[TrainParams]] = RefinedTrainParams

    def prepare(self, images: TrainingImages, params: RefinedTrainParams, context: TrainContext) -> Lesson:
        """Read the images; see `Trainable.prepare`."""
        from napari_synth.trainables.synthesize._vae_gan import learn_to_refine

        return learn_to_refine(images, params, context)


class TranslatingVAEGAN(Trainable[RefinedTrainParams]):
    """The same, into a second kind of images."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="synthesize/vae-gan-translated",
        title="VAE-GAN into a second kind",
        summary="Learns the latents of the source, and draws its images in the manner of the target, which may show other fields.",
        task=Task.SYNTHESIZE,
        images="unpaired",
        reference=f"{_REFERENCE}; Zhu et al., Unpaired image-to-image translation, ICCV 2017 (the way back)",
    )
    params_type: ClassVar[type[TrainParams]] = RefinedTrainParams

    def prepare(self, images: TrainingImages, params: RefinedTrainParams, context: TrainContext) -> Lesson:
        """Read the images of both kinds; see `Trainable.prepare`."""
        from napari_synth.trainables.synthesize._vae_gan import learn_to_refine

        return learn_to_refine(images, params, context)
