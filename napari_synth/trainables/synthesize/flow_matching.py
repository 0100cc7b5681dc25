"""Flow matching: the modern way from noise to images, steady to train, of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.synthesize._options import SynthesisTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class FlowTrainParams(SynthesisTrainParams):
    """Settings of flow matching."""

    width: int = Field(
        32,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width of the network",
        description="Channels of its finest level: more learn more and take longer.",
        json_schema_extra={"advanced": True},
    )


class FlowMatching(Trainable[FlowTrainParams]):
    """A network that tells the way from noise to images."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="synthesize/flow-matching",
        title="Flow matching",
        summary="Learns the way from noise to images, which is followed in a few steps: steady to train, for images of any size.",
        task=Task.SYNTHESIZE,
        images="one",
        reference="Lipman et al., Flow matching for generative modeling, ICLR 2023; Liu et al., Flow straight and fast, ICLR 2023",
    )
    params_type: ClassVar[type[TrainParams]] = FlowTrainParams

    def prepare(self, images: TrainingImages, params: FlowTrainParams, context: TrainContext) -> Lesson:
        """Read the images; see `Trainable.prepare`."""
        from napari_synth.trainables.synthesize._flow_matching import learn_velocities

        return learn_velocities(images, params, context)
