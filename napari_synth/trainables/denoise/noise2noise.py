"""Noise2Noise: learns the signal from pairs of images that are both noisy."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.denoise._options import PairTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class Noise2Noise(Trainable[PairTrainParams]):
    """A U-Net from one noisy image to another one of the same field."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="denoise/noise2noise",
        title="Noise2Noise",
        summary="Learns from pairs of noisy images of the same field with independent noise: no clean image is needed.",
        task=Task.DENOISE,
        images="paired",
        reference="Lehtinen et al., Noise2Noise, ICML 2018",
    )
    params_type: ClassVar[type[TrainParams]] = PairTrainParams

    def prepare(self, images: TrainingImages, params: PairTrainParams, context: TrainContext) -> Lesson:
        """Read the pairs; see `Trainable.prepare`."""
        from napari_synth.trainables.denoise._pairs import learn_from_pairs

        return learn_from_pairs(images, params, context, noisy_target=True)
