"""The contract: what every registered generator keeps, whoever wrote it."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

import napari_synth
from napari_synth import registry, verbs
from napari_synth.contract.generator import Generator, Task
from napari_synth.contract.params import Params
from napari_synth.core import errors
from napari_synth.core.progress import CancelToken, Progress, Reporter
from napari_synth.engine.image_run import PreparedImage
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import as_mask

# Enough training to show that it runs; how well it restores is the benchmark's business.
BRIEF: dict[str, dict[str, Any]] = {
    "denoise/noise2void": {"steps": 3, "patch": 32, "batch": 4},
    "denoise/zero-shot-noise2noise": {"steps": 3, "patch": 32, "batch": 4},
    "denoise/adapt": {"steps": 3},
    "super-resolution/adapted": {"steps": 2, "patch": 16, "batch": 2},
    "inpaint/adapted": {"steps": 2, "patch": 32, "batch": 1},
    "translate/patch-style": {"steps": 2},
}
LONG = {
    "denoise/noise2void": {"steps": 2, "patch": 32, "batch": 1},
    "denoise/zero-shot-noise2noise": {"steps": 2, "patch": 32, "batch": 1},
    "denoise/adapt": {"steps": 2},
    "super-resolution/adapted": {"steps": 2, "patch": 16, "batch": 1},
    "inpaint/adapted": {"steps": 2, "patch": 32, "batch": 1},
    "translate/patch-style": {"steps": 1, "structure": 7},
}
LASTING = {"denoise/noise2void": 60, "denoise/zero-shot-noise2noise": 200}

# What takes volumes alone has tests of its own.
PLANAR = [generator for generator in registry.generators() if 2 in generator.info.spatial_dims]
every_generator = pytest.mark.parametrize("generator", PLANAR, ids=lambda g: g.info.id)
every_denoiser = pytest.mark.parametrize("generator", registry.generators(Task.DENOISE), ids=lambda g: g.info.id)


def expected(generator: Generator[Params], shape: tuple[int, ...], axes: str = "YX") -> tuple[int, ...]:
    """The shape of a result: that of the image, but twice as fine for what makes images finer."""
    finer = 2 if generator.info.task == Task.SUPER_RESOLUTION else 1
    return tuple(size * finer if axis in "YX" else size for axis, size in zip(axes, shape, strict=True))


def at_every_pixel(generator: Generator[Params], image: np.ndarray) -> np.ndarray:
    """A value for every pixel of the result: that of the image where it lies."""
    finer = [b // a for a, b in zip(image.shape, expected(generator, image.shape), strict=True)]
    return np.kron(image, np.ones(finer, image.dtype))


def brief(generator: Generator[Params]) -> dict[str, Any]:
    return BRIEF.get(generator.info.id, {})


def coloured(generator: Generator[Params], image: np.ndarray, axes: str = "YX") -> Image:
    """An image that the generator takes: gray as colours where it needs them, with a hole where it fills holes."""
    if generator.info.task == Task.INPAINT:
        return Image(image, axes, mask=as_mask(hole(image.shape, axes), Image(image, axes)))
    if not generator.info.needs_colour or "S" in axes:
        return Image(image, axes)
    return Image(np.stack([image, image[::-1], image], -1), f"{axes}S")


def hole(shape: tuple[int, ...], axes: str) -> np.ndarray:
    """A mask of a box in every plane, with a scratch beside it; along all axes but colours."""
    sizes = {axis: size for axis, size in zip(axes, shape, strict=True) if axis != "S"}
    mask = np.zeros(tuple(sizes.values()), bool)
    for start, stop in ((1 / 5, 1 / 4), (1 / 3, 2 / 3)):
        part = {axis: slice(int(size * start), int(size * stop) + 1) for axis, size in sizes.items() if size > 1}
        mask[tuple(part[axis] if axis in part and axis in "YX" else slice(None) for axis in sizes)] = True
    return mask


def given(generator: Generator[Params], image: Image) -> dict[str, Any]:
    """What a run of the generator needs besides the image: a reference of the same kind, which is the image turned over."""
    if generator.info.reference_image != "needed":
        return {}
    flipped = tuple(slice(None, None, -1) if axis in "YX" else slice(None) for axis in image.axes)
    return {"reference": image.with_data(image.data[flipped])}


@functools.cache
def clean(size: int = 96) -> np.ndarray:
    start = 150
    return data.camera()[start : start + size, start : start + size].astype("f4")


def noisy(shape: tuple[int, ...] = (96, 96), dtype: str = "u2", sigma: float = 20.0, seed: int = 0) -> np.ndarray:
    plane = np.pad(clean(), [(0, max(0, n - 96)) for n in shape[-2:]], mode="reflect")[: shape[-2], : shape[-1]]
    image = np.broadcast_to(plane, shape) + np.random.default_rng(seed).normal(0, sigma, shape) + 100
    return np.clip(image, 0, None).astype(dtype)


def run(generator: Generator[Params], image: np.ndarray, axes: str | None = None, **options: Any) -> np.ndarray:
    plain = not generator.info.needs_colour and generator.info.reference_image != "needed"
    if plain and generator.info.task != Task.INPAINT:
        return napari_synth.run(generator.info.id, image, axes=axes, **(brief(generator) | options))
    source = coloured(generator, image, axes or "YX")
    settings = brief(generator) | given(generator, source) | options
    result = napari_synth.run(generator.info.id, source, **settings).data
    return result if source.data is image else result[..., 0]


@every_generator
def test_it_says_what_it_is(generator: Generator[Params]) -> None:
    info = generator.info
    assert info.id == f"{info.task}/{info.name}"
    assert info.title
    assert info.summary.endswith(".")
    assert set(info.spatial_dims) <= {2, 3}
    for name, field in generator.params_type.model_fields.items():
        assert field.title, name
        assert field.description, name
        assert not field.is_required(), name
    assert generator.params_type.parse({}) == generator.params_type()


@every_generator
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f2", "f4", "f8", ">u2"])
def test_shape_and_dtype_are_kept(generator: Generator[Params], dtype: str) -> None:
    result = run(generator, noisy((40, 48), dtype))
    assert result.shape == expected(generator, (40, 48))
    assert result.dtype == np.dtype(dtype).newbyteorder("=")


@every_generator
@pytest.mark.parametrize("shape", [(1, 1), (1, 33), (33, 1), (7, 9), (31, 45)])
def test_tiny_and_odd_sizes(generator: Generator[Params], shape: tuple[int, int]) -> None:
    if generator.info.task == Task.INPAINT and shape == (1, 1):
        with pytest.raises(errors.MaskError, match="no pixel to learn from"):
            run(generator, noisy(shape, "f4"))
        return
    result = run(generator, noisy(shape, "f4"))
    assert result.shape == expected(generator, shape)
    assert np.isfinite(result).all()


@every_generator
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((5, 40, 44), "ZYX"),
        ((4, 40, 44), "TYX"),
        ((2, 40, 44), "CYX"),
        ((40, 44, 3), "YXS"),
        ((2, 2, 3, 32, 33), "TCZYX"),
    ],
)
def test_stacks_channels_colours_and_movies(generator: Generator[Params], shape: tuple[int, ...], axes: str) -> None:
    image = np.random.default_rng(0).poisson(50, shape).astype("u2") if "S" in axes else noisy(shape)
    assert run(generator, image, axes=axes).shape == expected(generator, shape, axes)


@every_generator
def test_constant_images_stay_as_they_are(generator: Generator[Params]) -> None:
    np.testing.assert_allclose(run(generator, np.full((40, 40), 7.5, "f4")), 7.5, atol=1e-3)


@every_generator
def test_nan_and_inf_never_spread(generator: Generator[Params]) -> None:
    image = noisy((48, 48), "f4")
    image[10:14, 20:24], image[30, 31] = np.nan, np.inf
    result = run(generator, image)
    finite = np.isfinite(image) | (hole(image.shape, "YX") & (generator.info.task == Task.INPAINT))
    np.testing.assert_array_equal(np.isfinite(result), at_every_pixel(generator, finite))
    rest = run(generator, noisy((48, 48), "f4"))
    far = np.s_[-8:, :10]
    assert abs(result[far].mean() - rest[far].mean()) < 10


@every_generator
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_results_scale_with_the_image(generator: Generator[Params], scale: float) -> None:
    image = noisy((48, 48), "f8")
    np.testing.assert_allclose(run(generator, image * scale) / scale, run(generator, image), atol=1.0)


@every_generator
def test_same_seed_same_result(generator: Generator[Params]) -> None:
    image = noisy((48, 48))
    np.testing.assert_array_equal(run(generator, image, seed=3), run(generator, image, seed=3))


@every_generator
def test_tile_equals_whole(generator: Generator[Params]) -> None:
    image = noisy((200, 176), "f4")
    source = coloured(generator, image)
    whole = verbs.prepare(generator.info.id, source, brief(generator), **given(generator, source))
    pieces = in_tiles(whole)
    spread = np.ptp(image)
    assert np.abs(whole.compute() - pieces.compute()).max() <= 1e-3 * spread


def in_tiles(prepared: PreparedImage) -> PreparedImage:
    return replace(prepared, options=replace(prepared.options, tile=64))


@every_generator
@pytest.mark.parametrize("stage", ["preparing", "restoring"])
def test_cancel_within_one_block_or_step(generator: Generator[Params], stage: str) -> None:
    token, after = CancelToken(), []

    def watch(progress: Progress) -> None:
        if token.is_cancelled:
            after.append(progress)
        # The first report of a stage comes before its work, the second after a step or a block of it, unless there is only one.
        begun = progress.done or not generator.info.trains or progress.total == 1
        if (progress.stage == "Restoring") == (stage == "restoring") and begun:
            token.cancel()

    # On noisy images nothing is learnt of finer pixels.
    sigma = 1.0 if generator.info.task == Task.SUPER_RESOLUTION else 20.0
    image = coloured(generator, noisy((3, 560, 520), sigma=sigma), "TYX")
    options = given(generator, image)

    def go() -> None:
        prepared = verbs.prepare(
            generator.info.id, image, LONG.get(generator.info.id), progress=watch, cancel=token, **options
        )
        in_tiles(prepared).compute(report=Reporter(watch, token))

    with pytest.raises(errors.Cancelled):
        go()
    assert not after


@every_generator
def test_recipe_repeats_the_run(generator: Generator[Params]) -> None:
    image = coloured(generator, noisy((48, 48)))
    options = given(generator, image)
    prepared = verbs.prepare(generator.info.id, image, brief(generator), seed=5, **options)
    again = napari_synth.run(prepared.recipe.to_yaml(), image, **options)
    np.testing.assert_array_equal(again.data, prepared.compute())


@every_generator
def test_notes_are_sentences_and_none_is_said_twice(generator: Generator[Params]) -> None:
    image = coloured(generator, noisy((48, 48)))
    notes = verbs.prepare(generator.info.id, image, brief(generator), **given(generator, image)).notes
    assert notes or generator.info.task != Task.DENOISE
    assert len(set(notes)) == len(notes)
    assert all(note.endswith(".") for note in notes)


@every_generator
def test_unknown_and_impossible_parameters_are_refused(generator: Generator[Params]) -> None:
    with pytest.raises(errors.InvalidParameterError):
        run(generator, noisy((16, 16)), no_such_parameter=1)
    for name, field in generator.params_type.model_fields.items():
        if field.metadata:
            with pytest.raises(errors.InvalidParameterError, match=name):
                run(generator, noisy((16, 16)), **{name: -1e9})


@every_generator
def test_read_only_and_strided_images(generator: Generator[Params]) -> None:
    image = noisy((80, 96))
    image.setflags(write=False)
    view = image[::2, ::-2]
    np.testing.assert_array_equal(run(generator, view), run(generator, np.ascontiguousarray(view)))


@every_denoiser
def test_noise_is_removed_and_the_mean_is_kept(generator: Generator[Params]) -> None:
    truth = clean() + 100
    image = noisy(dtype="f4")
    steps = {"steps": LASTING[generator.info.id], "batch": 8} if generator.info.id in LASTING else {}
    result = run(generator, image, **steps)
    gained = peak_signal_noise_ratio(truth, result, data_range=255) - peak_signal_noise_ratio(
        truth, image, data_range=255
    )
    assert gained > 2.0
    assert abs(result.mean() - image.mean()) < 2.0


@pytest.mark.parametrize("generator", registry.generators(Task.INPAINT), ids=lambda g: g.info.id)
@pytest.mark.parametrize(("shape", "axes"), [((40, 44), "YX"), ((3, 40, 44), "ZYX"), ((40, 44, 3), "YXS")])
def test_only_holes_are_filled(generator: Generator[Params], shape: tuple[int, ...], axes: str) -> None:
    image = np.random.default_rng(0).integers(50, 200, shape).astype("u2")
    mask = hole(shape, axes)
    result = run(generator, np.where(mask[..., None] if "S" in axes else mask, 9999, image).astype("u2"), axes)
    np.testing.assert_array_equal(result[~mask], image[~mask])
    assert result[mask].min() >= 50
    assert result[mask].max() < 200
