"""Reads images of one kind to learn from, all channels of a pixel together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_synth.core.image import Image
from napari_synth.core.intensity import IntensityTransform
from napari_synth.trainables.translate._pairs import Kind
from napari_synth.training.pools import Field
from napari_synth.training.sources import Normalisation, read_fields, split_fields

# Fields that are held out of one kind show other things than those of the other: few of them would judge by that.
_HELD_OUT = 1 / 4
_AS_IT_IS = IntensityTransform(0.0, 1.0)


@dataclass(frozen=True)
class Domain:
    """Images of one kind.

    Attributes
    ----------
    training, held_out : list of Field
        Normalised.
    kind : Kind
        What their channels are.
    """

    training: list[Field]
    held_out: list[Field]
    kind: Kind

    @classmethod
    def read(cls, images: Sequence[Image], axes: str, what: str) -> Domain:
        """Read images.

        Parameters
        ----------
        images : sequence of Image
        axes : str
            The spatial axes of a field.
        what : str
            What the user calls them: ``"source"``, say.

        Raises
        ------
        TrainingDataError
            They have different channels, or there is too little of them.
        """
        kind = Kind.of(images, what)
        counts = read_fields(images, Normalisation(((_AS_IT_IS,),) * len(images)), axes, joint="CS")
        return cls(*split_fields([_normalised(field, kind) for field in counts], _HELD_OUT), kind)

    @property
    def channels(self) -> int:
        """Of a field."""
        return len(self.kind.transforms)


def _normalised(field: Field, kind: Kind) -> Field:
    planes = [one.forward(plane) for plane, one in zip(field.pixels, kind.transforms, strict=True)]
    return replace(field, pixels=np.stack(planes))
