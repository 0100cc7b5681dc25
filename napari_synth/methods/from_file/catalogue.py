"""Makes methods of described model files, and declares the settings that such methods have. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal, cast

import pydantic
from pydantic import Field

from napari_synth.contract.frames import FramePredictor
from napari_synth.contract.generator import Generator, GeneratorInfo, Method, ModelSource, Task
from napari_synth.contract.params import OutlierParams, Params, ensemble_field, weigh_measurement_field
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.core.errors import ModelFileError
from napari_synth.methods.inpaint.catalogue import FillerParams
from napari_synth.methods.super_resolution.catalogue import FactorParams
from napari_synth.methods.translate.catalogue import NeuralStyleParams
from napari_synth.models.architectures import ARCHITECTURES, Run
from napari_synth.models.card import ModelDescription


class ModelFileParams(Params):
    """Settings of any network from a file."""

    ensemble: bool = ensemble_field()


class RestorerFileParams(ModelFileParams, OutlierParams):
    """Settings of a network from a file that restores what was measured."""


class BlindSpotFileParams(RestorerFileParams):
    """Settings of a blind-spot network from a file."""

    weigh_measurement: bool = weigh_measurement_field()


class TranslatorFileParams(ModelFileParams):
    """Settings of a translator from a file."""

    intensities: Literal["training", "image"] = Field(
        "training",
        title="Intensities",
        description="What grey values mean: the same as in the images that it was trained on, which keeps results quantitative, or"
        " a share of this image's own range, where it was not measured like those.",
        json_schema_extra={"advanced": True},
    )


class CycleFileParams(TranslatorFileParams):
    """Settings of a translator that knows the way back."""

    show: Literal["translation", "cycle error"] = Field(
        "translation",
        title="Show",
        description="The translated image, or how far the way there and back leads from the image, in its grey values: large where"
        " the result does not hold what the image shows.",
    )


class PredictorFileParams(Params):
    """Settings of a network from a file that predicts frames."""

    ensemble: bool = ensemble_field()


_PREPARED = "napari_synth.methods.from_file.prepared"
_STYLE = Run(f"{_PREPARED}:prepare_style", f"{NeuralStyleParams.__module__}:{NeuralStyleParams.__name__}")
_FILLER = Run(f"{_PREPARED}:prepare_filler", f"{FillerParams.__module__}:{FillerParams.__name__}")
_NETWORK = Run(f"{_PREPARED}:prepare_network", f"{__name__}:{ModelFileParams.__name__}", colours="mapped")


@dataclass(frozen=True)
class FromFile:
    """What prepares a model file: a value that travels to other processes.

    Attributes
    ----------
    run : Run
    description : ModelDescription
    path : Path
    """

    run: Run
    description: ModelDescription
    path: Path

    def __call__(self, given: Any, params: Params, context: Any) -> Any:
        """Prepare it for what the method is given; see `napari_synth.models.architectures.Run`."""
        return resolve_name(self.run.prepare)(self.description, self.path, given, params, context)


def method_for(description: ModelDescription, path: Path) -> Method[Any]:
    """Return the method that runs a described model file.

    Parameters
    ----------
    description : ModelDescription
    path : Path
        Of the file or folder.

    Raises
    ------
    ModelFileError
        Nothing runs this architecture.
    """
    run, task = _run_of(description), Task(description.task)
    several = description.input_channels > 1
    info = GeneratorInfo(
        id=description.id,
        title=description.title,
        summary=description.summary,
        task=task,
        reference=description.reference,
        weights_licence=description.licence,
        spatial_dims=(2,) if task in {Task.SYNTHESIZE, Task.PREDICT_FRAMES} else description.spatial_dims,
        colour="joint" if several or run.colours == "joint" else "separate",
        channels="joint" if _sees_channels(run, task, several=several) else "mapped",
        invents=task in {Task.INPAINT, Task.TRANSLATE, Task.SYNTHESIZE, Task.PREDICT_FRAMES},
        reference_image="needed" if run is _STYLE else "none",
        needs_colour=several and task == Task.DENOISE and run.colours == "mapped" and run is not _NETWORK,
    )
    params: type[Any] = resolve_name(run.params)
    if run is _NETWORK and description.scale > 1:
        params = _with_factor(description)
    elif run is _NETWORK and task == Task.DENOISE:
        params = RestorerFileParams
    function, source = FromFile(run, description, path), ModelSource(path, description.sha256)
    if task == Task.SYNTHESIZE:
        return Synthesizer(info, params, function, source, needs=run.needs)
    return (FramePredictor if task == Task.PREDICT_FRAMES else Generator)(info, params, function, source)


def _run_of(description: ModelDescription) -> Run:
    """Return what runs a model file."""
    if description.kind == "vgg":
        return _STYLE
    if description.kind != "napari-synth":
        return _FILLER if description.task == Task.INPAINT else _NETWORK
    known = ARCHITECTURES.get(description.architecture)
    if known is None or description.task not in known.runs:
        raise ModelFileError(
            f"Models of the architecture {description.architecture!r} for {description.task} cannot be run from a file:"
            " update napari-synth."
        )
    return known.runs[description.task]


def _sees_channels(run: Run, task: Task, *, several: bool) -> bool:
    """Return whether the channels of an image are given to the network together."""
    return task == Task.SYNTHESIZE or run.channels == "joint" or (task == Task.PREDICT_FRAMES and several)


def _with_factor(description: ModelDescription) -> type[Params]:
    """Return the settings of a network that enlarges: its own scale is the default, any other is resampled to."""
    usual = FactorParams.model_fields["factor"]
    factor = Field(
        float(description.scale), gt=1.0, le=16.0, title=usual.title or "Factor", description=usual.description or ""
    )
    return cast(
        type[Params],
        pydantic.create_model("EnlargingFileParams", __base__=RestorerFileParams, factor=(float, factor)),
    )
