from __future__ import annotations

import threading

import dask.array as da
import numpy as np
import pytest
import torch
import zarr

import napari_synth
from napari_synth import verbs
from napari_synth.contract.generator import BlockSpec, Generator, GeneratorInfo, Prepared, Task
from napari_synth.core import errors
from napari_synth.core.progress import CancelToken, Reporter
from napari_synth.imaging.image import Image

pytestmark = pytest.mark.usefixtures("fakes")
DTYPES = ["u1", "i1", "u2", ">u2", "i4", "u4", "i8", "u8", "f2", "f4", ">f4", "f8"]


def scene(shape: tuple[int, ...], dtype: str = "f4", seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) * 100).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (37, 53), (5, 40, 41)])
def test_tile_equals_whole_for_every_dtype_and_size(dtype: str, shape: tuple[int, ...]) -> None:
    image = scene(shape, dtype)
    whole = napari_synth.run("denoise/fake-plane", image)
    tiled = napari_synth.run("denoise/fake-plane", image, tile=16)
    assert whole.dtype == np.dtype(dtype).newbyteorder("=")
    assert whole.shape == shape
    if min(shape[-2:]) > 4:
        inner = (..., slice(4, -4), slice(4, -4))
        np.testing.assert_array_equal(whole[inner], tiled[inner])
        assert not np.array_equal(whole, image)


def test_blocks_at_opposite_borders_are_cropped_each_at_its_own_place() -> None:
    image = scene((64, 32))
    whole = napari_synth.run("denoise/fake-plane", image)
    tiled = napari_synth.run("denoise/fake-plane", image, tile=32)
    np.testing.assert_array_equal(whole[4:-4, 4:-4], tiled[4:-4, 4:-4])


def test_volume_tile_equals_whole() -> None:
    image = scene((20, 40, 44))
    whole = napari_synth.run("denoise/fake-volume", image)
    tiled = napari_synth.run("denoise/fake-volume", image, tile=16)
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(whole[inner], tiled[inner], rtol=1e-6)


def test_result_is_what_the_generator_computes_in_counts() -> None:
    image = scene((30, 40), "u2") + 1000
    result = napari_synth.run("denoise/fake-plane", image)
    window = image.astype(float)
    expected = (window[10, 8:13].sum() + window[8:13, 10].sum()) / 10
    assert abs(result[10, 10] - expected) <= 0.51


def test_integer_results_are_rounded_and_clipped() -> None:
    image = np.full((16, 16), 250, np.uint8)
    image[0, 0] = 0
    result = napari_synth.run("denoise/fake-plane", image, gain=2.0)
    assert result.dtype == np.uint8
    assert result[8, 8] == 255


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_extreme_integers_do_not_wrap(dtype: str) -> None:
    limits = np.iinfo(dtype)
    image = np.array([[limits.min, limits.max]] * 2, dtype).repeat(16, 0).repeat(16, 1)
    result = napari_synth.run("denoise/fake-plane", image, gain=3.0, dtype="source")
    assert result[16, 28] == limits.max


def test_axes_that_a_generator_does_not_take_are_mapped_over() -> None:
    image = scene((2, 3, 4, 24, 28), "u2")
    result = napari_synth.run("denoise/fake-plane", image, axes="TCZYX")
    single = napari_synth.run("denoise/fake-plane", image[1, :, 2], axes="CYX")
    np.testing.assert_array_equal(result[1, :, 2], single)


def test_channels_may_be_restored_from_blocks_of_different_axes(fakes) -> None:
    class Mixed:
        info = GeneratorInfo("denoise/mixed", "Mixed", "Volumes where the image is bright.", Task.DENOISE)

        def prepare(self, image, params, context) -> Prepared:
            bright = context.statistics.mean > 100
            return Hungry(10**9, spec=BlockSpec.volume("ZYX", (1, 4, 4)) if bright else BlockSpec.plane(4))

    fakes(Mixed())
    image = scene((2, 5, 40, 44)) + np.array([0, 1000]).reshape(2, 1, 1, 1)
    result = napari_synth.run("denoise/mixed", image, axes="CZYX", tile=16)
    assert (result > image).all()


def test_unusual_axis_order_gives_the_same_pixels() -> None:
    image = scene((3, 24, 28))
    straight = napari_synth.run("denoise/fake-volume", image, axes="ZYX")
    turned = napari_synth.run("denoise/fake-volume", image.transpose(2, 0, 1), axes="XZY")
    np.testing.assert_allclose(turned.transpose(1, 2, 0), straight, rtol=1e-6)


def test_alpha_is_left_as_it_is() -> None:
    image = scene((24, 28, 4), "u1")
    for name in ("plane", "colour"):
        result = napari_synth.run(f"denoise/fake-{name}", image)
        np.testing.assert_array_equal(result[..., 3], image[..., 3])
        assert not np.array_equal(result[..., :3], image[..., :3])


