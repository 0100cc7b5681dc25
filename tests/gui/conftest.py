"""A generator that does what a test tells it, and a viewer with a panel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from pydantic import Field

from napari_synth import registry
from napari_synth.contract.generator import BlockSpec, Context, GeneratorInfo, Prepared, Task
from napari_synth.contract.params import Params
from napari_synth.imaging.image import Image


class Control:
    """What the fake does, and what it saw."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.started = threading.Event()
        self.stopped = threading.Event()
        self.fail_in_prepare: BaseException | None = None
        self.fail_in_apply: BaseException | None = None
        self.so_far: float | None = None
        self.prepared: list[tuple[int, ...]] = []
        self.thorough: list[bool] = []
        self.threads: set[int] = set()


class FakeParams(Params):
    gain: float = Field(0.5, ge=0.0, le=2.0, title="Gain", description="Multiplies the pixels.")
    thorough: bool = Field(False, title="Thorough", description="Takes long.", json_schema_extra={"slow": True})
    mode: str = Field("plain", title="Mode", description="A word.", json_schema_extra={"advanced": True})


class Fake:
    """Multiplies the pixels; in `prepare` it works until it may go on."""

    info = GeneratorInfo("denoise/fake", "Fake", "Multiplies every pixel.", Task.DENOISE, colour="joint")
    params_type = FakeParams

    def __init__(self, control: Control) -> None:
        self.control = control

    def prepare(self, image: Image, params: FakeParams, context: Context) -> Prepared:
        control = self.control
        control.threads.add(threading.get_ident())
        control.prepared.append(image.shape)
        control.thorough.append(params.thorough)
        context.report.start("Working", 1000)
        offset = context.intensity.offset / context.intensity.scale
        if control.so_far is not None and context.interim is not None:
            context.interim(FakePrepared(control, control.so_far, offset))
        try:
            control.started.set()
            while not control.go_on.is_set():
                context.report.advance()
                time.sleep(0.005)
            if control.fail_in_prepare is not None:
                raise control.fail_in_prepare
        finally:
            control.stopped.set()
        return FakePrepared(control, params.gain, offset)


class Learning(Fake):
    """The same, as one that learns from the image."""

    info = GeneratorInfo("denoise/learning", "Learning", "Learns first.", Task.DENOISE, trains=True)


class Inventing(Fake):
    """The same at twice the size, as one that invents."""

    info = GeneratorInfo("denoise/inventing", "Inventing", "Invents pixels.", Task.DENOISE, invents=True)

    def prepare(self, image: Image, params: FakeParams, context: Context) -> Prepared:
        prepared = super().prepare(image, params, context)
        prepared.spec = BlockSpec("YX", (0, 0), (1, 1), (2, 2))
        return prepared


class FakePrepared(Prepared):
    def __init__(self, control: Control, gain: float, offset: float) -> None:
        self.control, self.gain, self.offset = control, gain, offset
        self.spec = BlockSpec.plane(0)
        self.notes = ("The fake multiplied.",)

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        if self.control.fail_in_apply is not None:
            raise self.control.fail_in_apply
        result = (block + self.offset) * self.gain - self.offset
        return result.repeat_interleave(self.spec.scale[0], -2).repeat_interleave(self.spec.scale[1], -1)


@pytest.fixture(autouse=True)
def _settings_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let no panel remember what was set in another test."""
    monkeypatch.setenv("NAPARI_SYNTH_SETTINGS", str(tmp_path_factory.mktemp("settings")))


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Iterator[Control]:
    """Register the fakes as the only generators."""
    made = Control()
    fakes = {fake.info.id: registry.adopted(fake) for fake in (Fake(made), Learning(made), Inventing(made))}
    monkeypatch.setattr(registry, "_registered", lambda: fakes)
    yield made
    made.go_on.set()


@pytest.fixture
def noisy() -> Callable[..., np.ndarray]:
    """Return an image with noise, uint16."""

    def make(*shape: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).poisson(200, shape).astype(np.uint16)

    return make
