from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from napari_synth import registry
from napari_synth.contract.generator import BlockSpec, Context, GeneratorInfo, Prepared, Task
from napari_synth.contract.params import NoParams
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.resampling import resized
from napari_synth.imaging.image import Image
from napari_synth.verbs import prepare


class Resized(Prepared):
    """Repeats every pixel, so that the runner has to bring it to the size that was asked for."""

    def __init__(self, spec: BlockSpec) -> None:
        self.spec = spec

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        for axis, scale in enumerate(self.spec.scale, 2):
            block = block.repeat_interleave(scale, axis)
        return block


class Resize:
    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        "super-resolution/resize", "Resize", "Resizes.", Task.SUPER_RESOLUTION
    )
    size: ClassVar[tuple[int, ...]] = (1, 1)
    scale: ClassVar[int] = 1
    kernel: ClassVar[Any] = "cubic"

    def prepare(self, image: Image, params: NoParams, context: Context) -> Prepared:
        n = len(self.size)
        axes = "ZYX"[-n:]
        spec = BlockSpec(axes, (8,) * n, (1,) * n, (self.scale,) * n, result=self.size, kernel=self.kernel)
        return Resized(spec)


@pytest.fixture
def resize(monkeypatch: pytest.MonkeyPatch):
    def run(image: Image, size: tuple[int, ...], *, tile: int | None = None, **how: Any) -> PreparedImage:
        generator = type("Sized", (Resize,), {"size": size, **how})()
        monkeypatch.setattr(registry, "_registered", lambda: {"super-resolution/resize": registry.adopted(generator)})
        return prepare("super-resolution/resize", image, tile=tile, device="cpu")

    return run


@pytest.mark.parametrize("kernel", ["cubic", "lanczos"])
@pytest.mark.parametrize("size", [(64, 96), (48, 33), (20, 17), (100, 7)])
def test_it_equals_pillow(kernel: Any, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((32, 48)).astype(np.float32)
    method = {"cubic": Pillow.Resampling.BICUBIC, "lanczos": Pillow.Resampling.LANCZOS}[kernel]
    expected = np.asarray(Pillow.fromarray(image).resize(size[::-1], method))
    result = resized(torch.from_numpy(image), size, kernel).numpy()
    np.testing.assert_allclose(result, expected, atol=2e-6)


@given(st.integers(2, 40), st.integers(0, 60))
def test_a_finer_ramp_between_the_outer_edges_stays_one(size: int, more: int) -> None:
    result = size + more
    ramp = torch.arange(size) + 0.5
    wanted = (torch.arange(result) + 0.5) * size / result
    inner = (wanted > 3) & (wanted < size - 3)
    assert torch.allclose(resized(ramp, (result,))[inner], wanted[inner], atol=1e-4)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("size", [(60, 100), (61, 75), (123, 88), (45, 50)])
def test_tiles_equal_the_whole_at_any_ratio(resize, size: tuple[int, int], scale: int) -> None:
    image = Image.from_array(np.random.default_rng(0).random((45, 50)).astype(np.float32), "YX")
    whole = resize(image, size, scale=scale).compute()
    assert whole.shape == size
    run = resize(image, size, scale=scale, tile=13)
    np.testing.assert_allclose(run.compute(), whole, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(run.lazy()), run.compute())


def test_a_region_gives_its_pixels_of_the_whole(resize) -> None:
    image = Image.from_array(np.random.default_rng(0).random((45, 50)).astype(np.float32), "YX")
    run = resize(image, (61, 75), tile=16)
    part = run.compute(region={"Y": slice(10, 30), "X": slice(5, 50)})
    top, left = 14, 7
    np.testing.assert_allclose(part, run.compute()[top : top + part.shape[0], left : left + part.shape[1]], atol=1e-6)


def test_the_extent_in_space_stays(resize) -> None:
    image = Image(np.zeros((4, 45, 50), np.uint8), "ZYX", {"Z": 2.0, "Y": 0.5, "X": 0.25})
    result = resize(image, (9, 61, 75)).result
    assert result.data.shape == (9, 61, 75)
    for axis in "ZYX":
        extent = image.sizes[axis] * image.spacing[axis]
        assert result.sizes[axis] * result.spacing[axis] == pytest.approx(extent)


def test_nan_stays_where_it_was_and_does_not_spread(resize) -> None:
    pixels = np.random.default_rng(0).random((20, 24)).astype(np.float32)
    pixels[5, 7] = np.nan
    result = resize(Image.from_array(pixels, "YX"), (40, 48), tile=9).compute()
    lost = np.isnan(result)
    assert lost[10:12, 14:16].all()
    assert lost.sum() == 4


def test_alpha_follows(resize) -> None:
    pixels = np.zeros((20, 24, 4), np.uint8)
    pixels[:, 12:, 3] = 200
    result = resize(Image.from_array(pixels, "YXS"), (30, 36)).compute()
    assert result.shape == (30, 36, 4)
    assert (result[:, :18, 3] == 0).all()
    assert (result[:, 18:, 3] == 200).all()