def test_nan_and_inf_stay_where_they_are_and_spread_nowhere() -> None:
    image = scene((40, 40))
    image[5, 6], image[20, 21], image[30, 31] = np.nan, np.inf, -np.inf
    result = napari_synth.run("denoise/fake-plane", image)
    np.testing.assert_array_equal(np.isfinite(result), np.isfinite(image))
    assert np.isnan(result[5, 6])
    assert result[20, 21] == np.inf
    assert result[30, 31] == -np.inf


def test_source_is_never_written_to() -> None:
    image = scene((40, 40))
    image[3, 3] = np.nan
    image.setflags(write=False)
    before = image.copy()
    napari_synth.run("denoise/fake-plane", image[::2, ::-1])
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("wrap", [lambda a: da.from_array(a, chunks=(1, 17, 19)), zarr.array], ids=["dask", "zarr"])
def test_lazy_in_gives_lazy_out_with_the_same_pixels(wrap) -> None:
    image = scene((3, 50, 60), "u2")
    lazy = napari_synth.run("denoise/fake-plane", wrap(image), axes="ZYX", tile=16)
    assert isinstance(lazy, da.Array)
    assert lazy.dtype == image.dtype
    eager = napari_synth.run("denoise/fake-plane", image, axes="ZYX", tile=16)
    np.testing.assert_array_equal(lazy.compute(), eager)


def test_a_region_equals_the_same_pixels_of_the_whole() -> None:
    prepared = verbs.prepare("denoise/fake-plane", Image.from_array(scene((3, 4, 70, 61)), "TZYX"))
    whole = prepared.compute()
    part = prepared.compute(region={"T": 1, "Z": 2, "Y": slice(11, 40), "X": slice(13, 39)})
    np.testing.assert_allclose(part, whole[1, 2, 11:40, 13:39], rtol=1e-6)


@pytest.mark.parametrize("region", [{"Q": 0}, {"Y": slice(50, 60)}, {"T": 7}])
def test_a_region_outside_the_image_is_refused(region) -> None:
    prepared = verbs.prepare("denoise/fake-plane", Image.from_array(scene((3, 40, 40)), "TYX"))
    with pytest.raises(errors.AxesError):
        prepared.compute(region=region)


def test_finer_results_have_finer_spacing() -> None:
    source = Image(scene((20, 24), "u1"), "YX", {"Y": 0.5, "X": 0.25}, {"Y": "micrometer", "X": "micrometer"})
    prepared = verbs.prepare("denoise/fake-finer", source, tile=8)
    assert prepared.shape == (40, 48)
    assert prepared.result.spacing == {"Y": 0.25, "X": 0.125}
    np.testing.assert_array_equal(prepared.compute(), prepared.lazy().compute())
    np.testing.assert_array_equal(prepared.compute()[8:-8:2, 8:-8:2], prepared.compute()[9:-8:2, 9:-8:2])


def test_out_is_written_block_by_block() -> None:
    image = scene((40, 50), "u2")
    prepared = verbs.prepare("denoise/fake-plane", Image.from_array(image), tile=16)
    target = zarr.zeros(prepared.shape, dtype="u2", chunks=(16, 16))
    assert prepared.compute(out=target) is target
    np.testing.assert_array_equal(target[:], prepared.compute())


def test_spread_is_zero_for_a_symmetric_generator_and_has_no_offset() -> None:
    image = scene((32, 32)) + 500
    spread = verbs.prepare("denoise/fake-plane", Image.from_array(image)).spread().compute()
    assert spread.dtype == np.float32
    assert spread.max() < 1e-3


def test_cancel_stops_within_one_block() -> None:
    token, seen = CancelToken(), []

    def watch(progress) -> None:
        seen.append(progress)
        if progress.done >= 8:
            token.cancel()

    prepared = verbs.prepare("denoise/fake-plane", Image.from_array(scene((40, 256, 256)), "ZYX"), tile=256)
    with pytest.raises(errors.Cancelled):
        prepared.compute(report=Reporter(watch, token))
    assert seen[-1].done <= 12
    assert seen[-1].total == 40


def test_progress_counts_up_to_its_total_and_tells_the_time_left() -> None:
    seen = []
    napari_synth.run("denoise/fake-plane", scene((64, 64)), tile=16, progress=seen.append)
    assert seen[-1].done == seen[-1].total
    assert seen[-1].remaining == 0
    assert any(progress.stage == "Preparing" for progress in seen)


class Hungry(Prepared):
    """Fits blocks up to a limit of pixels, and then only from the n-th call on."""

    def __init__(self, limit: int, fails_at: int = 0, spec: BlockSpec | None = None) -> None:
        self.spec = spec or BlockSpec.plane(0)
        self.limit, self.fails_at, self.calls = limit, fails_at, 0

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if block.numel() > self.limit and self.calls > self.fails_at:
            raise torch.OutOfMemoryError("injected")
        return block + 1


def hungry(limit: int, fails_at: int = 0) -> Generator:
    class HungryGenerator:
        info = GeneratorInfo("denoise/hungry", "Hungry", "Takes memory.", Task.DENOISE)

        def prepare(self, image, params, context) -> Prepared:
            return Hungry(limit, fails_at)

    return HungryGenerator()


