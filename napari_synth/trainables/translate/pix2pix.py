"""pix2pix: learns to make images of one kind from another that look real."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.translate._paired_options import Pix2PixTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class Pix2Pix(Trainable[Pix2PixTrainParams]):
    """A U-Net and one who judges."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="translate/pix2pix",
        title="Paired, as if real (pix2pix)",
        summary="Learns from pairs of the same fields to make images that look real: virtual stains, say; what cannot be known is"
        " invented.",
        task=Task.TRANSLATE,
        images="paired",
        reference="Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017",
    )
    params_type: ClassVar[type[TrainParams]] = Pix2PixTrainParams

    def prepare(self, images: TrainingImages, params: Pix2PixTrainParams, context: TrainContext) -> Lesson:
        """Read the pairs; see `Trainable.prepare`."""
        from napari_synth.trainables.translate._pix2pix import learn_pix2pix

        return learn_pix2pix(images, params, context)
