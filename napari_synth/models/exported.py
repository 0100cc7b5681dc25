"""What is exported of a model, by architecture: a network that takes counts and returns them, and what to say of it.

Each function takes a network, its card and the scale that was asked for (None where none was).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from napari_synth.core.errors import ModelFileError
from napari_synth.models._in_counts import BlindDenoiser, BlindEnlarger, FromNeighbours, InCounts
from napari_synth.models.card import ModelCard, reading_card
from napari_synth.networks.blind_spot_unet import BlindSpotMask

_MEASURES = (
    "The noise is measured inside, taken for independent between pixels and equally strong everywhere. Tiles would measure it each"
    " for themselves: give whole images where they fit."
)
_OWN_RANGE = (
    "The image is brought to its own range inside, percentiles 0.1 and 99.9 to 0 and 1, and the result is brought back to counts:"
    " the format could describe the first as a step before the network, and not the second as one behind it. Tiles would each be"
    " brought to a range of their own: give whole images where they fit."
)
_CARE = {"Weigert et al., Content-aware image restoration, Nature Methods 2018": "10.1038/s41592-018-0216-7"}
_NOISE2VOID = {"Krull et al., Noise2Void, CVPR 2019": "10.1109/CVPR.2019.00223"}
_PIX2PIX = {"Isola et al., pix2pix, CVPR 2017": "10.1109/CVPR.2017.632"}


@dataclass(frozen=True)
class Linear:
    """A straight line for every channel: ``gain * counts + offset``."""

    gain: tuple[float, ...]
    offset: tuple[float, ...]


@dataclass(frozen=True)
class Content:
    """What is exported of a model.

    Attributes
    ----------
    network : nn.Module
        Takes an image, returns one.
    title, does : str
        Its name, and what it does, as the beginning of a sentence.
    tags : tuple of str
    cite : mapping of str to str
        DOIs by paper.
    explanation : str
        What the user of the package should know of it besides.
    multiple : int
        What sizes along Y and X must be a multiple of, in pixels.
    scale : int
    dims : {2, 3}
    channels : (int, int)
        That it takes and returns.
    before, behind : Linear, optional
        What is done to the image before the network, and to its result.
    measured : str
        How the figures in the card were measured, as the end of a sentence.
    """

    network: nn.Module
    title: str
    does: str
    tags: tuple[str, ...]
    cite: Mapping[str, str]
    explanation: str
    multiple: int
    scale: int = 1
    dims: int = 2
    channels: tuple[int, int] = (1, 1)
    before: Linear | None = None
    behind: Linear | None = None
    measured: str = "on pixels that were held out"


def denoiser(network: Any, card: ModelCard, scale: int | None) -> Content:
    """Describe a denoiser that is told the noise level.

    Parameters
    ----------
    network : torch.nn.Module
    card : ModelCard
    scale : int or None
        Must be None: only super-resolution has scales.
    """
    _refuse_scale(card, scale)
    return Content(
        BlindDenoiser(network),
        title=card.title,
        does="Removes noise from grey images of any range",
        tags=("denoising", "restoration"),
        cite={"Zhang et al., FFDNet, IEEE TIP 2018": "10.1109/TIP.2018.2839891"},
        explanation=_MEASURES,
        multiple=network.multiple,
        measured="with the true noise level",
    )


def enlarger(network: Any, card: ModelCard, scale: int | None) -> Content:
    """Describe one scale of a super-resolution network.

    Parameters
    ----------
    network : torch.nn.Module
    card : ModelCard
    scale : int or None
        Which scale of the network; its smallest one where left out.
    """
    scale = min(network.scales) if scale is None else scale
    if scale not in network.scales:
        known = ", ".join(map(str, network.scales))
        raise ModelFileError(
            f"The model {card.name!r} cannot make images {scale} times finer in one step: choose a scale of {known}."
        )
    return Content(
        BlindEnlarger(network, scale),
        title=f"Super-resolution x{scale}",
        does=f"Makes grey images of any range {scale} times finer and removes their noise on the way",
        tags=("super-resolution",),
        cite={
            "Kim et al., VDSR, CVPR 2016": "10.1109/CVPR.2016.182",
            "Shi et al., ESPCN, CVPR 2016": "10.1109/CVPR.2016.207",
        },
        explanation=f"{_MEASURES} This package makes images {scale} times finer. Its result is not corrected to the measured"
        " pixels, as napari-synth does afterwards. In an image without noise, very fine structure is taken for a little noise.",
        multiple=network.multiple,
        measured="with the true noise level",
        scale=scale,
    )


def restorer(network: Any, card: ModelCard, scale: int | None) -> Content:
    """Describe a network that learnt from pairs.

    Parameters
    ----------
    network : torch.nn.Module
    card : ModelCard
    scale : int or None
        Must be None: only super-resolution has scales.
    """
    _refuse_scale(card, scale)
    return Content(
        InCounts(network),
        title=card.title,
        does="Makes bad images good, as it learnt from pairs of both",
        tags=("restoration", "denoising"),
        cite=_CARE,
        explanation=_OWN_RANGE,
        multiple=network.multiple,
        dims=network.dims,
        channels=(network.in_channels, network.out_channels),
    )


def blind_spot(network: Any, card: ModelCard, scale: int | None) -> Content:
    """Describe a blind-spot network.

    Parameters
    ----------
    network : torch.nn.Module
    card : ModelCard
    scale : int or None
        Must be None: only super-resolution has scales.
    """
    _refuse_scale(card, scale)
    with reading_card(card.name):
        mask = BlindSpotMask(tuple(card.extras["reach"]), card.extras["gap"])
    return Content(
        InCounts(FromNeighbours(network, mask)),
        title=card.title,
        does="Removes noise, as it learnt from noisy images alone",
        tags=("denoising", "noise2void"),
        cite=_NOISE2VOID,
        explanation=f"{_OWN_RANGE} Each pixel is predicted from its neighbours alone: napari-synth also weighs in its measured"
        " value, by the noise that it measures in the image, which the format has no place for.",
        multiple=network.multiple,
        dims=network.dims,
    )


def translator(
    does: str, cite: Mapping[str, str], part: Callable[[Any], nn.Module] = lambda network: network
) -> Callable[[Any, ModelCard, int | None], Content]:
    """Return what describes networks that turn images of one kind into another, whose card has the ranges of both.

    Parameters
    ----------
    does : str
        What they do, as the beginning of a sentence.
    cite : mapping of str to str
        DOIs by paper.
    part : callable
        Returns of the network of a model what translates, with ``dims``, ``in_channels``, ``out_channels`` and ``multiple``.
    """

    def described(network: Any, card: ModelCard, scale: int | None) -> Content:
        _refuse_scale(card, scale)
        chosen: Any = part(network)
        return Content(
            chosen,
            title=card.title,
            does=does,
            tags=("image-to-image", "translation"),
            cite=cite,
            explanation="Intensities are taken for those of the images that it was trained on: the steps before and behind the"
            " network say how." + (" Give whole images: tiles would differ." if chosen.needs_whole else ""),
            multiple=chosen.multiple,
            dims=chosen.dims,
            channels=(chosen.in_channels, chosen.out_channels),
            before=_there(card.normalisation["source"]),
            behind=_back(card.normalisation["target"]),
        )

    return described


def _there(transforms: Sequence[Mapping[str, float]]) -> Linear:
    return Linear(
        tuple(1 / one["scale"] for one in transforms), tuple(-one["offset"] / one["scale"] for one in transforms)
    )


def _back(transforms: Sequence[Mapping[str, float]]) -> Linear:
    return Linear(tuple(one["scale"] for one in transforms), tuple(one["offset"] for one in transforms))


def _refuse_scale(card: ModelCard, scale: int | None) -> None:
    if scale is not None:
        raise ModelFileError(f"The model {card.name!r} makes nothing finer: leave the scale out.")


paired_translator = translator("Turns images of one kind into another, as it learnt from pairs of both", _PIX2PIX)
