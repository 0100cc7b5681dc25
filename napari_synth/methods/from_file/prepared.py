"""Prepares networks of others: channels, ranges and precision are brought to what the network expects, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.device import Device
from napari_synth.engine.rotations import RotationEnsemble
from napari_synth.imaging.image import Image
from napari_synth.methods.inpaint.catalogue import FillerParams
from napari_synth.methods.inpaint.filling import NetworkFill, filling_network, prepare_filling
from napari_synth.methods.super_resolution.enlarged import finer
from napari_synth.methods.translate.catalogue import NeuralStyleParams
from napari_synth.methods.translate.style import prepare_neural_style
from napari_synth.models.card import ModelDescription
from napari_synth.models.file_network import FileNetwork
from napari_synth.models.processing import Processing
from napari_synth.models.reading import check_unchanged, open_network
from napari_synth.models.vgg import read_vgg
from napari_synth.networks.vgg_features import VggFeatures


class PreparedFile(Prepared):
    """A network of others, ready to restore blocks of one image.

    The network sees 0 to 1, as it was trained to. What the image has beyond (its few darkest and brightest pixels) is
    carried past it, so that nothing is clipped. An image of one channel is given to all channels of a network for
    colours, and their mean is taken. The network computes in float32, because half precision has fewer digits than a
    16-bit image; only of 8-bit images may it have that.

    Parameters
    ----------
    network : FileNetwork
        On the device.
    description : ModelDescription
    processing : Processing or None
        The steps of a bioimage.io package; None where the network takes 0 to 1.
    result : tuple of int, optional
        Height and width of the result, where they are not those of the image times the network's scale.
    half : bool
        Whether the network may compute in half precision.
    """

    def __init__(
        self,
        network: FileNetwork,
        description: ModelDescription,
        processing: Processing | None,
        result: tuple[int, int] | None,
        half: bool,
    ) -> None:
        self._network, self._description, self._processing, self._half = network, description, processing, half
        self.spec = BlockSpec(
            "YX",
            (description.halo,) * 2,
            (description.multiple,) * 2,
            (description.scale,) * 2,
            whole=description.whole,
            bytes_per_pixel=description.bytes_per_pixel,
            result=result,
        )
        self.weights = {description.name: description.sha256}

    @classmethod
    def of(
        cls, description: ModelDescription, path: Path, image: Image, context: Context, factor: float | None = None
    ) -> PreparedFile:
        """Load the network, and look at the image where the package's steps need its statistics.

        Parameters
        ----------
        description : ModelDescription
        path : Path
        image : Image
        context : Context
        factor : float, optional
            How many times finer the result is to be; the scale of the network where left out.
        """
        context.report.start("Loading the model")
        network = open_network(description, path, context.device.torch_name)
        steps = description.preprocessing
        processing = None if steps is None else Processing.of(steps, description.postprocessing, image, context)
        result = None if factor in (None, description.scale) else finer(image, factor or 1.0)
        half = description.half and context.device.precision == "float16" and image.dtype.itemsize == 1
        prepared = cls(network, description, processing, result, half)
        prepared.notes = _notes(description, image, factor)
        return prepared

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, C, H, W); see `Prepared.apply`."""
        kind = block.device.type
        with torch.autocast(
            kind, torch.get_autocast_dtype(kind), enabled=self._half and torch.is_autocast_enabled(kind)
        ):
            if self._processing is not None:
                return self._processing.backward(self._through(self._processing.forward(block)))
            inside = block.clamp(0, 1)
            beyond = block - inside
            scale = self._description.scale
            if scale > 1:
                beyond = functional.interpolate(beyond, scale_factor=scale, mode="bilinear", align_corners=False)
            return self._through(inside) + beyond

    def _through(self, image: Tensor) -> Tensor:
        """Return what the network makes of (N, C, H, W), with as many channels."""
        wanted, channels = self._description.input_channels, image.shape[1]
        if wanted > channels:
            colours = image.expand(-1, 3, -1, -1) if channels == 1 else image
            # A fourth channel is how opaque a pixel is.
            image = colours if wanted == 3 else torch.cat((colours, torch.ones_like(colours[:, :1])), 1)
        answer = self._network(image.contiguous()).float()[:, :3]
        if answer.shape[1] != channels:
            answer = answer.mean(1, keepdim=True).expand(-1, channels, -1, -1)
        return answer


