"""Regression: learns to predict one kind of images from another, as near to the truth as it can."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.translate._paired_options import RegressionTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class Regression(Trainable[RegressionTrainParams]):
    """A U-Net and the error of each pixel."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="translate/regression",
        title="Paired, regression",
        summary="Learns from pairs of the same fields to predict other channels: labels from transmitted light, say; what cannot be"
        " known is smooth.",
        task=Task.TRANSLATE,
        images="paired",
        reference="Ounkomol et al., Label-free prediction of three-dimensional fluorescence images, Nature Methods 2018",
    )
    params_type: ClassVar[type[TrainParams]] = RegressionTrainParams

    def prepare(self, images: TrainingImages, params: RegressionTrainParams, context: TrainContext) -> Lesson:
        """Read the pairs; see `Trainable.prepare`."""
        from napari_synth.trainables.translate._regression import learn_regression

        return learn_regression(images, params, context)
