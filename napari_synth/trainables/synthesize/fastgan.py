"""A light GAN for few images."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.synthesize._gan_options import GanTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class Fastgan(Trainable[GanTrainParams]):
    """A generator with skips that excite channels, and a critic that must know what it sees."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="synthesize/fastgan",
        title="FastGAN",
        summary="Gated channels, and a critic that must know what it sees: a little slower than the DCGAN, for few images.",
        task=Task.SYNTHESIZE,
        reference="Liu et al., Towards faster and stabilized GAN training for few-shot image synthesis, ICLR 2021",
    )
    params_type: ClassVar[type[TrainParams]] = GanTrainParams

    def prepare(self, images: TrainingImages, params: GanTrainParams, context: TrainContext) -> Lesson:
        """Read the crops; see `Trainable.prepare`."""
        from napari_synth.trainables.synthesize._gan import learn_game

        return learn_game(images, params, context, "fastgan")
