"""Draws of a batch, stacked: one tensor a parameter, from which maps and intensities are computed.

The values may require a gradient, so that parameters can be learnt: replace them in `PlannedStep.values` before use.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_synth.augmentation.displacement import SamplingMap
from napari_synth.augmentation.draws import Draw
from napari_synth.augmentation.transform import NOISE
from napari_synth.augmentation.warping import Room, moves, stage
from napari_synth.core.errors import InvalidParameterError


@dataclass(frozen=True)
class PlannedStep:
    """One transform for a whole batch.

    Attributes
    ----------
    kind : str
        Of the transform.
    active : Tensor (B,), bool
        Which items it is applied to.
    values : dict of str to Tensor (B, ...)
        What was drawn, float64, on the CPU.
    seeds : tuple of int
        One an item, for random fields.
    sizes, spacing : Tensor (B, D), float64
        Of the frame before it, in the order ([Z,] Y, X).
    others : Tensor (B,), optional
        Which other item each is mixed with; drawn from the batch where left out.
    """

    kind: str
    active: Tensor
    values: dict[str, Tensor]
    seeds: tuple[int, ...]
    sizes: Tensor
    spacing: Tensor
    others: Tensor | None = None

    @property
    def room(self) -> Room:
        """What a stage must know of the frames."""
        return Room(self.sizes.flip(1), self.spacing.flip(1) / self.spacing[:, -1:], self.active, self.seeds)


@dataclass(frozen=True)
class Plan:
    """The draws of a batch.

    Attributes
    ----------
    steps : tuple of PlannedStep
    axes : str
        The axes that geometry moves.
    sizes, result : tuple of int
        Pixels along them of the first source and of all results.
    batch : int
        Number of items.
    """

    steps: tuple[PlannedStep, ...]
    axes: str
    sizes: tuple[int, ...]
    result: tuple[int, ...]
    batch: int

    @classmethod
    def of(cls, draws: Sequence[Draw]) -> Plan:
        """Stack draws of one pipeline.

        Raises
        ------
        InvalidParameterError
            There is none, they have no common result size, or they are of different pipelines.
        """
        if not draws:
            raise InvalidParameterError("There is no draw: give one for each image of the batch.")
        first = draws[0]
        kinds = [step.kind for step in first.steps]
        for draw in draws[1:]:
            if [step.kind for step in draw.steps] != kinds or draw.axes != first.axes:
                raise InvalidParameterError("The draws are of different pipelines: draw them all with one.")
            if draw.result != first.result:
                raise InvalidParameterError(
                    f"The draws give images of {draw.result} and {first.result} pixels: put a crop or a resize into the pipeline."
                )
        steps = []
        for index, kind in enumerate(kinds):
            of_items = [draw.steps[index] for draw in draws]
            names = [name for name in of_items[0].values if name != NOISE]
            steps.append(
                PlannedStep(
                    kind,
                    torch.tensor([step.applied for step in of_items]),
                    {n: torch.tensor([step.values[n] for step in of_items], dtype=torch.float64) for n in names},
                    tuple(_seed(step.values.get(NOISE, 0)) for step in of_items),
                    torch.tensor([step.sizes for step in of_items], dtype=torch.float64),
                    torch.tensor([step.spacing for step in of_items], dtype=torch.float64),
                )
            )
        return cls(tuple(steps), first.axes, first.sizes, first.result, len(draws))

    def mixed_with(self, kinds: Collection[str], own: int, others: Sequence[int]) -> Plan:
        """Return the plan whose first ``own`` items are mixed with named ones, which are not mixed themselves.

        Parameters
        ----------
        kinds : collection of str
            Of the transforms that mix.
        own : int
        others : sequence of int
            For each item of the batch, which other it is mixed with.
        """
        is_own = torch.arange(self.batch) < own
        steps = (
            replace(step, active=step.active & is_own, others=torch.tensor(others)) if step.kind in kinds else step
            for step in self.steps
        )
        return replace(self, steps=tuple(steps))

    @property
    def intensities(self) -> tuple[PlannedStep, ...]:
        """The steps that change intensities of at least one item."""
        return tuple(step for step in self.steps if not moves(step.kind) and bool(step.active.any()))

    def map(self) -> SamplingMap:
        """Return the composed map of all geometry."""
        moving = [step for step in self.steps if moves(step.kind) and bool(step.active.any())]
        stages = [stage(step.kind, step.values, step.room) for step in moving]
        return SamplingMap.of(stages, self.sizes, self.result, self.batch)


def generators(step: PlannedStep, device: torch.device) -> list[torch.Generator]:
    """Return the random generator of each active item of a step."""
    chosen = zip(step.seeds, step.active.tolist(), strict=True)
    return [torch.Generator(device).manual_seed(seed) for seed, active in chosen if active]


def _seed(value: int | float | tuple[float, ...]) -> int:
    assert isinstance(value, int)
    return value
