"""Makes images for labels with networks from model files, and the labels too, where objects were learnt."""

from __future__ import annotations

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

from napari_synth.contract.synthesis import SynthesisParams
from napari_synth.core.errors import InvalidImageError, TrainingDataError
from napari_synth.core.progress import check_cancelled
from napari_synth.imaging.image import Image
from napari_synth.methods.synthesize.catalogue import FlowParams
from napari_synth.methods.synthesize.objects import ObjectStatistics
from napari_synth.methods.synthesize.samplers import NetworkSampler, steps_of
from napari_synth.models import ModelCard
from napari_synth.models.card import reading_card
from napari_synth.networks.velocity_unet import flow

Encoding = Literal["classes", "instances"]
Labels = npt.NDArray[np.int64]

_MOST_CLASSES = 64
# Labels are classes where there are this few of them, unless each is about one connected region.
_FEW, _FEWEST_OBJECTS, _REGIONS = 12, 3, 1.5
# Pixels from a border: where it is no longer felt, and where an object counts as deep.
_SOFT, _DEEP = 1.5, 16.0
_NAMED = 8


@dataclass(frozen=True)
class LabelChannels:
    """The way from labels to channels, which change smoothly across the borders: a step there would show in the image.

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

    def encode(self, plane: Labels) -> npt.NDArray[np.float32]:
        """Return the channels (`count`, Y, X) of a plane of labels, -1 to 1; labels that are not known count as the first one.

        Of classes, each channel is above 0 where its class is. Of instances, the first is above 0 inside of objects, the second is
        high along their rims, where they touch each other too, the third grows with the depth inside.
        """
        if self.encoding == "classes":
            known = np.stack([plane == one for one in self.ids])
            known[0] |= ~known.any(axis=0)
            return np.stack([np.tanh(_signed(one) / _SOFT) for one in known]).astype(np.float32)
        signed = signed_distance(plane)
        rim = 2.0 * np.exp(-np.square(signed / _SOFT)) - 1.0
        return np.stack([np.tanh(signed / _SOFT), rim, np.clip(signed / _DEEP, -1.0, 1.0)]).astype(np.float32)

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


def signed_distance(plane: Labels) -> npt.NDArray[np.float64]:
    """Return the pixels to the nearest border of a label, above 0 inside of labels that are not 0, below 0 in the background.

    Parameters
    ----------
    plane : numpy.ndarray, (Y, X)
        Labels.
    """
    # Objects that the image cuts have no border there.
    borders = find_boundaries(plane, connectivity=1, mode="inner")
    inside = plane != 0
    far = float(max(plane.shape))
    # Half a pixel, since a border lies between pixels.
    depth = (distance_transform_edt(~borders) if borders.any() else np.full(plane.shape, far)) + 0.5
    beyond = (distance_transform_edt(~inside) if inside.any() else np.full(plane.shape, far)) - 0.5
    return np.where(inside, depth, -beyond)


def _are_objects(planes: Sequence[Labels], ids: Sequence[int]) -> bool:
    """Return whether labels number objects rather than name kinds of pixels."""
    if len(ids) > _FEW:
        return True
    if 0 not in ids or len(ids) - 1 < _FEWEST_OBJECTS:
        return False
    regions = sum(int(label(plane, background=0).max()) for plane in planes)
    labels = sum(int(np.count_nonzero(np.unique(plane))) for plane in planes)
    return regions <= _REGIONS * max(labels, 1)


class LabelledSampler(NetworkSampler):
    """A `VelocityUNet` that is told of labels: those of one plane, or, where none are given, new ones for every image.

    The card's extras say how it sees them, ``"labels"``, and what objects are like, ``"objects"``, unless labels are classes.

    Parameters
    ----------
    network, card, weights, params, source
        See `NetworkSampler`.

    Raises
    ------
    ModelFileError
        The card lacks something.
    InvalidImageError
        There are no labels, and none can be drawn.
    """

    bytes_per_pixel = 2048

    def __init__(
        self,
        network: Any,
        card: ModelCard,
        weights: Mapping[str, str],
        params: SynthesisParams,
        source: Image | None = None,
    ) -> None:
        super().__init__(network, card, weights, params, source)
        assert isinstance(params, FlowParams)
        self._steps, self._solver = steps_of(params, card), params.solver
        with reading_card(card.name):
            self._channels = LabelChannels.from_record(card.extras["labels"])
            told = card.extras.get("objects")
            self._objects = None if told is None else ObjectStatistics.from_record(told)
        self._plane: Labels | None = None
        self.makes_labels = source is None
        if source is None:
            if self._objects is None:
                raise InvalidImageError(
                    f"{card.title} cannot draw labels, since those it learnt from name kinds of pixels or have too few objects:"
                    " give labels as the source."
                )
            self.spec = replace(self.spec, grid=1)
            return
        self._plane = np.asarray(source.read(), np.int64)
        height, width = self._plane.shape
        self.spec = replace(self.spec, size=(height, width), grid=None)
        if unknown := self._channels.unknown(self._plane):
            named = ", ".join(map(str, unknown[:_NAMED])) + (" and others" if len(unknown) > _NAMED else "")
            ids = self._channels.ids
            self.notes = (
                *self.notes,
                f"The model knows the labels {', '.join(map(str, ids))}: {named} are taken for {ids[0]}.",
            )

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of the noise, and of labels behind it where they are drawn; see `Sampler.latent_shape`."""
        return (int(self.network.channels) + int(self.makes_labels), *size)

    def draw(self, generator: torch.Generator, size: tuple[int, int]) -> Tensor:
        """Draw noise, and labels where none are given; see `Sampler.draw`."""
        noise = torch.randn((int(self.network.channels), *size), generator=generator)
        if self._objects is None or not self.makes_labels:
            return noise
        seed = int(torch.randint(2**62, (), generator=generator))
        drawn = self._objects.draw(size, np.random.default_rng(seed), check_cancelled)
        return torch.cat((noise, torch.from_numpy(drawn)[None].float()))

    def labels(self, latents: Tensor) -> Tensor:
        """Return the labels in latents; see `Sampler.labels`."""
        return latents[:, -1].round().long() if self.makes_labels else super().labels(latents)

    def made(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images; see `NetworkSampler.made`."""
        height, width = size
        beyond = [-edge % int(self.network.multiple) for edge in size]
        planes = [self._plane] if self._plane is not None else list(self.labels(latents).cpu().numpy())
        told = [self._channels.encode(np.pad(plane, [(0, more) for more in beyond], mode="edge")) for plane in planes]
        given = torch.from_numpy(np.stack(told)).to(latents.device).expand(len(latents), -1, -1, -1)
        noise = functional.pad(latents[:, : int(self.network.channels)], (0, beyond[1], 0, beyond[0]), mode="circular")
        made = flow(
            lambda x, time: self.network(x, time, given),
            noise,
            self._steps,
            self._solver,
            check=check_cancelled,
        )
        images: Tensor = self.network.unstandardised(made)
        return images[..., :height, :width]


def _signed(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the pixels to the border of a region (Y, X), above 0 inside."""
    return signed_distance(mask.astype(np.int64))
