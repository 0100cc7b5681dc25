"""What is promised of masks: only marked pixels change, nothing that lay under the mask counts, and misfits are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
import zarr

from napari_synth.contract.generator import BlockSpec, Context, Generator, GeneratorInfo, Prepared, Task
from napari_synth.contract.params import Params
from napari_synth.core.errors import MaskError
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import as_mask
from napari_synth.verbs import prepare

AddFake = Callable[[Generator[Any]], None]


class MeanOfKnown(Prepared):
    """Fills with the mean of what is known in the block, after it has spoilt everything else."""

    def __init__(self, spec: BlockSpec, seen: list[torch.Tensor]) -> None:
        self.spec, self._seen = spec, seen

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        self._seen.append(block)
        pixels, holes = block[:, :-1], block[:, -1:].expand_as(block[:, :-1])
        axes = tuple(range(1, block.ndim))
        known = (pixels * (1 - holes)).sum(axes, keepdim=True) / (1 - holes).sum(axes, keepdim=True).clamp_min(1)
        return torch.where(holes > 0, known, pixels + 100.0)


class Fill:
    info = GeneratorInfo("inpaint/fake", "Fake", "Fills with a mean.", Task.INPAINT, colour="joint")

    def __init__(self, spec: BlockSpec | None = None) -> None:
        self.spec = spec or BlockSpec.plane(4)
        self.seen: list[torch.Tensor] = []

    def prepare(self, image: Image, params: Params, context: Context) -> Prepared:
        return MeanOfKnown(self.spec, self.seen)


@pytest.fixture
def fill(fakes: AddFake) -> Fill:
    generator = Fill()
    fakes(generator)
    return generator


def image_of(shape: tuple[int, ...], axes: str, dtype: str = "uint16", seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    return Image(rng.uniform(50, 250, shape).astype(dtype), axes)


def box(shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[..., 10:16, 20:29] = True
    return mask


def fill_in(image: Image, mask: Any, **kwargs: Any) -> np.ndarray:
    result: np.ndarray = prepare("inpaint/fake", replace(image, mask=as_mask(mask, image)), **kwargs).compute()
    return result


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "uint64", "float16", "float32", "float64"])
def test_only_marked_pixels_change(fill: Fill, dtype: str) -> None:
    image = image_of((64, 48), "YX", dtype)
    mask = box((64, 48))
    result = fill_in(image, mask)
    assert result.dtype == image.dtype
    assert np.array_equal(result[~mask], image.data[~mask])
    assert (result[mask] != image.data[mask]).any()


def test_nan_stays_outside_and_goes_inside(fill: Fill) -> None:
    image = image_of((64, 48), "YX", "float32")
    image.data[12, 22] = np.nan
    image.data[40, 5] = np.inf
    result = fill_in(image, box((64, 48)))
    assert np.isfinite(result[12, 22])
    assert np.isposinf(result[40, 5])


def test_what_lies_under_the_mask_does_not_count(fill: Fill) -> None:
    image, mask = image_of((64, 48), "YX"), box((64, 48))
    burnt = replace(image, data=np.where(mask, 65535, image.data).astype("uint16"))
    assert np.array_equal(fill_in(image, mask), fill_in(burnt, mask))


@pytest.mark.parametrize(
    ("axes", "shape", "mask_shape"),
    [
        ("ZYX", (3, 64, 48), (64, 48)),
        ("ZYX", (3, 64, 48), (3, 64, 48)),
        ("TZYX", (2, 3, 64, 48), (3, 64, 48)),
        ("TCYX", (2, 3, 64, 48), (2, 64, 48)),
        ("YXS", (64, 48, 3), (64, 48)),
        ("XYZ", (48, 64, 3), (48, 64)),
    ],
)
def test_a_mask_holds_over_the_axes_that_it_lacks(
    fill: Fill, axes: str, shape: tuple[int, ...], mask_shape: tuple[int, ...]
) -> None:
    image = image_of(shape, axes)
    mask = np.zeros(mask_shape, np.int64)
    mask[(..., slice(10, 16), slice(20, 29))] = 2**40
    result = fill_in(image, mask)
    found = as_mask(mask, image)
    index = tuple(slice(None) if axis in found.axes else None for axis in axes)
    whole = np.broadcast_to((mask != 0)[index], shape)
    assert np.array_equal(result[~whole], image.data[~whole])
    assert (result[whole] != image.data[whole]).mean() > 0.9


def test_a_region_of_a_method_that_needs_the_whole_plane_is_that_of_the_whole(fakes: AddFake) -> None:
    fakes(Fill(BlockSpec.plane(0, multiple=4, whole=True)))
    image, mask = image_of((70, 90), "YX"), box((70, 90))
    run = prepare("inpaint/fake", replace(image, mask=as_mask(mask, image)))
    whole = run.compute()
    assert np.array_equal(run.compute(region={"Y": slice(12, 20), "X": slice(22, 61)}), whole[12:20, 22:61])


def test_blocks_without_a_hole_are_handed_on(fill: Fill) -> None:
    image = image_of((128, 128), "YX")
    fill_in(image, box((128, 128)), tile=32)
    assert sum(len(block) for block in fill.seen) == 1


def test_tiles_read_the_mask_where_the_pixels_are(fakes: AddFake) -> None:
    class Copy(Prepared):
        spec = BlockSpec.plane(4, multiple=4)

        def apply(self, block: torch.Tensor) -> torch.Tensor:
            return block[:, 1:]

    class CopyMask(Fill):
        def prepare(self, image: Image, params: Params, context: Context) -> Prepared:
            return Copy()

    fakes(CopyMask())
    image = Image(np.linspace(0, 1, 70 * 90, dtype="float32").reshape(70, 90), "YX")
    mask = np.random.default_rng(1).random((70, 90)) < 0.3
    top = np.percentile(image.data[~mask], 99.9)
    result = fill_in(image, mask, tile=20)
    assert np.allclose(result[mask], top, atol=1e-5)
    assert np.array_equal(result[~mask], image.data[~mask])


@pytest.mark.parametrize("lazy", [da.from_array, zarr.array])
def test_lazy_images_and_masks(fill: Fill, lazy: Callable[[np.ndarray], Any]) -> None:
    image, mask = image_of((64, 48), "YX"), box((64, 48))
    expected = fill_in(image, mask)
    there = replace(image, data=lazy(image.data))
    run = prepare("inpaint/fake", replace(there, mask=as_mask(lazy(mask), there)))
    assert np.array_equal(run.lazy().compute(), expected)
    assert run.result.mask is None


def test_the_spread_is_zero_where_nothing_was_filled(fill: Fill) -> None:
    image, mask = image_of((64, 64), "YX"), box((64, 64))
    spread = prepare("inpaint/fake", replace(image, mask=as_mask(mask, image))).spread().compute()
    assert (spread[~mask] == 0).all()


def test_channels_have_their_own_holes(fill: Fill) -> None:
    image = image_of((2, 64, 48), "CYX")
    mask = np.zeros((2, 64, 48), bool)
    mask[1, 10:16, 20:29] = True
    result = fill_in(image, mask)
    assert np.array_equal(result[0], image.data[0])
    assert (result[1] != image.data[1]).any()


def test_coloured_masks(fill: Fill) -> None:
    image = image_of((64, 48), "YX")
    drawn = np.zeros((64, 48, 4), np.uint8)
    drawn[..., 3] = 255
    drawn[10:16, 20:29, 0] = 200
    assert np.array_equal(as_mask(Image(drawn, "YXS"), image).data != 0, box((64, 48)))


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.ones((64, 47), bool), "does not fit"),
        (np.ones((64, 48), np.float32), "ambiguous"),
        (np.ones(64, bool), "does not fit"),
        (np.ones((2, 2, 64, 48), bool), "does not fit"),
        (Image(np.ones((64, 47), np.uint8), "YX"), "47 pixels along X"),
        (Image(np.ones((2, 64, 48), np.uint8), "TYX"), "no axis that the image lacks"),
    ],
)
def test_a_mask_that_does_not_fit_is_told(mask: Any, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        as_mask(mask, image_of((64, 48), "YX"))


def test_an_empty_mask_none_at_all_and_one_that_covers_everything(fill: Fill) -> None:
    image = image_of((64, 48), "YX")
    with pytest.raises(MaskError, match="marks no pixel"):
        fill_in(image, np.zeros((64, 48), bool))
    with pytest.raises(MaskError, match="There is no mask"):
        prepare("inpaint/fake", image)
    with pytest.raises(MaskError, match="no pixel to learn from"):
        fill_in(image, np.ones((64, 48), bool))


def test_other_tasks_leave_a_mask_aside(fakes: AddFake) -> None:
    image, mask = image_of((64, 48), "YX"), box((64, 48))
    plain = prepare("denoise/fake-plane", image).compute()
    assert np.array_equal(prepare("denoise/fake-plane", replace(image, mask=as_mask(mask, image))).compute(), plain)


@pytest.mark.parametrize("is_lazy", [False, True])
@pytest.mark.parametrize("value", [1, 255, 0.5])
def test_floats_of_two_values_are_a_mask(value: float, is_lazy: bool) -> None:
    image = image_of((64, 48), "YX")
    mask: Any = box((64, 48)).astype(np.float32) * value
    mask = da.from_array(mask, chunks=20) if is_lazy else mask
    np.testing.assert_array_equal(np.asarray(as_mask(mask, image).data) != 0, box((64, 48)))


@pytest.mark.parametrize("values", [[0, 1, 0.5], [0, -1, 0], [0, np.nan, 1], [0, 1, 255]])
def test_floats_that_are_no_mask_are_told(values: list[float]) -> None:
    mask = np.zeros((64, 48), np.float32)
    mask[0, :3] = values
    with pytest.raises(MaskError, match="ambiguous"):
        as_mask(mask, image_of((64, 48), "YX"))


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_a_drawing_marks_what_is_not_black_or_not_transparent(samples: int) -> None:
    image, marked = image_of((64, 48), "YX"), box((64, 48))
    drawn = np.zeros((64, 48, samples), np.uint8)
    if samples == 3:
        drawn[marked, 2] = 9
    else:
        # Black ink on nothing at all.
        drawn[marked, -1] = 128
    for given in (drawn, Image(drawn, "YXS")):
        np.testing.assert_array_equal(as_mask(given, image).data != 0, marked)


def test_a_drawing_is_not_taken_for_planes() -> None:
    image = image_of((5, 64, 3), "ZYX")
    mask = np.zeros((5, 64, 3), bool)
    mask[2, 3, 1] = True
    assert as_mask(mask, image).axes == "ZYX"
