"""Runs translators that the user trained, from their model files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Prepared, ResultSpec
from napari_synth.core.errors import AxesError
from napari_synth.core.texts import three_digits
from napari_synth.imaging.image import Image, colour_samples
from napari_synth.imaging.intensity import IntensityTransform, Statistics, measure_statistics
from napari_synth.models import ModelCard
from napari_synth.models.card import reading_card

_BYTES_PER_PIXEL = 1200
# Times as bright, or as far off in ranges: such images were not among those that were learnt from.
_UNLIKE_GAIN, _UNLIKE_OFFSET = 2.0, 0.5


class TrainedTranslator(Prepared):
    """A network that turns the channels of normalised images into others.

    Parameters
    ----------
    network : nn.Module
        With ``dims``, ``in_channels``, ``out_channels``, ``multiple``, ``receptive_field`` and ``needs_whole``.
    intensity : tuple of IntensityTransform
        Of each channel that it sees.
    result : ResultSpec
    weights : mapping of str to str
        Hashes of the weight files.
    notes : tuple of str
    """

    def __init__(
        self,
        network: Any,
        intensity: tuple[IntensityTransform, ...],
        result: ResultSpec,
        weights: Mapping[str, str],
        notes: tuple[str, ...] = (),
    ) -> None:
        self._network = network
        self.intensity, self.result, self.weights, self.notes = intensity, result, weights, notes
        deep = network.dims - 2
        self.spec = BlockSpec(
            "YX" if network.dims == 2 else "ZYX",
            network.receptive_field[-network.dims :],
            (1,) * deep + (network.multiple,) * 2,
            (1,) * network.dims,
            whole=network.needs_whole,
            bytes_per_pixel=_BYTES_PER_PIXEL,
        )

    def apply(self, block: Tensor) -> Tensor:
        """Translate blocks (N, C, *spatial); see `Prepared.apply`."""
        made: Tensor = self._network(block)
        return made.float()


class CycleError(TrainedTranslator):
    """How far the way to the target and back leads from the image, in its own counts: large where a result hides what was there.

    Parameters
    ----------
    network : CycleTranslator
    intensity, weights, notes
        As of `TrainedTranslator`.
    axis : {"C", "S", ""}
        What the channels of the image are.
    """

    def __init__(
        self,
        network: Any,
        intensity: tuple[IntensityTransform, ...],
        axis: Literal["C", "S", ""],
        weights: Mapping[str, str],
        notes: tuple[str, ...] = (),
    ) -> None:
        differences = tuple(IntensityTransform(0.0, one.scale) for one in intensity)
        super().__init__(network, intensity, ResultSpec(axis, differences, "float32"), weights, notes)
        # Both ways look around.
        self.spec = replace(self.spec, halo=tuple(2 * pixels for pixels in self.spec.halo))

    def apply(self, block: Tensor) -> Tensor:
        """Return the error of blocks (N, C, *spatial); see `Prepared.apply`."""
        home: Tensor = self._network(self._network(block), back=True)
        return (home.float() - block).abs()


def translator_of(
    network: Any,
    weights: Mapping[str, str],
    card: ModelCard,
    image: Image,
    *,
    own_intensities: bool,
    error: bool = False,
) -> TrainedTranslator:
    """Return what translates an image by a network and its card.

    The card holds, for source and target, offset and scale of each channel (``normalisation``), and what the channels are and of
    which dtype (``extras``).

    Parameters
    ----------
    network : nn.Module
    weights : mapping of str to str
        Hashes of the weight files.
    card : ModelCard
    image : Image
    own_intensities : bool
        Whether the image's own range takes the place of that of the training images.
    error : bool
        Whether the error of the way there and back is wanted rather than the translated image.

    Raises
    ------
    AxesError
        The image does not have the channels that the network was trained on.
    ModelFileError
        The card lacks what is needed.
    """
    with reading_card(card.name):
        learnt, back = (
            tuple(IntensityTransform(**one) for one in card.normalisation[what]) for what in ("source", "target")
        )
        of_source, of_target = card.extras["source"], card.extras["target"]
        result = ResultSpec(of_target["axis"], back, of_target["dtype"])
        wanted = of_source["axis"]
    _check_channels(card.title, wanted, len(learnt), image)
    own, statistics = _measured(image)
    used = own if own_intensities else learnt
    notes = (*(() if own_intensities else _unlike(own, learnt, statistics)), *card.limits)
    if error:
        return CycleError(network, used, wanted, weights, notes)
    return TrainedTranslator(network, used, result, weights, notes)


def _check_channels(title: str, axis: str, count: int, image: Image) -> None:
    """Refuse an image whose channels are not those that a model was trained on."""
    channels, samples = image.sizes.get("C", 1), colour_samples(image.sizes.get("S", 1))
    if channels * samples == count and (samples > 1) == (axis == "S"):
        return
    needed = {
        "S": f"{title} needs colours ({count} samples a pixel)",
        "": f"{title} needs an image of one channel",
    }.get(axis, f"{title} needs {count} channel{'s' * (count != 1)}, in the order of its training images")
    has = f"{samples} colours" if samples > 1 else f"{channels} channel{'s' * (channels != 1)}"
    raise AxesError(f"{needed}, the image ({image.axes}) has {has}: give such an image, or set the axes.")


def _measured(image: Image) -> tuple[tuple[IntensityTransform, ...], tuple[Statistics, ...]]:
    """Return the own range of each channel of a block, and what it was measured from; colours have one in common."""
    samples = image.sizes.get("S", 1)
    parts = [image.select(C=i) for i in range(image.sizes["C"])] if "C" in image.axes else [image]
    found = [measure_statistics(part) for part in parts]
    each = tuple(one for one in found for _ in range(samples))
    return tuple(IntensityTransform.from_statistics(one) for one in each), each


def _unlike(
    own: tuple[IntensityTransform, ...], learnt: tuple[IntensityTransform, ...], statistics: tuple[Statistics, ...]
) -> tuple[str, ...]:
    """Say where an image is much brighter or darker than those that were learnt from."""
    for number, (here, there, measured) in enumerate(zip(own, learnt, statistics, strict=True), start=1):
        gain = here.scale / there.scale
        if 1 / _UNLIKE_GAIN <= gain <= _UNLIKE_GAIN and abs(here.offset - there.offset) <= _UNLIKE_OFFSET * there.scale:
            continue
        which = f"Channel {number}" if len(own) > 1 else "The image"
        return (
            f"{which} has intensities from {three_digits(measured.low)} to {three_digits(measured.high)}, the training images had"
            f" {three_digits(there.offset)} to {three_digits(there.offset + there.scale)}: the result may be"
            " wrong; where the two were not measured alike, set the intensities to those of the image.",
        )
    return ()
