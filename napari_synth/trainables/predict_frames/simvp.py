"""A convolutional network that predicts frames, learnt from time-lapses."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.predict_frames._options import SimVPTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class SimVPOfMovies(Trainable[SimVPTrainParams]):
    """A convolutional network that sees all frames at once."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="predict-frames/simvp",
        title="SimVP",
        summary="Learns from time-lapses how they go on, several frames at once: convolutions alone, quick to learn.",
        task=Task.PREDICT_FRAMES,
        images="one",
        reference="Gao et al., SimVP, CVPR 2022; Trockman and Kolter, Patches are all you need?, 2022 (translator)",
    )
    params_type: ClassVar[type[TrainParams]] = SimVPTrainParams

    def prepare(self, images: TrainingImages, params: SimVPTrainParams, context: TrainContext) -> Lesson:
        """Read the movies; see `Trainable.prepare`."""
        from napari_synth.networks.simvp import SimVP
        from napari_synth.trainables.predict_frames._clips import learn_from_clips

        def network(channels: int) -> SimVP:
            return SimVP(channels, params.past, params.future, params.width, blocks=params.blocks)

        return learn_from_clips(images, params, context, network, "simvp")
