"""Prepares model files of our own architectures: each function is what `napari_synth.models.architectures` names for one.

They take the model's description, its path, what the method is given, the settings and the context.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
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
from napari_synth.models.card import ModelDescription
from napari_synth.models.files import read_card
from napari_synth.models.reading import check_unchanged

S = TypeVar("S", bound=NetworkSampler)


def own_network(description: ModelDescription, path: Path, device: Device) -> tuple[Any, Mapping[str, str]]:
    """Return a network of our own from a file on a device, and the hash of its weights by name.

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
    return _network(path, description.sha256, device.torch_name), {description.name: description.sha256}


@lru_cache(maxsize=2)
def _network(path: Path, sha256: str, torch_name: str) -> Any:
    return load_model(path)[0].to(torch_name)


def denoiser(
    description: ModelDescription, path: Path, image: Image, params: BlindParams, context: Context
) -> Prepared:
    """Measure the noise and load a denoising network that is told its level.

    Parameters
    ----------
    description : ModelDescription
        Of the file.
    path : Path
    image, params, context
        As for `Generator.prepare`.
    """
    network, weights = own_network(description, path, context.device)
    return prepare_conditioned(network, weights, image, params, context)


def restorer(
    description: ModelDescription, path: Path, image: Image, params: ModelFileParams, context: Context
) -> Prepared:
    """Load a network that learnt to turn bad images into good ones.

    Parameters
    ----------
    description : ModelDescription
        Of the file.
    path : Path
    image, params, context
        As for `Generator.prepare`.
    """
    return _averaged(TrainedRestorer(*own_network(description, path, context.device)), params)


def over_time_restorer(
    description: ModelDescription, path: Path, image: Image, params: ModelFileParams, context: Context
) -> Prepared:
    """Load a network that learnt to predict frames from those around them.

    Parameters
    ----------
    description : ModelDescription
        Of the file.
    path : Path
    image, params, context
        As for `Generator.prepare`.
    """
    return _averaged(OverTime(*own_network(description, path, context.device)), params)


def blind_spot_restorer(
    description: ModelDescription, path: Path, image: Image, params: BlindSpotFileParams, context: Context
) -> Prepared:
    """Measure the noise and load a blind-spot network.

    Parameters
    ----------
    description : ModelDescription
        Of the file.
    path : Path
    image, params, context
        As for `Generator.prepare`.
    """
    network, weights = own_network(description, path, context.device)
    extras = read_card(path).extras
    prepared = blind_spot_restorer_of(
        network, weights, extras, image, context, weigh_measurement=params.weigh_measurement
    )
    return _averaged(prepared, params)


def enlarger(
    description: ModelDescription, path: Path, image: Image, params: NetworkParams, context: Context
) -> Prepared:
    """Measure the noise and load a super-resolution network.

    Parameters
    ----------
    description : ModelDescription
        Of the file.
    path : Path
    image, params, context
        As for `Generator.prepare`.
    """
    network, weights = own_network(description, path, context.device)
    return _averaged(Enlarged.of(image, network, weights, params, context), params)


def filler(description: ModelDescription, path: Path, image: Image, params: FillerParams, context: Context) -> Prepared:
    """Load an inpainting network, and look which holes there are.

    Parameters
    ----------
    description : ModelDescription
        Of the file.
    path : Path
    image, params, context
        As for `Generator.prepare`.
    """
    network, weights = own_network(description, path, context.device)
    return prepare_learned(network, weights, image, params, context)


def translator(
    description: ModelDescription, path: Path, image: Image, params: TranslatorFileParams, context: Context
) -> Prepared:
    """Load a network that learnt to turn images of one kind into another; it sees all channels together.

    Parameters
    ----------
    description : ModelDescription
        Of the file.
    path : Path
    image, params, context
        As for `Generator.prepare`.
    """
    network, weights = own_network(description, path, context.device)
    own = params.intensities == "image"
    return _averaged(translator_of(network, weights, read_card(path), image, own_intensities=own), params)


def cycle_translator(
    description: ModelDescription, path: Path, image: Image, params: CycleFileParams, context: Context
) -> Prepared:
    """Load a network that learnt from unpaired images, there and back.

    Parameters
    ----------
    description : ModelDescription
        Of the file.
    path : Path
    image, params, context
        As for `Generator.prepare`.
    """
    network, weights = own_network(description, path, context.device)
    prepared = translator_of(
        network,
        weights,
        read_card(path),
        image,
        own_intensities=params.intensities == "image",
        error=params.show == "cycle error",
    )
    return _averaged(prepared, params)


def predictor(
    description: ModelDescription, path: Path, movie: Image, params: PredictorFileParams, context: Context
) -> PreparedFrames:
    """Load a network that learnt to predict frames.

    Parameters
    ----------
    description : ModelDescription
        Of the file.
    path : Path
    movie, params, context
        As for `FramePredictor.prepare`.

    Raises
    ------
    AxesError
        The movie has other channels than those that it learnt from.
    """
    network, weights = own_network(description, path, context.device)
    joint = "CS" if description.input_channels > 1 else ""
    check_channels(network, movie, "".join(axis for axis in joint if axis in movie.axes), description.title)
    prepared = LearntFrames(network, weights, read_card(path).extras)
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
        network, weights = own_network(description, path, context.device)
        return sampler(network, read_card(path), weights, params, source)

    return prepared


vector_sampler = _sampler(VectorSampler)
labelled_sampler = _sampler(LabelledSampler)
refined_sampler = _sampler(RefinedSampler)
autoencoder_sampler = _sampler(AutoencoderSampler)
flow_sampler = _sampler(FlowSampler)


def _averaged(prepared: Prepared, params: Any) -> Prepared:
    """Return what averages over rotations where that is asked for."""
    return RotationEnsemble(prepared, "mean") if params.ensemble else prepared
