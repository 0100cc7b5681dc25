"""A run that is limited to a region: inside it is the result of the whole image, outside it the source; recipes repeat it."""

from __future__ import annotations

import numpy as np
import pytest

import napari_synth
from napari_synth.cli.app import main
from napari_synth.core.errors import AxesError, InvalidParameterError, MaskError, RecipeError
from napari_synth.engine.recipe import Recipe, RegionRecord
from napari_synth.engine.verdict import verdicts
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image
from napari_synth.spelling import as_command, as_python

PART = {"Y": (10, 80), "X": (5, 60), "T": 1}


@pytest.fixture(scope="module")
def movie() -> np.ndarray:
    return np.random.default_rng(1).poisson(100, (3, 100, 90)).astype(np.uint16)


@pytest.fixture(scope="module")
def whole(movie) -> np.ndarray:
    return napari_synth.denoise(movie, "median", axes="TYX", radius=2)


def test_inside_is_the_result_of_the_whole_image_and_outside_the_source(movie, whole) -> None:
    expected = movie.copy()
    expected[1, 10:80, 5:60] = whole[1, 10:80, 5:60]
    for tile in (None, 32):
        made = napari_synth.denoise(movie, "median", axes="TYX", radius=2, region=PART, tile=tile)
        assert np.array_equal(made, expected)


def test_labels_are_a_region_of_every_frame(movie, whole) -> None:
    labels = np.zeros((100, 90), int)
    labels[20:30, 20:50] = 3
    labels[25:60, 30:35] = 7
    run = napari_synth.prepare("denoise/median", movie, {"radius": 2}, axes="TYX", region=labels)
    expected = np.where(labels > 0, whole, movie)
    assert np.array_equal(run.compute(), expected)
    assert np.array_equal(run.lazy().compute(), expected)
    assert run.recipe.region.bounds == {"Y": (20, 60), "X": (20, 50)}
    assert "the rest" not in run.notes[-1]
    assert run.notes[-1].startswith("Only a region was worked on (what was drawn within Y 20 to 59, X 20 to 49)")


def test_only_what_was_worked_on_is_judged(movie) -> None:
    part = napari_synth.prepare("denoise/median", movie, {"radius": 2}, axes="TYX", region=PART)
    (said,) = verdicts(part, part.compute())
    cut = napari_synth.prepare("denoise/median", movie[1, 10:80, 5:60], {"radius": 2})
    (alone,) = verdicts(cut, cut.compute())
    assert said.split("(")[0] == alone.split("(")[0]
    labels = np.zeros((100, 90), int)
    labels[10:80, 5:60] = 1
    drawn = napari_synth.prepare("denoise/median", movie[1], {"radius": 2}, region=labels)
    assert verdicts(drawn, drawn.compute())[0].split("(")[0] == alone.split("(")[0]


def test_a_channel_is_a_region(movie, whole) -> None:
    one = napari_synth.denoise(movie, "median", axes="CYX", radius=2, region={"C": 1})
    assert np.array_equal(one[1], whole[1])
    assert np.array_equal(one[[0, 2]], movie[[0, 2]])
    run = napari_synth.prepare("denoise/median", movie, axes="CYX", region={"C": 1})
    assert [sentence[:10] for sentence in verdicts(run, run.compute())] == ["Channel 2:"]


def test_a_larger_result_is_cropped_and_keeps_its_spacing(movie) -> None:
    image = Image(movie[0], "YX", spacing={"Y": 0.5, "X": 0.5})
    whole = napari_synth.upscale(image, 1.7, "lanczos").data
    run = napari_synth.prepare(
        "super-resolution/lanczos", image, {"factor": 1.7}, region={"Y": (11, 51), "X": slice(3, 43)}
    )
    made = run.compute()
    assert made.shape == run.shape == run.result.data.shape
    first = [int(np.ceil(at * 1.7 - 0.5)) for at in (11, 3)]
    assert np.array_equal(made, whole[first[0] : first[0] + made.shape[0], first[1] : first[1] + made.shape[1]])
    assert np.array_equal(run.lazy().compute(), made)
    assert run.result.spacing["Y"] == pytest.approx(0.5 / 1.7)
    assert "cropped" in run.notes[-1]


def test_filling_is_limited_too(movie) -> None:
    mask = np.zeros((100, 90), bool)
    mask[40:44] = True
    made = napari_synth.inpaint(movie[0], mask, "biharmonic", region={"X": (0, 40)})
    assert np.array_equal(made[:, 40:], movie[0][:, 40:])
    assert (made[40:44, :40] != movie[0][40:44, :40]).any()


