"""Fakes of generators, small enough to reason about."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pydantic import Field

from napari_synth import registry
from napari_synth.contract.generator import BlockSpec, Context, Generator, GeneratorInfo, Prepared, Task
from napari_synth.contract.params import Params
from napari_synth.imaging.image import Image


class SmoothParams(Params):
    gain: float = Field(1.0, gt=0.0, le=10.0, title="Gain", description="Multiplies the result.")


class Smooth(Prepared):
    """A 5-pixel box, whose halo of 4 covers its reach of 2 and whose phase would show a wrong crop."""

    def __init__(self, spec: BlockSpec, gain: float = 1.0) -> None:
        self.spec, self.gain = spec, gain

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        axes = tuple(range(2, block.ndim))
        total = sum(torch.roll(block, shift, axis) for axis in axes for shift in (-2, -1, 0, 1, 2))
        smooth = self.gain * total / (5 * len(axes))
        for axis, scale in zip(axes, self.spec.scale, strict=True):
            smooth = smooth.repeat_interleave(scale, axis)
        return smooth


class Plane:
    info = GeneratorInfo("denoise/fake-plane", "Fake plane", "A box.", Task.DENOISE)
    params_type = SmoothParams

    def prepare(self, image: Image, params: SmoothParams, context: Context) -> Prepared:
        return Smooth(BlockSpec.plane(4, multiple=4), params.gain)


class Volume(Plane):
    info = GeneratorInfo("denoise/fake-volume", "Fake volume", "A box.", Task.DENOISE, spatial_dims=(3,))

    def prepare(self, image: Image, params: SmoothParams, context: Context) -> Prepared:
        return Smooth(BlockSpec.volume("ZYX", (2, 2, 2)), params.gain)


class Colour(Plane):
    info = GeneratorInfo("denoise/fake-colour", "Fake colour", "A box.", Task.DENOISE, colour="joint")


class Finer(Plane):
    info = GeneratorInfo("denoise/fake-finer", "Fake finer", "Pixels doubled.", Task.DENOISE)

    def prepare(self, image: Image, params: SmoothParams, context: Context) -> Prepared:
        return Smooth(BlockSpec("YX", (4, 4), (4, 4), (2, 2)))


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Generator[Params]], None]:
    """Register the fakes (and nothing else); call it to add one more."""
    known = {fake.info.id: registry.adopted(fake) for fake in (Plane(), Volume(), Colour(), Finer())}
    monkeypatch.setattr(registry, "_registered", lambda: known)

    def add(generator: Generator[Params]) -> None:
        known[generator.info.id] = registry.adopted(generator)

    return add
