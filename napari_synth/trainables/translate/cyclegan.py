"""CycleGAN: learns the ways between two kinds of images, so that the way there and back leads home."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.translate._unpaired_options import CycleTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class CycleGAN(Trainable[CycleTrainParams]):
    """Two networks and two who judge."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="translate/cyclegan",
        title="Unpaired, both ways (CycleGAN)",
        summary="Learns from images of two kinds that show different fields; its results can be checked by the way back.",
        task=Task.TRANSLATE,
        images="unpaired",
        reference="Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017",
    )
    params_type: ClassVar[type[TrainParams]] = CycleTrainParams

    def prepare(self, images: TrainingImages, params: CycleTrainParams, context: TrainContext) -> Lesson:
        """Read the images; see `Trainable.prepare`."""
        from napari_synth.trainables.translate._cycle import learn_both_ways

        return learn_both_ways(images, params, context)
