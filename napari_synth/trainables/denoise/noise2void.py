"""Noise2Void, trained once on many noisy images, for images like them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.denoise._options import DenoiserTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class Noise2VoidTrainParams(DenoiserTrainParams):
    """Settings of Noise2Void on many images."""

    width: int = Field(
        24,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width of the network",
        description="Channels of its finest level: more learn more and take longer.",
        json_schema_extra={"advanced": True},
    )


class Noise2VoidOfMany(Trainable[Noise2VoidTrainParams]):
    """A blind-spot network for many images."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="denoise/noise2void",
        title="Noise2Void, once for many images",
        summary="Learns from noisy images alone, once; the model then restores images like them without training again.",
        task=Task.DENOISE,
        images="one",
        reference="Krull et al., Noise2Void, CVPR 2019; Laine et al., NeurIPS 2019 (posterior)",
    )
    params_type: ClassVar[type[TrainParams]] = Noise2VoidTrainParams

    def prepare(self, images: TrainingImages, params: Noise2VoidTrainParams, context: TrainContext) -> Lesson:
        """Read the images and measure their noise; see `Trainable.prepare`."""
        from napari_synth.trainables.denoise._hidden import learn_from_hidden

        return learn_from_hidden(images, params, context)
