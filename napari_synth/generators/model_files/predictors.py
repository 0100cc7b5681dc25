"""Declares a predictor of frames for a described model file. Loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, cast

from pydantic import Field

from napari_synth.core.frames import FrameEnsemble, FramePredictor, PreparedFrames
from napari_synth.core.generator import Context, GeneratorInfo, Params, Task
from napari_synth.core.image import Image
from napari_synth.models.description import ModelDescription

ARCHITECTURES = ("conv-lstm", "simvp")
"""Of the models that predict frames, as their cards name them."""


class PredictorFileParams(Params):
    """Settings of a network from a file."""

    ensemble: bool = Field(
        False,
        title="Average over rotations",
        description="Predict in all eight flips and rotations and average: a little better, eight times slower.",
        json_schema_extra={"advanced": True},
    )


class PredictorFile(FramePredictor[PredictorFileParams]):
    """A network that the user trained to predict frames."""

    description: ClassVar[ModelDescription]
    path: ClassVar[Path]

    def prepare(self, movie: Image, params: PredictorFileParams, context: Context) -> PreparedFrames:
        """Load the network; see `FramePredictor.prepare`."""
        from napari_synth.generators.model_files._prepared import own_network
        from napari_synth.generators.predict_frames._learnt import LearntFrames, check_channels
        from napari_synth.models.files import read_card

        network, weights = own_network(self.description, self.path, context.device)
        check_channels(network, movie, self.info.joint(movie.axes), self.info.title)
        prepared = LearntFrames(network, weights, read_card(self.path).extras)
        return FrameEnsemble(prepared, "mean") if params.ensemble else prepared


def predictor_for(description: ModelDescription, path: Path) -> FramePredictor[PredictorFileParams]:
    """Return the predictor of a described model file, whose architecture is one of `ARCHITECTURES`."""
    several = description.input_channels > 1
    info = GeneratorInfo(
        id=description.id,
        title=description.title,
        summary=description.summary,
        task=Task.PREDICT_FRAMES,
        reference=description.reference,
        weights_licence=description.licence,
        colour="joint" if several else "separate",
        channels="joint" if several else "mapped",
        invents=True,
    )
    fields = {
        "info": info,
        "params_type": PredictorFileParams,
        "description": description,
        "path": path,
        "__doc__": info.summary,
    }
    return cast(FramePredictor[PredictorFileParams], type(PredictorFile.__name__, (PredictorFile,), fields)())