@pytest.mark.parametrize("fails_at", [0, 1, 3])
def test_out_of_memory_at_any_block_goes_on_with_smaller_ones(fakes, fails_at: int) -> None:
    fakes(hungry(200 * 200, fails_at))
    image, messages = scene((5, 600, 520)), []
    result = napari_synth.run("denoise/hungry", image, progress=lambda p: messages.append(p.message))
    spread = image.max() - image.min()
    assert ((result - image) > 0.5 * spread).all()
    assert any("smaller blocks" in message for message in messages)


def test_out_of_memory_at_the_floor_offers_the_cpu(fakes) -> None:
    fakes(hungry(10))
    with pytest.raises(errors.OutOfMemoryError, match="cpu"):
        napari_synth.run("denoise/hungry", scene((100, 100)))


def test_out_of_memory_never_changes_a_tile_that_the_user_set(fakes) -> None:
    fakes(hungry(64 * 64))
    with pytest.raises(errors.OutOfMemoryError, match="128"):
        napari_synth.run("denoise/hungry", scene((200, 200)), tile=128)


class Greedy:
    info = GeneratorInfo("denoise/greedy", "Greedy", "Takes memory while it learns.", Task.DENOISE)

    def prepare(self, image, params, context) -> Prepared:
        raise torch.OutOfMemoryError("injected")


def test_out_of_memory_while_preparing_is_said(fakes) -> None:
    fakes(Greedy())
    with pytest.raises(errors.OutOfMemoryError, match="Greedy"):
        napari_synth.run("denoise/greedy", scene((8, 8)))


def test_a_block_that_cannot_be_read_is_said() -> None:
    def broken(block_info=None):
        if block_info[None]["chunk-location"] == (1, 1):
            raise OSError("disk is gone")
        return np.ones((64, 64), "u2")

    lazy = da.map_blocks(broken, chunks=((64, 64), (64, 64)), dtype="u2", meta=np.empty((0, 0), "u2"))
    with pytest.raises(errors.InvalidImageError, match="A part of the image cannot be read") as caught:
        napari_synth.run("denoise/fake-plane", lazy).compute()
    assert "disk is gone" in str(caught.value.__cause__)


class Failing:
    info = GeneratorInfo("denoise/failing", "Failing", "Fails.", Task.DENOISE)

    def prepare(self, image, params, context) -> Prepared:
        raise RuntimeError("deep inside torch")


def test_errors_of_torch_never_reach_the_user_raw(fakes) -> None:
    fakes(Failing())
    with pytest.raises(errors.GeneratorError, match="Failing failed on CPU") as caught:
        napari_synth.run("denoise/failing", scene((8, 8)))
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert not isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((0, 5)), errors.InvalidImageError),
        (np.zeros((5, 5), complex), errors.InvalidImageError),
        (np.zeros((5, 5), bool), errors.InvalidImageError),
        (np.full((5, 5), np.nan), errors.InvalidImageError),
        (np.zeros(5), errors.AxesError),
        (np.zeros((2,) * 7), errors.AxesError),
    ],
)
def test_what_is_no_image_is_refused(image: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error):
        napari_synth.run("denoise/fake-plane", image)


@pytest.mark.parametrize("arguments", [{"gain": 0.0}, {"gain": "much"}, {"gian": 1.0}, {"tile": 0}])
def test_wrong_parameters_are_refused(arguments) -> None:
    with pytest.raises(errors.InvalidParameterError):
        napari_synth.run("denoise/fake-plane", np.zeros((5, 5)), **arguments)


def test_an_unknown_generator_names_near_ones() -> None:
    with pytest.raises(errors.UnknownGeneratorError, match="fake-plane"):
        napari_synth.denoise(np.zeros((5, 5)), "fake-plan")


def test_a_missing_axis_is_named() -> None:
    with pytest.raises(errors.AxesError, match="Z"):
        napari_synth.run("denoise/fake-volume", np.zeros((5, 5)))


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(errors.DeviceError):
        napari_synth.run("denoise/fake-plane", np.zeros((5, 5)), device=device)


def test_constant_images_stay_constant() -> None:
    np.testing.assert_array_equal(napari_synth.run("denoise/fake-plane", np.full((20, 20), 7, "u1")), 7)


def test_recipe_repeats_the_run() -> None:
    image = scene((40, 50), "u2")
    prepared = verbs.prepare("denoise/fake-plane", Image.from_array(image), {"gain": 1.5}, tile=16)
    again = napari_synth.run(prepared.recipe.to_yaml(), image)
    np.testing.assert_array_equal(prepared.compute(), again)
    assert prepared.recipe.source.shape == (40, 50)


def test_two_threads_may_run_at_once() -> None:
    image, results = scene((64, 64)), []
    threads = [
        threading.Thread(target=lambda: results.append(napari_synth.run("denoise/fake-plane", image, tile=16)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, results[0])