def vgg_network(description: ModelDescription, path: Path, device: Device) -> tuple[VggFeatures, Mapping[str, str]]:
    """Return a VGG network from a file on a device, and the hash of its weights by name.

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
    return _vgg(path, description.sha256, device.torch_name), {description.name: description.sha256}


@lru_cache(maxsize=1)
def _vgg(path: Path, sha256: str, torch_name: str) -> VggFeatures:
    return read_vgg(path).to(torch_name)


def _notes(description: ModelDescription, image: Image, factor: float | None) -> tuple[str, ...]:
    """Say what the user should know of a run."""
    notes = ["This model was not measured by napari-synth: compare its result with the image."]
    if description.input_channels > 1 and "S" not in image.axes:
        notes.append("The network expects colours: it is given the same plane for each of them, and the mean is taken.")
    if factor is not None and factor > description.scale:
        notes.append(f"The network makes it {description.scale} times finer; the rest is interpolated.")
    return (*notes, *description.notes)


def prepare_network(description: ModelDescription, path: Path, image: Image, params: Any, context: Context) -> Prepared:
    """Load a network of others that turns images into images.

    Parameters
    ----------
    description : ModelDescription
    path : Path
    image : Image
    params : ModelFileParams
        With a ``factor`` where the network enlarges.
    context : Context
    """
    prepared = PreparedFile.of(description, path, image, context, getattr(params, "factor", None))
    return RotationEnsemble(prepared, "mean") if params.ensemble else prepared


def prepare_style(
    description: ModelDescription, path: Path, image: Image, params: NeuralStyleParams, context: Context
) -> Prepared:
    """Load a network of others whose features tell style from content.

    Parameters
    ----------
    description : ModelDescription
    path : Path
    image : Image
    params : NeuralStyleParams
    context : Context
    """
    network, weights = vgg_network(description, path, context.device)
    return prepare_neural_style(network, weights, image, params, context)


# Radius of holes that every network leaves to a smooth surface.
_THIN = 1.0
_NOTE = "This model was not measured by napari-synth: look closely at what it put into the holes."


def prepare_filler(
    description: ModelDescription, path: Path, image: Image, params: FillerParams, context: Context
) -> Prepared:
    """Load the network, and look which holes there are.

    Raises
    ------
    MaskError
        See `prepare_filling`.
    """
    context.report.start("Loading the model")
    network = open_network(description, path, context.device.torch_name)
    fill = NetworkFill(Planes(network, description.input_channels), description.multiple)
    prepared = prepare_filling(image, filling_network(fill, params, _THIN), params.neighbours, context)
    prepared.weights = {description.name: description.sha256}
    prepared.notes = (_NOTE, *prepared.notes)
    return prepared


@dataclass(frozen=True)
class Planes:
    """What a network of others makes of planes (1, C, Y, X) with holes (1, 1, Y, X).

    It sees 0 to 1, as it was trained to; of an image of one channel, the same in all of its channels, and their mean is taken.

    Attributes
    ----------
    network : FileNetwork
    channels : int
        That it takes, the mask not among them.
    """

    network: FileNetwork
    channels: int

    def __call__(self, image: Tensor, holes: Tensor) -> Tensor:
        """Return filled planes (1, C, Y, X)."""
        samples = image.shape[1]
        seen = image.clamp(0.0, 1.0)
        if samples == 1 < self.channels:
            seen = seen.expand(-1, self.channels, -1, -1)
        elif samples != self.channels:
            # A network for one channel is asked for each.
            seen, holes = seen.reshape(-1, 1, *seen.shape[2:]), holes.repeat_interleave(samples, 0)
        with torch.inference_mode():
            answer = self.network(torch.cat((seen, holes), 1).contiguous()).float()
        if answer.numel() == image.numel():
            return answer.reshape(image.shape)
        return answer.mean(1, keepdim=True)
