"""Drawn parameters: what one augmentation did, small enough to be kept, shown, sent and replayed."""

from __future__ import annotations

from typing import Literal

import pydantic
import yaml

from napari_synth.augmentation.transform import Value
from napari_synth.core.errors import InvalidImageError, RecipeError
from napari_synth.core.texts import TextError, read_yaml

FORMAT: Literal[1] = 1


class Step(pydantic.BaseModel):
    """The parameters drawn for one transform.

    Attributes
    ----------
    kind : str
        Of the transform.
    applied : bool
        Whether its probability came true.
    sizes : tuple of int
        Of the frame before it.
    spacing : tuple of float
        Of the frame before it.
    values : dict
        What was drawn, whether applied or not, so that the draws of a batch can be stacked.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    kind: str
    applied: bool
    sizes: tuple[int, ...]
    spacing: tuple[float, ...]
    values: dict[str, Value] = {}


class Draw(pydantic.BaseModel):
    """All parameters that a pipeline drew for one sample.

    Attributes
    ----------
    seed : int
        What they were drawn with.
    axes : {"YX", "ZYX"}
        The axes that geometry moves.
    sizes, result : tuple of int
        Pixels along them, before and after.
    spacing : tuple of float
        Distance of neighbouring pixels along them, before.
    ranges : tuple of (float, float)
        Low and high intensity of each channel, in counts; empty where they are to be measured in what it is applied to.
    steps : tuple of Step
        One for each transform that is enabled and does something to such an image, in order.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    seed: int
    axes: str
    sizes: tuple[int, ...]
    result: tuple[int, ...]
    spacing: tuple[float, ...]
    ranges: tuple[tuple[float, float], ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def applied(self) -> tuple[Step, ...]:
        """The steps whose probability came true."""
        return tuple(step for step in self.steps if step.applied)

    def for_another(self) -> Draw:
        """Return the draw for another layer: the same movements, strengths in parts of that layer's own range."""
        return self.model_copy(update={"ranges": ()})

    def check_fits(self, sizes: tuple[int, ...]) -> None:
        """Raise `InvalidImageError` unless an image of these sizes along `axes` can be moved."""
        if sizes != self.sizes:
            raise InvalidImageError(
                f"This draw moves images of {_by(self.sizes)} pixels ({self.axes}), not of {_by(sizes)}: draw anew for this one."
            )

    def to_yaml(self) -> str:
        """Return the draw as YAML."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False))

    @classmethod
    def from_yaml(cls, text: str) -> Draw:
        """Read what `to_yaml` wrote.

        Raises
        ------
        RecipeError
            The text is no draw.
        """
        try:
            return cls.model_validate(read_yaml(text))
        except (TextError, pydantic.ValidationError) as error:
            raise RecipeError("This is no draw of an augmentation: copy it again.") from error


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in sizes)
