"""Labels to image: learns from images that were annotated to make others for any labels, which are their annotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.synthesize._label_options import LabelsToImageTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class LabelsToImage(Trainable[LabelsToImageTrainParams]):
    """A network that paints labels, and one who judges whether image and labels go together."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="synthesize/labels-to-image",
        title="Labels to image",
        summary="Learns from labels and the image they were drawn on to make images for other labels: new images with their"
        " annotation.",
        task=Task.SYNTHESIZE,
        images="paired",
        reference="Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017",
        source="labels",
    )
    params_type: ClassVar[type[TrainParams]] = LabelsToImageTrainParams

    def prepare(self, images: TrainingImages, params: LabelsToImageTrainParams, context: TrainContext) -> Lesson:
        """Read labels and images; see `Trainable.prepare`."""
        from napari_synth.trainables.synthesize._labels_to_image import learn_to_paint

        return learn_to_paint(images, params, context)
