"""Contrastive unpaired translation: each patch of a result must show what the source shows there, and look like the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.translate._unpaired_options import CutTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class Cut(Trainable[CutTrainParams]):
    """One network and one who judges."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="translate/cut",
        title="Unpaired, one way (CUT)",
        summary="Learns from images of two kinds that show different fields, in half the time and memory of both ways.",
        task=Task.TRANSLATE,
        images="unpaired",
        reference="Park et al., Contrastive learning for unpaired image-to-image translation, ECCV 2020",
    )
    params_type: ClassVar[type[TrainParams]] = CutTrainParams

    def prepare(self, images: TrainingImages, params: CutTrainParams, context: TrainContext) -> Lesson:
        """Read the images; see `Trainable.prepare`."""
        from napari_synth.trainables.translate._contrastive import learn_one_way

        return learn_one_way(images, params, context)