def test_a_recipe_holds_the_region_and_repeats_it(movie) -> None:
    run = napari_synth.prepare("denoise/median", movie, {"radius": 2}, axes="TYX", region=PART)
    recipe = Recipe.from_yaml(run.recipe.to_yaml())
    assert np.array_equal(napari_synth.run(recipe, movie), run.compute())
    assert np.array_equal(
        napari_synth.run(recipe, movie, region={}), napari_synth.denoise(movie, "median", axes="TYX", radius=2)
    )
    assert "region={'Y': (10, 80), 'X': (5, 60), 'T': (1, 2)}" in as_python(recipe)
    assert "--region Y=10:80,X=5:60,T=1:2" in as_command(recipe)
    with pytest.raises(AxesError, match="does not lie in the image"):
        napari_synth.run(recipe, movie[:, :50])


def test_a_region_that_was_drawn_is_given_again(movie) -> None:
    labels = np.zeros((100, 90), int)
    labels[20:30, 20:50] = 1
    recipe = napari_synth.prepare("denoise/median", movie, axes="TYX", region=labels).recipe
    assert ", region=region" in as_python(recipe)
    with pytest.raises(MaskError, match="was drawn"):
        napari_synth.run(recipe, movie)
    assert napari_synth.run(recipe, movie, region=labels).shape == movie.shape


@pytest.mark.parametrize(
    ("region", "error"),
    [
        ({"Q": (0, 1)}, AxesError),
        ({"Y": (50, 20)}, AxesError),
        ({"Y": (0, 101)}, AxesError),
        ({"Y": "x"}, AxesError),
        ({"Y": (0.5, 3)}, AxesError),
        (np.zeros((100, 90), int), MaskError),
        (np.zeros((9, 9), int), MaskError),
    ],
)
def test_a_region_that_is_none_is_one_sentence(movie, region, error) -> None:
    with pytest.raises(error):
        napari_synth.denoise(movie, "median", axes="TYX", region=region)


def test_frames_and_new_images_take_no_region(movie) -> None:
    with pytest.raises(InvalidParameterError, match="leave the region"):
        napari_synth.run("predict-frames/optical-flow", movie, count=1, axes="TYX", region={"T": 1})


def test_the_command_line_takes_bounds_and_repeats_them(movie, tmp_path) -> None:
    source, target, again = (tmp_path / name for name in ("in.ome.tif", "out.ome.tif", "again.ome.tif"))
    write_image(source, Image(movie, "TYX"))
    words = ["denoise", str(source), str(target), "--generator", "median", "--radius", "2", "--quiet"]
    assert main([*words, "--region", "Y=10:80,X=5:60,T=1"]) == 0
    made = read_image(target).read()
    assert np.array_equal(made, napari_synth.denoise(movie, "median", axes="TYX", radius=2, region=PART))
    recipe = f"{target}.recipe.yaml"
    assert main(["run", recipe, str(source), str(again), "--quiet"]) == 0
    assert np.array_equal(read_image(again).read(), made)
    assert main([*words, "--overwrite", "--region", "all of it"]) == 2


def test_bounds_are_read_as_they_are_written() -> None:
    record = RegionRecord(bounds={"T": (0, 5), "Y": (10, 80)})
    assert record.as_text() == "T=0:5,Y=10:80"
    assert RegionRecord.from_text(record.as_text()) == record
    for text in ("", "Y", "Y=9:3", "S=0:1", "Y=-4:3", "Y=1:2:3"):
        with pytest.raises(AxesError, match="cannot be"):
            RegionRecord.from_text(text)
    with pytest.raises(RecipeError, match="region"):
        Recipe.from_dict({"generator": "denoise/median", "region": {"bounds": {"S": [0, 1]}}})


def test_a_result_is_mixed_with_its_source_and_the_recipe_says_so(movie, whole) -> None:
    run = napari_synth.prepare("denoise/median", movie, {"radius": 2}, axes="TYX", region=PART, blend=0.25)
    made = run.compute()
    expected = movie.astype(float)
    expected[1, 10:80, 5:60] += 0.25 * (whole[1, 10:80, 5:60].astype(float) - movie[1, 10:80, 5:60])
    assert np.array_equal(made, np.round(expected))
    assert made.dtype == movie.dtype
    recipe = Recipe.from_yaml(run.recipe.to_yaml())
    assert recipe.blend == 0.25
    assert np.array_equal(napari_synth.run(recipe, movie), made)
    assert "blend=0.25" in as_python(recipe)
    assert np.array_equal(napari_synth.run(recipe, movie, blend=1.0, region={}), whole)
    with pytest.raises(InvalidParameterError, match="another grid"):
        napari_synth.upscale(movie[0], 2, "lanczos", blend=0.5)
    with pytest.raises(RecipeError, match="blend"):
        napari_synth.denoise(movie[0], "median", blend=1.5)
