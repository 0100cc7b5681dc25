"""Declares a generator, or another method, for a described model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import pydantic
from pydantic import Field

from napari_synth.core.errors import ModelFileError
from napari_synth.core.generator import Context, Generator, GeneratorInfo, Method, OutlierParams, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.denoise.blind import BlindParams
from napari_synth.generators.inpaint._options import FillerParams
from napari_synth.generators.model_files.predictors import ARCHITECTURES as PREDICTORS
from napari_synth.generators.model_files.predictors import predictor_for
from napari_synth.generators.model_files.synthesizers import FAMILIES, synthesizer_for
from napari_synth.generators.super_resolution._options import FactorParams, NetworkParams
from napari_synth.generators.translate._options import NeuralStyleParams
from napari_synth.models.description import ModelDescription


class ModelFileParams(Params):
    """Settings of any network from a file."""

    ensemble: bool = Field(
        False,
        title="Average over rotations",
        description="Run on all eight flips and rotations and average: a little better, eight times slower.",
        json_schema_extra={"advanced": True},
    )


class RestorerFileParams(ModelFileParams, OutlierParams):
    """Settings of a network from a file that restores what was measured."""


class BlindSpotFileParams(RestorerFileParams):
    """Settings of a blind-spot network from a file."""

    weigh_measurement: bool = Field(
        True,
        title="Weigh in the pixel itself",
        description="Combine the prediction with the measured value, by the measured noise. Off: from the neighbours alone.",
        json_schema_extra={"advanced": True},
    )


class TranslatorFileParams(ModelFileParams):
    """Settings of a translator from a file."""

    intensities: Literal["training", "image"] = Field(
        "training",
        title="Intensities",
        description="What counts mean: the same as in the images that it was trained on, which keeps results quantitative, or a"
        " share of this image's own range, where it was not measured like those.",
        json_schema_extra={"advanced": True},
    )


class CycleFileParams(TranslatorFileParams):
    """Settings of a translator that knows the way back."""

    show: Literal["translation", "cycle error"] = Field(
        "translation",
        title="Show",
        description="The translated image, or how far the way there and back leads from the image, in its counts: large where the"
        " result does not hold what the image shows.",
    )


class _FromFile:
    """What a generator from a file has besides: where it is, and what is known of it."""

    description: ClassVar[ModelDescription]
    path: ClassVar[Path]


class NetworkFile(_FromFile, Generator[ModelFileParams]):
    """A network of others that turns images into images."""

    def prepare(self, image: Image, params: ModelFileParams, context: Context) -> Prepared:
        """Load the network; see `Generator.prepare`."""
        from napari_synth.core.rotations import RotationEnsemble
        from napari_synth.generators.model_files._prepared import PreparedFile

        factor = getattr(params, "factor", None)
        prepared = PreparedFile.of(self.description, self.path, image, context, factor)
        return RotationEnsemble(prepared, "mean") if params.ensemble else prepared


class DenoiserFile(_FromFile, Generator[BlindParams]):
    """A denoising network of our own, with weights from a file."""

    def prepare(self, image: Image, params: BlindParams, context: Context) -> Prepared:
        """Measure the noise and load the network; see `Generator.prepare`."""
        from napari_synth.generators.denoise._measured import prepare_measured
        from napari_synth.generators.model_files._prepared import own_network

        network, weights = own_network(self.description, self.path, context.device)
        return prepare_measured(network, weights, image, params, context)


class RestorerFile(_FromFile, Generator[ModelFileParams]):
    """A network that the user trained to turn bad images into good ones."""

    def prepare(self, image: Image, params: ModelFileParams, context: Context) -> Prepared:
        """Load the network; see `Generator.prepare`."""
        from napari_synth.core.rotations import RotationEnsemble
        from napari_synth.generators.denoise._trained import TrainedRestorer
        from napari_synth.generators.model_files._prepared import own_network

        network, weights = own_network(self.description, self.path, context.device)
        prepared = TrainedRestorer(network, weights)
        return RotationEnsemble(prepared, "mean") if params.ensemble else prepared


class OverTimeFile(_FromFile, Generator[ModelFileParams]):
    """A network that the user trained to predict frames from those around them."""

    def prepare(self, image: Image, params: ModelFileParams, context: Context) -> Prepared:
        """Load the network; see `Generator.prepare`."""
        from napari_synth.core.rotations import RotationEnsemble
        from napari_synth.generators.denoise._over_time import OverTime
        from napari_synth.generators.model_files._prepared import own_network

        network, weights = own_network(self.description, self.path, context.device)
        prepared = OverTime(network, weights)
        return RotationEnsemble(prepared, "mean") if params.ensemble else prepared


class BlindSpotFile(_FromFile, Generator[BlindSpotFileParams]):
    """A blind-spot network that the user trained."""

    def prepare(self, image: Image, params: BlindSpotFileParams, context: Context) -> Prepared:
        """Measure the noise and load the network; see `Generator.prepare`."""
        from napari_synth.core.rotations import RotationEnsemble
        from napari_synth.generators.denoise._trained import blind_spot_restorer_of
        from napari_synth.generators.model_files._prepared import own_network
        from napari_synth.models.files import read_card

        network, weights = own_network(self.description, self.path, context.device)
        extras = read_card(self.path).extras
        prepared = blind_spot_restorer_of(
            network, weights, extras, image, context, weigh_measurement=params.weigh_measurement
        )
        return RotationEnsemble(prepared, "mean") if params.ensemble else prepared


class EnlargerFile(_FromFile, Generator[NetworkParams]):
    """A super-resolution network of our own, with weights from a file."""

    def prepare(self, image: Image, params: NetworkParams, context: Context) -> Prepared:
        """Measure the noise and load the network; see `Generator.prepare`."""
        from napari_synth.core.rotations import RotationEnsemble
        from napari_synth.generators.model_files._prepared import own_network
        from napari_synth.generators.super_resolution._enlarged import Enlarged

        network, weights = own_network(self.description, self.path, context.device)
        prepared = Enlarged.of(image, network, weights, params, context)
        return RotationEnsemble(prepared, "mean") if params.ensemble else prepared


class FillerFile(_FromFile, Generator[FillerParams]):
    """A network of others that fills holes."""

    def prepare(self, image: Image, params: FillerParams, context: Context) -> Prepared:
        """Load the network; see `Generator.prepare`."""
        from napari_synth.generators.model_files._fillers import prepare_filler

        return prepare_filler(self.description, self.path, image, params, context)


class OwnFillerFile(_FromFile, Generator[FillerParams]):
    """An inpainting network of our own, with weights from a file."""

    def prepare(self, image: Image, params: FillerParams, context: Context) -> Prepared:
        """Load the network; see `Generator.prepare`."""
        from napari_synth.generators.inpaint._learned import prepare_learned
        from napari_synth.generators.model_files._prepared import own_network

        network, weights = own_network(self.description, self.path, context.device)
        return prepare_learned(network, weights, image, params, context)


class StyleFile(_FromFile, Generator[NeuralStyleParams]):
    """A network of others whose features tell style from content."""

    def prepare(self, image: Image, params: NeuralStyleParams, context: Context) -> Prepared:
        """Load the network; see `Generator.prepare`."""
        from napari_synth.generators.model_files._prepared import vgg_network
        from napari_synth.generators.translate._neural_style import prepare_neural_style

        network, weights = vgg_network(self.description, self.path, context.device)
        return prepare_neural_style(network, weights, image, params, context)


class TranslatorFile(_FromFile, Generator[TranslatorFileParams]):
    """A network that the user trained to turn images of one kind into another; it sees all channels together."""

    def prepare(self, image: Image, params: TranslatorFileParams, context: Context) -> Prepared:
        """Load the network; see `Generator.prepare`."""
        from napari_synth.core.rotations import RotationEnsemble
        from napari_synth.generators.model_files._prepared import own_network
        from napari_synth.generators.translate._trained import translator_of
        from napari_synth.models.files import read_card

        network, weights = own_network(self.description, self.path, context.device)
        own = params.intensities == "image"
        prepared = translator_of(network, weights, read_card(self.path), image, own_intensities=own)
        return RotationEnsemble(prepared, "mean") if params.ensemble else prepared


class CycleFile(_FromFile, Generator[CycleFileParams]):
    """A network that the user trained on unpaired images, there and back."""

    def prepare(self, image: Image, params: CycleFileParams, context: Context) -> Prepared:
        """Load the network; see `Generator.prepare`."""
        from napari_synth.core.rotations import RotationEnsemble
        from napari_synth.generators.model_files._prepared import own_network
        from napari_synth.generators.translate._trained import translator_of
        from napari_synth.models.files import read_card

        network, weights = own_network(self.description, self.path, context.device)
        prepared = translator_of(
            network,
            weights,
            read_card(self.path),
            image,
            own_intensities=params.intensities == "image",
            error=params.show == "cycle error",
        )
        return RotationEnsemble(prepared, "mean") if params.ensemble else prepared


OWN: dict[tuple[str, str], tuple[type[Generator[Any]], type[Params]]] = {
    (Task.DENOISE, "blind-spot-unet"): (BlindSpotFile, BlindSpotFileParams),
    (Task.DENOISE, "residual-unet"): (RestorerFile, RestorerFileParams),
    (Task.DENOISE, "noise-conditioned-unet"): (DenoiserFile, BlindParams),
    (Task.DENOISE, "simvp"): (OverTimeFile, RestorerFileParams),
    (Task.SUPER_RESOLUTION, "super-resolution-unet"): (EnlargerFile, NetworkParams),
    (Task.TRANSLATE, "cycle-translator"): (CycleFile, CycleFileParams),
    (Task.TRANSLATE, "residual-translator"): (TranslatorFile, TranslatorFileParams),
    (Task.TRANSLATE, "translation-unet"): (TranslatorFile, TranslatorFileParams),
    (Task.INPAINT, "gated-inpainter"): (OwnFillerFile, FillerParams),
}
"""What runs our own model files, and its settings, by the task and the architecture in the card."""
_MAPPED_OVER_COLOURS = {"blind-spot-unet", "residual-unet", "simvp"}


def generator_for(description: ModelDescription, path: Path) -> Method[Any]:
    """Return the generator of a described model file, or the synthesizer where it makes images.

    Raises
    ------
    ModelFileError
        Nothing runs this architecture.
    """
    is_own = description.kind == "napari-synth"
    if is_own and description.task == Task.SYNTHESIZE and description.architecture in FAMILIES:
        return synthesizer_for(description, path)
    if is_own and description.task == Task.PREDICT_FRAMES and description.architecture in PREDICTORS:
        return predictor_for(description, path)
    base: type[Generator[Any]]
    settings: type[Params]
    if description.kind == "vgg":
        base, settings, joint = StyleFile, NeuralStyleParams, True
    elif not is_own and description.task == Task.INPAINT:
        base, settings, joint = FillerFile, FillerParams, True
    elif not is_own:
        base = NetworkFile
        settings = RestorerFileParams if description.task == Task.DENOISE else ModelFileParams
        settings = _with_factor(description) if description.scale > 1 else settings
        joint = description.input_channels > 1
    elif (own := (description.task, description.architecture)) in OWN:
        base, settings = OWN[own]
        joint = description.input_channels > 1 or description.architecture not in _MAPPED_OVER_COLOURS
    else:
        raise ModelFileError(
            f"Models of the architecture {description.architecture!r} for {description.task} cannot be run from a file:"
            " update napari-synth."
        )
    info = GeneratorInfo(
        id=description.id,
        title=description.title,
        summary=description.summary,
        task=Task(description.task),
        reference=description.reference,
        weights_licence=description.licence,
        spatial_dims=description.spatial_dims,
        colour="joint" if joint else "separate",
        channels="joint" if issubclass(base, TranslatorFile | CycleFile) else "mapped",
        invents=description.task in {Task.INPAINT, Task.TRANSLATE},
        reference_image="needed" if issubclass(base, StyleFile) else "none",
        needs_colour=description.architecture in _MAPPED_OVER_COLOURS and description.input_channels > 1,
    )
    fields = {"info": info, "params_type": settings, "description": description, "path": path, "__doc__": info.summary}
    return cast(Generator[Params], type(base.__name__, (base,), fields)())


def _with_factor(description: ModelDescription) -> type[Params]:
    """Return the settings of a network that enlarges: its own scale is the default, the runner resamples to any other."""
    usual = FactorParams.model_fields["factor"]
    factor = Field(
        float(description.scale), gt=1.0, le=16.0, title=usual.title or "Factor", description=usual.description or ""
    )
    return cast(
        type[Params],
        pydantic.create_model("EnlargingFileParams", __base__=RestorerFileParams, factor=(float, factor)),
    )
