"""The classic GAN."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.synthesize._gan_options import GanTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class Dcgan(Trainable[GanTrainParams]):
    """A convolutional generator that plays against a discriminator."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="synthesize/dcgan",
        title="DCGAN",
        summary="Two small networks play against each other: sharp images of one size within minutes.",
        task=Task.SYNTHESIZE,
        reference="Radford et al., Unsupervised representation learning with deep convolutional GANs, ICLR 2016",
    )
    params_type: ClassVar[type[TrainParams]] = GanTrainParams

    def prepare(self, images: TrainingImages, params: GanTrainParams, context: TrainContext) -> Lesson:
        """Read the crops; see `Trainable.prepare`."""
        from napari_synth.trainables.synthesize._gan import learn_game

        return learn_game(images, params, context, "dcgan")
