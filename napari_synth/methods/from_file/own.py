"""Prepares model files of our own architectures: each function is what `napari_synth.models.architectures` names for one.

They are called with the model's description, its path, what the method is given, the settings and the context.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar

from napari_synth.contract.frames import FrameEnsemble, PreparedFrames
from napari_synth.contract.generator import Context, Prepared
from napari_synth.contract.synthesis import Sampler, SynthesisContext, SynthesisParams
from napari_synth.core.device import Device
from napari_synth.engine.rotations import RotationEnsemble
from napari_synth.imaging.image import Image
from napari_synth.methods.denoise.catalogue import BlindParams
from napari_synth.methods.denoise.conditioned import prepare_conditioned
from napari_synth.methods.denoise.trained import OverTime, TrainedRestorer, blind_spot_restorer_of
from napari_synth.methods.from_file.catalogue import (
    BlindSpotFileParams,
    CycleFileParams,
    ModelFileParams,
    PredictorFileParams,
    TranslatorFileParams,
)
from napari_synth.methods.inpaint.catalogue import FillerParams
from napari_synth.methods.inpaint.filling import prepare_learned
from napari_synth.methods.predict_frames.trained import LearntFrames, check_channels
from napari_synth.methods.super_resolution.catalogue import NetworkParams
from napari_synth.methods.super_resolution.enlarged import Enlarged
from napari_synth.methods.synthesize.labelled import LabelledSampler
from napari_synth.methods.synthesize.samplers import (
    AutoencoderSampler,
    FlowSampler,
    NetworkSampler,
    RefinedSampler,
    VectorSampler,
)
from napari_synth.methods.translate.trained import translator_of
from napari_synth.models import load_model
from napari_synth.models.card import ModelCard, ModelDescription
from napari_synth.models.files import read_card
from napari_synth.models.reading import check_unchanged

P = TypeVar("P")
S = TypeVar("S", bound=NetworkSampler)


@dataclass(frozen=True)
class OwnNetwork:
    """A network of our own that was read from a file, on the device of the run.

    Attributes
    ----------
    network : torch.nn.Module
        Of the architecture that the file names.
    weights : mapping of str to str
        The hash of the file by the model's name, for the recipe.
    description : ModelDescription
    card : ModelCard
    """

    network: Any
    weights: Mapping[str, str]
    description: ModelDescription
    card: ModelCard

    @classmethod
    def of(cls, description: ModelDescription, path: Path, device: Device) -> OwnNetwork:
        """Read a file that was described before, or take what the last runs read of it.

        Parameters
        ----------
        description : ModelDescription
        path : Path
        device : Device

        Raises
        ------
        ModelFileError
            The file is not the one that was described.
        """
        check_unchanged(description, path)
        network = _network(path, description.sha256, device.torch_name)
        return cls(network, {description.name: description.sha256}, description, read_card(path))


@lru_cache(maxsize=2)
def _network(path: Path, sha256: str, torch_name: str) -> Any:
    return load_model(path)[0].to(torch_name)


def _from_file(prepare: Callable[[OwnNetwork, Image, Any, Context], P]) -> Callable[..., P]:
    """Return what reads the file and then prepares with its network."""

    @wraps(prepare)
    def prepared(description: ModelDescription, path: Path, image: Image, params: Any, context: Context) -> P:
        return prepare(OwnNetwork.of(description, path, context.device), image, params, context)

    return prepared


@_from_file
def denoiser(own: OwnNetwork, image: Image, params: BlindParams, context: Context) -> Prepared:
    """Measure the noise for a denoising network that is told its level; see `Generator.prepare`."""
    return prepare_conditioned(own.network, own.weights, image, params, context)


@_from_file
def restorer(own: OwnNetwork, image: Image, params: ModelFileParams, context: Context) -> Prepared:
    """Take a network that learnt to turn bad images into good ones; see `Generator.prepare`."""
    return _averaged(TrainedRestorer(own.network, own.weights), params)


@_from_file
def over_time_restorer(own: OwnNetwork, image: Image, params: ModelFileParams, context: Context) -> Prepared:
    """Take a network that learnt to predict frames from those around them; see `Generator.prepare`."""
    return _averaged(OverTime(own.network, own.weights), params)


@_from_file
def blind_spot_restorer(own: OwnNetwork, image: Image, params: BlindSpotFileParams, context: Context) -> Prepared:
    """Measure the noise for a blind-spot network; see `Generator.prepare`."""
    prepared = blind_spot_restorer_of(
        own.network, own.weights, own.card.extras, image, context, weigh_measurement=params.weigh_measurement
    )
    return _averaged(prepared, params)


@_from_file
def enlarger(own: OwnNetwork, image: Image, params: NetworkParams, context: Context) -> Prepared:
    """Measure the noise for a super-resolution network; see `Generator.prepare`."""
    return _averaged(Enlarged.of(image, own.network, own.weights, params, context), params)


@_from_file
def filler(own: OwnNetwork, image: Image, params: FillerParams, context: Context) -> Prepared:
    """Look which holes there are for an inpainting network; see `Generator.prepare`."""
    return prepare_learned(own.network, own.weights, image, params, context)


@_from_file
def translator(own: OwnNetwork, image: Image, params: TranslatorFileParams, context: Context) -> Prepared:
    """Take a network that turns images of one kind into another, all channels together; see `Generator.prepare`."""
    own_intensities = params.intensities == "image"
    return _averaged(translator_of(own.network, own.weights, own.card, image, own_intensities=own_intensities), params)


@_from_file
def cycle_translator(own: OwnNetwork, image: Image, params: CycleFileParams, context: Context) -> Prepared:
    """Take a network that learnt from unpaired images, there and back; see `Generator.prepare`."""
    prepared = translator_of(
        own.network,
        own.weights,
        own.card,
        image,
        own_intensities=params.intensities == "image",
        error=params.show == "cycle error",
    )
    return _averaged(prepared, params)


@_from_file
def predictor(own: OwnNetwork, movie: Image, params: PredictorFileParams, context: Context) -> PreparedFrames:
    """Take a network that learnt to predict frames; see `FramePredictor.prepare`.

    Raises
    ------
    AxesError
        The movie has other channels than those that it learnt from.
    """
    joint = "CS" if own.description.input_channels > 1 else ""
    check_channels(own.network, movie, "".join(axis for axis in joint if axis in movie.axes), own.description.title)
    prepared = LearntFrames(own.network, own.weights, own.card.extras)
    return FrameEnsemble(prepared, "mean") if params.ensemble else prepared


def _sampler(sampler: Callable[..., S]) -> Callable[..., Sampler]:
    """Return what loads a network that learnt to make images, behind a sampler."""

    def prepared(
        description: ModelDescription,
        path: Path,
        source: Image | None,
        params: SynthesisParams,
        context: SynthesisContext,
    ) -> Sampler:
        own = OwnNetwork.of(description, path, context.device)
        return sampler(own.network, own.card, own.weights, params, source)

    return prepared


vector_sampler = _sampler(VectorSampler)
labelled_sampler = _sampler(LabelledSampler)
refined_sampler = _sampler(RefinedSampler)
autoencoder_sampler = _sampler(AutoencoderSampler)
flow_sampler = _sampler(FlowSampler)


def _averaged(prepared: Prepared, params: Any) -> Prepared:
    """Return what averages over rotations where that is asked for."""
    return RotationEnsemble(prepared, "mean") if params.ensemble else prepared
