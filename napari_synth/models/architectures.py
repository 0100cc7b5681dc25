"""The architectures that a model file can name: which network each is, what runs it, and how it is exported. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

Roles = Literal["joint", "mapped"]


@dataclass(frozen=True)
class Run:
    """What runs models of an architecture for a task.

    Attributes
    ----------
    prepare : str
        ``"module:function"``. It takes the model's description, its path, what the method is given (an image, a movie, labels or
        nothing), the settings and the context, and returns what the method prepares.
    params : str
        ``"module:class"`` of its settings.
    colours, channels : {"joint", "mapped"}
        Whether the samples of an RGB pixel, and the channels of an image, are given to a network of one channel together. A network
        of several channels always sees the samples together.
    needs : {"nothing", "image", "labels", "optional labels"}
        What a synthesizer is given besides random numbers.
    """

    prepare: str
    params: str
    colours: Roles = "joint"
    channels: Roles = "mapped"
    needs: Literal["nothing", "image", "labels", "optional labels"] = "nothing"


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    Attributes
    ----------
    network : str
        ``"module:class"``; the module is imported only when a network is built.
    runs : mapping of str to Run
        What runs it, by task.
    export : str
        ``"module:function"`` that describes what a bioimage.io package of it holds; "" where it cannot be exported.
    """

    network: str
    runs: Mapping[str, Run] = field(default_factory=dict)
    export: str = ""


_NETWORKS, _OWN = "napari_synth.networks", "napari_synth.methods.from_file.own"
_FILE, _EXPORTED = "napari_synth.methods.from_file.catalogue", "napari_synth.models.exported"
_METHODS = "napari_synth.methods"

_BLIND = f"{_METHODS}.denoise.catalogue:BlindParams"
_TRANSLATOR = Run(f"{_OWN}:translator", f"{_FILE}:TranslatorFileParams", channels="joint")
_PREDICTOR = Run(f"{_OWN}:predictor", f"{_FILE}:PredictorFileParams", colours="mapped")
_SYNTHESIS = "napari_synth.contract.synthesis:SynthesisParams"

ARCHITECTURES: Mapping[str, Architecture] = {
    "blind-spot-unet": Architecture(
        f"{_NETWORKS}.blind_spot_unet:BlindSpotUNet",
        {"denoise": Run(f"{_OWN}:blind_spot_restorer", f"{_FILE}:BlindSpotFileParams", colours="mapped")},
        f"{_EXPORTED}:blind_spot",
    ),
    "conv-lstm": Architecture(f"{_NETWORKS}.frame_predictors:ConvLSTM", {"predict-frames": _PREDICTOR}),
    "cycle-translator": Architecture(
        f"{_NETWORKS}.residual_translator:CycleTranslator",
        {"translate": Run(f"{_OWN}:cycle_translator", f"{_FILE}:CycleFileParams", channels="joint")},
    ),
    "dcgan-generator": Architecture(
        f"{_NETWORKS}.image_gans:DcganGenerator", {"synthesize": Run(f"{_OWN}:vector_sampler", _SYNTHESIS)}
    ),
    "fastgan-generator": Architecture(
        f"{_NETWORKS}.image_gans:FastganGenerator", {"synthesize": Run(f"{_OWN}:vector_sampler", _SYNTHESIS)}
    ),
    "gated-inpainter": Architecture(
        f"{_NETWORKS}.gated_inpainter:GatedInpainter",
        {"inpaint": Run(f"{_OWN}:filler", f"{_METHODS}.inpaint.catalogue:FillerParams")},
    ),
    "label-flow": Architecture(
        f"{_NETWORKS}.velocity_unet:VelocityUNet",
        {
            "synthesize": Run(
                f"{_OWN}:labelled_sampler", f"{_METHODS}.synthesize.catalogue:FlowParams", needs="optional labels"
            )
        },
    ),
    "noise-conditioned-unet": Architecture(
        f"{_NETWORKS}.noise_conditioned_unet:NoiseConditionedUNet",
        {"denoise": Run(f"{_OWN}:denoiser", _BLIND)},
        f"{_EXPORTED}:denoiser",
    ),
    "refined-autoencoder": Architecture(
        f"{_NETWORKS}.refined_autoencoder:RefinedAutoencoder",
        {"synthesize": Run(f"{_OWN}:refined_sampler", f"{_METHODS}.synthesize.catalogue:RefinedParams")},
    ),
    "residual-translator": Architecture(
        f"{_NETWORKS}.residual_translator:ResidualTranslator", {"translate": _TRANSLATOR}
    ),
    "residual-unet": Architecture(
        f"{_NETWORKS}.residual_unet:ResidualUNet",
        {"denoise": Run(f"{_OWN}:restorer", f"{_FILE}:RestorerFileParams", colours="mapped")},
        f"{_EXPORTED}:restorer",
    ),
    "simvp": Architecture(
        f"{_NETWORKS}.frame_predictors:SimVP",
        {
            "denoise": Run(f"{_OWN}:over_time_restorer", f"{_FILE}:RestorerFileParams", colours="mapped"),
            "predict-frames": _PREDICTOR,
        },
    ),
    "super-resolution-unet": Architecture(
        f"{_NETWORKS}.enlargers:SuperResolutionUNet",
        {"super-resolution": Run(f"{_OWN}:enlarger", f"{_METHODS}.super_resolution.catalogue:NetworkParams")},
        f"{_EXPORTED}:enlarger",
    ),
    "translation-unet": Architecture(
        f"{_NETWORKS}.translation_unet:TranslationUNet", {"translate": _TRANSLATOR}, f"{_EXPORTED}:paired_translator"
    ),
    "variational-autoencoder": Architecture(
        f"{_NETWORKS}.variational_autoencoder:VariationalAutoencoder",
        {"synthesize": Run(f"{_OWN}:autoencoder_sampler", _SYNTHESIS)},
    ),
    "velocity-unet": Architecture(
        f"{_NETWORKS}.velocity_unet:VelocityUNet",
        {"synthesize": Run(f"{_OWN}:flow_sampler", f"{_METHODS}.synthesize.catalogue:FlowParams")},
    ),
}
"""By their names in the cards of models."""


def build_network(architecture: str, config: dict[str, Any]) -> nn.Module:
    """Return a fresh network.

    Parameters
    ----------
    architecture : str
        A key of `ARCHITECTURES`.
    config : dict
        Keyword arguments of the class.

    Raises
    ------
    KeyError
        No architecture has this name.
    TypeError, ValueError
        The class does not take this configuration.
    """
    network: nn.Module = resolve_name(ARCHITECTURES[architecture].network)(**config)
    return network
