"""Makes images with networks from model files: what they see is brought to counts, and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt
from skimage.measure import label
from skimage.segmentation import find_boundaries
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.synthesis import Sampler, SampleSpec, SynthesisParams
from napari_synth.core.errors import TrainingDataError
from napari_synth.core.progress import check_cancelled
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.methods.synthesize.catalogue import FlowParams, RefinedParams
from napari_synth.models import ModelCard
from napari_synth.models.card import reading_card
from napari_synth.networks.velocity_unet import flow


class NetworkSampler(Sampler):
    """A network from a model file.

    Parameters
    ----------
    network : nn.Module
        On the device, in evaluation mode.
    card : ModelCard
        Its normalisation has, as ``"source"``, offset and scale of every channel: ``(counts - offset) / scale`` is about 0 to 1.
        Its extras have, as ``"sample"``, the record of a `SampleSpec`.
    weights : mapping of str to str
    params : SynthesisParams
    source : Image or None
        As `Synthesizer.open` is given it.

    Raises
    ------
    ModelFileError
        The card lacks something.
    """

    def __init__(
        self,
        network: Any,
        card: ModelCard,
        weights: Mapping[str, str],
        params: SynthesisParams,
        source: Image | None = None,
    ) -> None:
        self.network, self.params, self.source = network, params, source
        self.weights, self.notes = weights, card.limits
        with reading_card(card.name):
            self.spec = SampleSpec.from_record(card.extras["sample"])
            self.intensity = tuple(IntensityTransform(**one) for one in card.normalisation["source"])
            if len(self.intensity) not in {1, self.spec.channels}:
                raise ValueError("not a range for each channel")

    @abstractmethod
    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images (N, C, Y, X) as the network sees them, about -1 to 1; see `Sampler.decode`."""

    def decode(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Make images; see `Sampler.decode`."""
        return self.as_counts(self.made(latents, size))

    def as_counts(self, seen: Tensor) -> Tensor:
        """Return the counts of images (N, C, Y, X) as the network sees them, about -1 to 1."""
        offset, scale = self._line(seen)
        return (0.5 * seen.float() + 0.5) * scale + offset

    def as_seen(self, counts: Tensor, intensity: Sequence[IntensityTransform] | None = None) -> Tensor:
        """Return images (N, C, Y, X) as the network sees them, about -1 to 1; of other counts than it makes where told so."""
        offset, scale = self._line(counts, intensity)
        return 2.0 * ((counts.float() - offset) / scale) - 1.0

    def _line(self, beside: Tensor, intensity: Sequence[IntensityTransform] | None = None) -> tuple[Tensor, Tensor]:
        """Return offset and scale, (1, C, 1, 1)."""
        rows = torch.tensor([[one.offset, one.scale] for one in intensity or self.intensity], device=beside.device)
        offset, scale = rows.float().T.reshape(2, 1, -1, 1, 1)
        return offset, scale


class VectorSampler(NetworkSampler):
    """A network that maps vectors of normal numbers, ``latent_size`` long, to images of one size."""

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the length of the vector; see `Sampler.latent_shape`."""
        return (int(self.network.latent_size),)

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        images: Tensor = self.network(latents)
        return images

    def directions(self, count: int) -> Tensor:
        """Return the directions to which the first layer of the network answers most (Shen and Zhou, CVPR 2021)."""
        weight = self.network.first_weight.detach().float().cpu()
        found: Tensor = torch.linalg.svd(weight, full_matrices=False).Vh[:count].contiguous()
        return found


Encoding = Literal["classes", "instances"]
Labels = npt.NDArray[np.int64]

_MOST_CLASSES = 64
# Labels are classes where there are this few of them, unless each is about one connected region.
_FEW, _FEWEST_OBJECTS, _REGIONS = 12, 3, 1.5
# Pixels from the rim at which an object counts as deep.
_DEEP = 16.0


@dataclass(frozen=True)
class LabelChannels:
    """The way from labels to channels.

    Attributes
    ----------
    encoding : {"classes", "instances"}
    ids : tuple of int
        Of classes: the labels that have a channel each, rising.
    """

    encoding: Encoding
    ids: tuple[int, ...] = ()

    @classmethod
    def of(cls, planes: Sequence[Labels], wanted: Literal["auto", "classes", "instances"] = "auto") -> LabelChannels:
        """Look at planes of labels, (Y, X) each.

        Few labels are classes. So are not those that are numbered one by one: each about one region, on a background.

        Raises
        ------
        TrainingDataError
            All pixels have one label, or there are too many classes.
        """
        ids = tuple(sorted({int(one) for plane in planes for one in np.unique(plane)}))
        if len(ids) < 2:
            raise TrainingDataError("All labels are the same: draw what is to be told apart, at least two kinds of it.")
        encoding: Encoding = (
            "instances" if wanted == "instances" or (wanted == "auto" and _are_objects(planes, ids)) else "classes"
        )
        if encoding == "instances":
            return cls("instances")
        if len(ids) > _MOST_CLASSES:
            raise TrainingDataError(f"{len(ids)} labels are too many for classes: learn them as instances.")
        return cls("classes", ids)

    @property
    def count(self) -> int:
        """How many channels there are."""
        return len(self.ids) if self.encoding == "classes" else 3

    @property
    def flat(self) -> int:
        """How many of them, the first ones, are 0 or 1 and tell all kinds of pixels apart."""
        return len(self.ids) if self.encoding == "classes" else 2

    def encode(self, plane: Labels) -> npt.NDArray[np.float32]:
        """Return the channels (`count`, Y, X) of a plane of labels, 0 to 1; labels that are not known count as the first one."""
        if self.encoding == "classes":
            channels = np.stack([plane == one for one in self.ids]).astype(np.float32)
            channels[0, channels.sum(axis=0) == 0] = 1.0
            return channels
        inside = plane != 0
        rim = find_boundaries(plane, connectivity=1, mode="inner")
        # Objects that the image cuts have no rim there; one that fills it is deep everywhere.
        within = inside & ~rim
        depth = distance_transform_edt(within) if not within.all() else np.full(plane.shape, _DEEP)
        return np.stack([inside, rim, np.minimum(depth / _DEEP, 1.0)]).astype(np.float32)

    def unknown(self, plane: Labels) -> tuple[int, ...]:
        """Return the labels of a plane that were not learnt."""
        return tuple(int(one) for one in np.unique(plane) if one not in self.ids) if self.encoding == "classes" else ()

    def record(self) -> dict[str, Any]:
        """Return it as plain JSON types, for the card of a model."""
        return {"encoding": self.encoding, "ids": list(self.ids)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> LabelChannels:
        """Take up what `record` returned; KeyError, TypeError or ValueError where it is something else."""
        if record["encoding"] not in {"classes", "instances"}:
            raise ValueError("The encoding is not known.")
        return cls(record["encoding"], tuple(int(one) for one in record["ids"]))


def _are_objects(planes: Sequence[Labels], ids: Sequence[int]) -> bool:
    """Return whether labels number objects rather than name kinds of pixels."""
    if len(ids) > _FEW:
        return True
    if 0 not in ids or len(ids) - 1 < _FEWEST_OBJECTS:
        return False
    regions = sum(int(label(plane, background=0).max()) for plane in planes)
    labels = sum(int(np.count_nonzero(np.unique(plane))) for plane in planes)
    return regions <= _REGIONS * max(labels, 1)


class AutoencoderSampler(VectorSampler):
    """A `VariationalAutoencoder`."""

    can_encode = True

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        images: Tensor = self.network.decode(latents)
        return images

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the means of the posterior; see `Sampler.encode`."""
        mean: Tensor = self.network.encode(self.as_seen(pixels))[0]
        return mean


class RefinedSampler(AutoencoderSampler):
    """A `RefinedAutoencoder`; where it learnt two kinds of images, the card's extras say of those that it encodes: ``"encoded"``.

    Parameters
    ----------
    network, card, weights, params, source
        See `NetworkSampler`.

    Raises
    ------
    ModelFileError
        The card lacks something.
    """

    params: RefinedParams

    def __init__(
        self,
        network: Any,
        card: ModelCard,
        weights: Mapping[str, str],
        params: RefinedParams,
        source: Image | None = None,
    ) -> None:
        super().__init__(network, card, weights, params, source)
        self._encoded, spec = self.intensity, self.spec
        if (told := card.extras.get("encoded")) is not None:
            with reading_card(card.name):
                spec = SampleSpec.from_record(told["sample"])
                self._encoded = tuple(IntensityTransform(**one) for one in told["intensity"])
        if params.manner != "auto":
            self.spec, self.intensity = spec, self._encoded

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        if self.params.manner == "blurred":
            blurred: Tensor = self.network.autoencoder.decode(latents)
            return blurred
        domain = self.network.domains - 1 if self.params.manner == "auto" else 0
        images: Tensor = self.network.decode(latents, domain)
        return images

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the means of the posterior; see `Sampler.encode`."""
        mean: Tensor = self.network.encode(self.as_seen(pixels, self._encoded))[0]
        return mean


class FlowSampler(NetworkSampler):
    """A `VelocityUNet`."""

    can_encode = True
    bytes_per_pixel = 2048

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of the noise; see `Sampler.latent_shape`."""
        return (int(self.network.channels), *size)

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        images: Tensor = self.network.unstandardised(self._flow(latents))
        return images

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the noise that images come from; see `Sampler.encode`."""
        return self._flow(self.network.standardised(self.as_seen(pixels)), back=True)

    def _flow(self, x: Tensor, *, back: bool = False) -> Tensor:
        assert isinstance(self.params, FlowParams)
        return flow(self.network, x, self.params.steps, self.params.solver, back=back, check=check_cancelled)


_NAMED = 8


class PaintedSampler(NetworkSampler):
    """A `LabelPainter`, for one plane of labels; the card's extras say how it sees them: ``"labels"``.

    Parameters
    ----------
    network, card, weights, params, source
        See `NetworkSampler`; a source is given.

    Raises
    ------
    ModelFileError
        The card lacks something.
    """

    def __init__(
        self,
        network: Any,
        card: ModelCard,
        weights: Mapping[str, str],
        params: SynthesisParams,
        source: Image | None = None,
    ) -> None:
        super().__init__(network, card, weights, params, source)
        assert source is not None
        with reading_card(card.name):
            channels = LabelChannels.from_record(card.extras["labels"])
        plane = np.asarray(source.read(), np.int64)
        height, width = plane.shape
        self.spec = replace(self.spec, size=(height, width), grid=None)
        self._beyond = tuple(-edge % network.multiple for edge in (height, width))
        padded = np.pad(plane, [(0, beyond) for beyond in self._beyond], mode="edge")
        device = next(network.parameters()).device
        self._labels = torch.from_numpy(channels.encode(padded))[None].to(device)
        if unknown := channels.unknown(plane):
            named = ", ".join(map(str, unknown[:_NAMED])) + (" and others" if len(unknown) > _NAMED else "")
            self.notes = (
                *self.notes,
                f"The model knows the labels {', '.join(map(str, channels.ids))}: {named} are taken for {channels.ids[0]}.",
            )

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of the noise; see `Sampler.latent_shape`."""
        return (int(self.network.noises), *size)

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        height, width = size
        noise = functional.pad(latents, (0, self._beyond[1], 0, self._beyond[0]))
        labels = self._labels.expand(len(latents), -1, -1, -1)
        images: Tensor = self.network(labels, noise)[..., :height, :width]
        # The network works on 0 to 1.
        return 2.0 * images.float() - 1.0
