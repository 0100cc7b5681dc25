"""Content-aware restoration: learns to make bad images good from pairs of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.denoise._options import PairTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class Supervised(Trainable[PairTrainParams]):
    """A U-Net from bad to good images."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="denoise/supervised",
        title="Bad to good (CARE)",
        summary="Learns from pairs of a bad and a good image of the same field: short and long exposures, say.",
        task=Task.DENOISE,
        images="paired",
        reference="Weigert et al., Content-aware image restoration, Nature Methods 2018",
    )
    params_type: ClassVar[type[TrainParams]] = PairTrainParams

    def prepare(self, images: TrainingImages, params: PairTrainParams, context: TrainContext) -> Lesson:
        """Read the pairs; see `Trainable.prepare`."""
        from napari_synth.trainables.denoise._pairs import learn_from_pairs

        return learn_from_pairs(images, params, context, noisy_target=False)
