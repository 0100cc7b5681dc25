"""What a repeated run takes from its recipe, and what from the image."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import napari_synth
from napari_synth import registry
from napari_synth.contract.generator import Method
from napari_synth.core.errors import AxesError, ImageFileError, InvalidParameterError, UnknownGeneratorError
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.recipe import Recipe
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image
from napari_synth.verbs import prepare

PIXELS = np.random.default_rng(0).poisson(50, (6, 32, 40)).astype(np.uint16)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the axes of what is restored."""
    axes: list[str] = []
    compute = PreparedImage.compute

    def noted(run: PreparedImage, **options: object) -> object:
        axes.append(run.source.axes)
        return compute(run, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(PreparedImage, "compute", noted)
    return axes


@pytest.mark.parametrize(
    ("image", "axes", "expected"),
    [
        (PIXELS, None, "TYX"),
        (PIXELS[0], None, "YX"),
        (PIXELS, "CYX", "CYX"),
        (Image(PIXELS, "ZYX"), None, "ZYX"),
    ],
    ids=["fits", "other dimensions", "said", "an image with axes"],
)
def test_axes_of_a_recipe_hold_where_they_fit(seen: list[str], image: object, axes: str | None, expected: str) -> None:
    recipe = Recipe(generator="denoise/median", params={"radius": 1}, axes="TYX", device="cpu")
    napari_synth.run(recipe, image, axes=axes)
    assert seen == [expected]


def test_other_weights_than_the_recipe_s_are_warned_of() -> None:
    plane = PIXELS[0]
    own = prepare("denoise/blind", Image(plane, "YX"), device="cpu").recipe
    napari_synth.run(own, plane)
    other = own.model_copy(update={"weights": dict.fromkeys(own.weights, "0" * 64)})
    with pytest.warns(UserWarning, match="differ from those of the recipe"):
        napari_synth.run(other, plane)


@pytest.mark.parametrize(
    ("verb", "generator"),
    [
        ("denoise", "super-resolution/network"),
        ("upscale", "denoise/median"),
        ("make_isotropic", "denoise/median"),
        ("inpaint", "denoise/median"),
        ("translate", "inpaint/biharmonic"),
        ("predict_frames", "denoise/median"),
        ("synthesize", "denoise/median"),
    ],
)
def test_a_generator_of_another_task_is_refused(verb: str, generator: str) -> None:
    call = getattr(napari_synth, verb)
    given = {} if verb == "synthesize" else {"axes": "ZYX"}
    with pytest.raises(UnknownGeneratorError, match=re.escape(generator)):
        call(generator) if verb == "synthesize" else call(PIXELS, generator=generator, **given)
    if verb != "synthesize":
        with pytest.raises(UnknownGeneratorError, match=re.escape(generator)):
            call(PIXELS, generator=registry.found(Method, generator), **given)
        with pytest.raises(UnknownGeneratorError, match="no generator"):
            call(PIXELS, generator=None, **given)


def test_a_masked_array_stays_one_and_what_it_hides_spoils_nothing() -> None:
    pixels = PIXELS[0].copy()
    pixels[5:9, 5:9] = 60000
    masked = np.ma.masked_greater(pixels, 1000)
    result = napari_synth.denoise(masked, "median", radius=1)
    assert isinstance(result, np.ma.MaskedArray)
    np.testing.assert_array_equal(result.mask, masked.mask)
    assert result.data[5:9, 5:9].min() == 60000
    assert result.max() < 100
    finer = napari_synth.upscale(masked, 2, "bicubic")
    assert finer.shape == (64, 80)
    assert finer.mask.sum() == 4 * 16
    assert finer.max() < 120
    filled = napari_synth.inpaint(masked, generator="biharmonic")
    assert not isinstance(filled, np.ma.MaskedArray)
    assert filled.max() < 120
    np.testing.assert_array_equal(filled[~masked.mask], pixels[~masked.mask])


def test_an_xarray_stays_one() -> None:
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(PIXELS[:3], dims=("time", "y", "x"), coords={"time": [0, 1, 2]}, name="cells")
    result = napari_synth.denoise(array, "median", radius=1)
    assert isinstance(result, xarray.DataArray)
    assert result.dims == array.dims
    assert list(result.time) == [0, 1, 2]
    np.testing.assert_array_equal(result.data, napari_synth.denoise(PIXELS[:3], "median", axes="TYX", radius=1))
    assert napari_synth.upscale(array, 2, "bicubic").dims == array.dims


def test_a_file_that_changed_withdraws_the_result(tmp_path: Path) -> None:
    write_image(tmp_path / "a.npy", Image(PIXELS, "ZYX"))
    image = read_image(tmp_path / "a.npy")
    assert napari_synth.denoise(image, "median", radius=1).shape == PIXELS.shape
    (tmp_path / "a.npy").unlink()
    with pytest.raises(ImageFileError, match="vanished"):
        napari_synth.denoise(image, "median", radius=1)


def test_the_dimensions_of_an_xarray_beat_a_recipe_and_a_guess(seen: list[str]) -> None:
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(PIXELS, dims=("z", "y", "x"))
    napari_synth.run(Recipe(generator="denoise/median", params={"radius": 1}, axes="TYX"), array)
    assert seen == ["ZYX"]
    with pytest.raises(AxesError):
        napari_synth.predict_frames(array, 1, "linear")


@pytest.mark.parametrize("span", [(0.0, 2.5e38), (-2.5e38, 2.5e38), (0.0, 1e-38), (1e30, 1.001e30)])
@pytest.mark.parametrize(
    "generator", ["denoise/median", "denoise/blind", "translate/gamma", "super-resolution/bicubic"]
)
def test_intensities_at_the_ends_of_float32_stay_finite_and_in_proportion(
    span: tuple[float, float], generator: str
) -> None:
    plain = np.random.default_rng(0).random((24, 25))
    image = (span[0] + plain * (span[1] - span[0])).astype(np.float32)
    result = napari_synth.run(generator, image, device="cpu")
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    expected = napari_synth.run(generator, plain.astype(np.float32), device="cpu")
    # Of (1e30, 1.001e30) float32 holds few steps.
    back = (result.astype(np.float64) - span[0]) / (span[1] - span[0])
    np.testing.assert_allclose(back, expected, atol=2e-2)


@pytest.mark.parametrize("params", ["radius", [[1, 2]], 5, {1: 2}])
def test_settings_that_are_none_are_refused(params: object) -> None:
    with pytest.raises(InvalidParameterError, match="give each by its name"):
        prepare("denoise/median", PIXELS[0], params)  # type: ignore[arg-type]


def test_what_is_wrong_is_said_briefly() -> None:
    with pytest.raises(UnknownGeneratorError, match="napari-synth list shows all") as unknown:
        prepare("/", PIXELS[0])
    with pytest.raises(AxesError) as axes:
        prepare("denoise/median", PIXELS[0], axes="x" * 3000)
    assert max(len(str(error.value)) for error in (unknown, axes)) < 300
