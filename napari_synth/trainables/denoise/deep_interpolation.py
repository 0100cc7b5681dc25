"""Removes noise that is independent from frame to frame: predicts every frame from those around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class OverTimeTrainParams(TrainParams):
    """Settings of denoising over time."""

    reach: int = Field(
        3,
        ge=1,
        le=30,
        title="Frames on either side",
        description="How many frames before and after are looked at. What changes faster than that is lost.",
    )
    width: int = Field(
        24,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width of the network",
        description="Channels of a frame: more learn more and take longer.",
        json_schema_extra={"advanced": True},
    )


class DeepInterpolation(Trainable[OverTimeTrainParams]):
    """Learns each frame from its neighbours in time."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="denoise/deep-interpolation",
        title="Over time (DeepInterpolation)",
        summary="Learns from noisy time-lapses to predict every frame from those before and after it: noise cannot be predicted."
        " For movies that change slowly from frame to frame.",
        task=Task.DENOISE,
        images="one",
        reference="Lecoq et al., Removing independent noise with DeepInterpolation, Nature Methods 2021; Gao et al., SimVP, CVPR"
        " 2022",
    )
    params_type: ClassVar[type[TrainParams]] = OverTimeTrainParams

    def prepare(self, images: TrainingImages, params: OverTimeTrainParams, context: TrainContext) -> Lesson:
        """Read the movies; see `Trainable.prepare`."""
        from napari_synth.trainables.denoise._over_time import learn_over_time

        return learn_over_time(images, params, context)
