"""How a network sees labels: a channel a class, or, of objects that are numbered, what is object, rim, and how deep inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from skimage.measure import label
from skimage.segmentation import find_boundaries

from napari_synth.core.errors import TrainingDataError

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
