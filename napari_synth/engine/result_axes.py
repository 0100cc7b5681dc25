"""Along which axes a result lies, how large it is, and where in it the pixels of a part of its source are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from napari_synth.contract.generator import ResultSpec
from napari_synth.engine.tiling import result_range
from napari_synth.imaging.image import SPATIAL_AXES


@dataclass(frozen=True)
class ResultLayout:
    """Between the axes of an image and those of its result.

    Attributes
    ----------
    source : mapping of str to int
        Size of the image by axis role, in the order of its axes.
    ratios : mapping of str to Fraction
        How many times finer the result is along an axis; axes that are left out keep their size.
    joint : str
        Axes of the image whose positions are seen together.
    spec : ResultSpec or None
        What the result has in place of them; None where it has the same.
    """

    source: Mapping[str, int]
    ratios: Mapping[str, Fraction] = field(default_factory=dict)
    joint: str = ""
    spec: ResultSpec | None = None

    @property
    def channel_axes(self) -> str:
        """Axes of the result that the channels of a restored block become, in their order there."""
        return self.joint if self.spec is None else self.spec.axis

    @property
    def axes(self) -> str:
        """Axes of the result: those of the image, new channels before the first axis in space and new samples last."""
        if self.spec is None or self.spec.axis == self.joint:
            return "".join(self.source)
        kept = "".join(axis for axis in self.source if axis not in self.joint)
        if self.spec.axis == "S":
            return kept + "S"
        place = min(kept.index(axis) for axis in SPATIAL_AXES if axis in kept)
        return kept[:place] + self.spec.axis + kept[place:]

    @property
    def sizes(self) -> dict[str, int]:
        """Size of the result by axis role."""
        return {axis: part.stop for axis, part in self.within({}).items()}

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the result along its axes."""
        return tuple(self.sizes.values())

    @property
    def common(self) -> str:
        """Axes of the result along which each position belongs to one of the image."""
        return "".join(axis for axis in self.axes if axis in self.source and axis not in self.joint)

    def within(self, region: Mapping[str, slice]) -> dict[str, slice]:
        """Return the pixels of the result, along each of its axes, that belong to a region of the image."""
        parts: dict[str, slice] = {}
        for axis in self.axes:
            if self.spec is not None and axis == self.spec.axis:
                parts[axis] = slice(0, len(self.spec.intensity))
                continue
            part = region.get(axis, slice(0, self.source[axis]))
            parts[axis] = result_range(part, self.ratios[axis]) if axis in self.ratios else part
        return parts
