"""The steps that a bioimage.io package asks for before and behind its network, with statistics of the whole image.

The specification takes means and percentiles of whatever it is given. Here they are those of the whole image, never of
a tile, so that every step is a map of single intensities: ``y = clip(gain * x + offset, low, high)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from napari_synth.contract.generator import Context
from napari_synth.core.errors import ModelFileError
from napari_synth.imaging.image import Image
from napari_synth.imaging.sampling import sample_planes

BEFORE = frozenset(
    {"ensure_dtype", "clip", "scale_linear", "scale_range", "zero_mean_unit_variance", "fixed_zero_mean_unit_variance"}
)
"""Steps that can be done before the network."""
BEHIND = frozenset({"ensure_dtype", "clip", "scale_linear", "scale_range", "scale_mean_variance"})
"""Steps that can be done behind it."""
_RETURNING = {"scale_range", "scale_mean_variance"}


@dataclass(frozen=True)
class Step:
    """A map of single intensities."""

    gain: float = 1.0
    offset: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    def __call__(self, image: Tensor) -> Tensor:
        """Return the mapped image."""
        if (self.gain, self.offset) != (1.0, 0.0):
            image = image * self.gain + self.offset
        return image.clamp(self.low, self.high) if math.isfinite(self.low) or math.isfinite(self.high) else image

    def then(self, other: Step) -> Step:
        """Return both as one, where this one does not clip."""
        return Step(self.gain * other.gain, self.offset * other.gain + other.offset, other.low, other.high)

    def inverse(self) -> Step:
        """Return the way back, without clipping."""
        return Step(1.0 / self.gain, -self.offset / self.gain)


@dataclass(frozen=True)
class Processing:
    """From normalised intensities to what the network takes, and from its answer back.

    Attributes
    ----------
    before, behind : tuple of Step
    """

    before: tuple[Step, ...]
    behind: tuple[Step, ...]

    @classmethod
    def of(
        cls,
        before: Iterable[Mapping[str, Any]],
        behind: Iterable[Mapping[str, Any]],
        image: Image,
        context: Context,
    ) -> Processing:
        """Resolve the steps of a package for an image.

        A package that says nothing of the way back, or that its result should be brought to the range of its input, is
        taken the same way back that it was taken there.

        Parameters
        ----------
        before, behind : iterable of mapping
            The steps before and behind the network, as the package declares them.
        image : Image
        context : Context

        Raises
        ------
        ModelFileError
            A step cannot be done block by block.
        """
        counts = Step(context.intensity.scale, context.intensity.offset)
        steps, total = [counts], Step()
        for described in before:
            step = _resolve(described, total, image, context)
            steps.append(step)
            total = total.then(Step(step.gain, step.offset))
        asked = list(behind)
        back: list[Step] = []
        if not any(step["id"] == "scale_linear" for step in asked):
            back.append(total.inverse())
        back += [
            _resolve(step, Step(), image, context)
            for step in asked
            if step["id"] == "scale_linear" or _limits_counts(step, asked)
        ]
        return cls(_joined(steps), _joined([*back, counts.inverse()]))

    def forward(self, image: Tensor) -> Tensor:
        """Return what the network takes."""
        for step in self.before:
            image = step(image)
        return image

    def backward(self, answer: Tensor) -> Tensor:
        """Return normalised intensities."""
        for step in self.behind:
            answer = step(answer)
        return answer


def check_steps(steps: Iterable[Mapping[str, Any]], known: frozenset[str]) -> None:
    """Refuse a package with a step that cannot be done.

    Raises
    ------
    ModelFileError
        There is one.
    """
    for step in steps:
        if step["id"] not in known:
            raise ModelFileError(
                f"The package asks for the step {step['id']!r}, which gives no image: choose another model."
            )


def _limits_counts(step: Mapping[str, Any], asked: list[Mapping[str, Any]]) -> bool:
    """Whether a clip limits the result in counts, as it does behind a step that makes counts."""
    return step["id"] == "clip" and any(
        other["id"] in _RETURNING | {"scale_linear"} for other in asked[: asked.index(step)]
    )


def _resolve(described: Mapping[str, Any], before: Step, image: Image, context: Context) -> Step:
    """Return a step of the specification; ``before`` is what was done to the counts before it."""
    options = described.get("kwargs") or {}
    match described["id"]:
        case "clip":
            return Step(low=_number(options.get("min"), -math.inf), high=_number(options.get("max"), math.inf))
        case "scale_linear":
            return Step(_number(options.get("gain"), 1.0), _number(options.get("offset"), 0.0))
        case "fixed_zero_mean_unit_variance":
            return _standardising(_number(options["mean"], 0.0), _number(options["std"], 1.0), 0.0)
        case "zero_mean_unit_variance":
            mean = context.statistics.mean * before.gain + before.offset
            return _standardising(mean, context.statistics.std * abs(before.gain), _number(options.get("eps"), 1e-6))
        case "scale_range":
            levels = [_number(options.get("min_percentile"), 0.0), _number(options.get("max_percentile"), 100.0)]
            low, high = (value * before.gain + before.offset for value in _percentiles(image, levels))
            spread = high - low + _number(options.get("eps"), 1e-6)
            return Step(1 / spread, -low / spread)
        case _:
            return Step()


def _standardising(mean: float, std: float, eps: float) -> Step:
    return Step(1 / (std + eps), -mean / (std + eps))


def _percentiles(image: Image, levels: list[float]) -> list[float]:
    pixels = np.concatenate([plane.ravel() for plane in sample_planes(image)]).astype(np.float64)
    return [float(value) for value in np.percentile(pixels[np.isfinite(pixels)], levels)]


def _number(value: Any, default: float) -> float:
    """Return a number; the mean of several, one for each channel."""
    if value is None:
        return default
    return float(np.mean(value))


def _joined(steps: list[Step]) -> tuple[Step, ...]:
    """Put neighbours together that do not clip, so that counts of 32 bits keep their digits."""
    joined: list[Step] = []
    for step in steps:
        if joined and math.isinf(joined[-1].low) and math.isinf(joined[-1].high):
            joined[-1] = joined[-1].then(step)
        else:
            joined.append(step)
    return tuple(joined)
