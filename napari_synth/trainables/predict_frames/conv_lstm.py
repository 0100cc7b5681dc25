"""A recurrent network that predicts frames, learnt from time-lapses."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_synth.core.generator import Task
from napari_synth.core.trainable import TrainableInfo, TrainParams
from napari_synth.trainables.predict_frames._options import ConvLSTMTrainParams
from napari_synth.training.trainable import Lesson, Trainable, TrainContext

if TYPE_CHECKING:
    from napari_synth.training.sources import TrainingImages


class ConvLSTMOfMovies(Trainable[ConvLSTMTrainParams]):
    """A convolutional long short-term memory."""

    info: ClassVar[TrainableInfo] = TrainableInfo(
        id="predict-frames/convlstm",
        title="ConvLSTM",
        summary="Learns from time-lapses how they go on, one frame after the other: remembers, and takes longer to learn.",
        task=Task.PREDICT_FRAMES,
        images="one",
        reference="Shi et al., Convolutional LSTM network, NeurIPS 2015; Bengio et al., Scheduled sampling, NeurIPS 2015",
    )
    params_type: ClassVar[type[TrainParams]] = ConvLSTMTrainParams

    def prepare(self, images: TrainingImages, params: ConvLSTMTrainParams, context: TrainContext) -> Lesson:
        """Read the movies; see `Trainable.prepare`."""
        from napari_synth.networks.conv_lstm import ConvLSTM
        from napari_synth.trainables.predict_frames._clips import learn_from_clips

        def network(channels: int) -> ConvLSTM:
            return ConvLSTM(channels, params.past, params.width, params.layers)

        return learn_from_clips(images, params, context, network, "conv-lstm")
