from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.layers._source import layer_source

from napari_synth.core.errors import AxesError, ImageFileError, InvalidImageError
from napari_synth.core.progress import CancelToken, Progress
from napari_synth.files import write_image
from napari_synth.gui.jobs.requests import RestoreRequest
from napari_synth.gui.jobs.restore import restore, restore_region
from napari_synth.gui.layers.appearance import appearance
from napari_synth.gui.layers.images import full_resolution, guess_layer_axes, to_image
from napari_synth.gui.layers.marks import PREVIEW, is_source, kind_of, mark
from napari_synth.gui.layers.placement import Placement, refinement
from napari_synth.gui.layers.viewer_layers import fresh_name
from napari_synth.gui.settings import RunSettings
from napari_synth.imaging.image import Image


def layer(shape: tuple[int, ...] = (8, 10), **kwargs: Any) -> ImageLayer:
    return ImageLayer(np.zeros(shape, "u2"), contrast_limits=(0, 100), **kwargs)


def test_axes_come_from_labels() -> None:
    assert guess_layer_axes(layer((4, 8, 10), axis_labels=("time", "y", "x"))) == "TYX"


def test_default_labels_say_nothing() -> None:
    assert layer((20, 8, 10)).axis_labels == ("-3", "-2", "-1")
    assert guess_layer_axes(layer((20, 8, 10))) == "ZYX"
    assert guess_layer_axes(layer((3, 8, 10))) == "CYX"


def test_colour_samples_are_an_axis_of_the_image_but_not_of_the_layer() -> None:
    colour = layer((8, 10, 3), rgb=True, scale=(2, 3), units=("um", "um"))
    assert guess_layer_axes(colour) == "YXS"
    image = to_image(colour, "YXS")
    assert image.shape == (8, 10, 3)
    assert image.spacing == {"Y": 2, "X": 3}
    assert image.units == {"Y": "micrometer", "X": "micrometer"}


def test_an_rgb_shape_without_the_flag_is_a_stack() -> None:
    assert guess_layer_axes(layer((9, 10, 3), rgb=False)) == "ZYX"


def test_pixel_units_are_no_units_and_a_flipped_axis_has_a_positive_spacing() -> None:
    image = to_image(layer(scale=(-0.5, 2)), "YX")
    assert image.units == {}
    assert image.spacing == {"Y": 0.5, "X": 2}


def test_the_image_shares_the_layers_pixels_and_reads_none() -> None:
    source = layer()
    assert to_image(source, "YX").data is source.data
    lazy = da.from_array(np.zeros((8, 10), "u2")).map_blocks(
        lambda block: 1 / 0, dtype="u2", meta=np.empty((0, 0), "u2")
    )
    shown = layer()
    shown._data = lazy
    assert to_image(shown, "YX").data is lazy


def test_multiscale_gives_its_finest_level() -> None:
    levels = [np.zeros((64, 64), "u2"), np.zeros((32, 32), "u2")]
    pyramid = ImageLayer(levels, multiscale=True, contrast_limits=(0, 1))
    assert full_resolution(pyramid) is levels[0]
    assert to_image(pyramid, "YX").shape == (64, 64)


def test_what_cannot_be_an_image_is_said() -> None:
    with pytest.raises(AxesError):
        to_image(layer(), "ZYX")
    with pytest.raises(InvalidImageError, match="bool"):
        to_image(ImageLayer(np.zeros((4, 4), bool)), "YX")


def test_sources_are_images_that_are_no_preview() -> None:
    assert is_source(layer())
    assert not is_source(layer(metadata=mark(PREVIEW)))
    assert not is_source(Labels(np.zeros((4, 4), int)))
    assert not is_source(None)
    assert kind_of(layer(metadata={"napari_synth": "something else"})) == ""


PLACES = [
    {},
    {"scale": (0.5, 0.25), "translate": (3, -7), "units": ("um", "um"), "axis_labels": ("y", "x")},
    {"scale": (2, 3), "rotate": 30, "shear": [0.4], "translate": (5, 6)},
    {"scale": (2, 3), "affine": [[0.9, 0.1, 4], [-0.2, 1.1, 5], [0, 0, 1]], "rotate": -12},
]


def placed(place: Placement, shape: tuple[int, ...]) -> ImageLayer:
    return ImageLayer(np.zeros(shape, "u2"), contrast_limits=(0, 1), **place.as_kwargs())


@pytest.mark.parametrize("where", PLACES)
def test_a_result_of_the_same_size_lies_on_its_source(where: dict[str, Any]) -> None:
    source = layer(**where)
    result = placed(Placement.of(source), (8, 10))
    for corner in [(0, 0), (7, 9), (-0.5, 9.5)]:
        assert np.allclose(result.data_to_world(corner), source.data_to_world(corner))
    assert result.units == source.units
    assert result.axis_labels == source.axis_labels


@pytest.mark.parametrize("where", PLACES)
def test_a_finer_result_keeps_the_outer_edges(where: dict[str, Any]) -> None:
    source = layer(**where)
    result = placed(Placement.of(source).refined((2, 4)), (16, 40))
    assert np.allclose(result.data_to_world((-0.5, -0.5)), source.data_to_world((-0.5, -0.5)))
    assert np.allclose(result.data_to_world((15.5, 39.5)), source.data_to_world((7.5, 9.5)))


@pytest.mark.parametrize("where", PLACES)
def test_a_part_lies_where_it_was_taken_from(where: dict[str, Any]) -> None:
    source = layer(**where)
    part = placed(Placement.of(source).refined((1, 1), start=(3, 4)), (5, 6))
    assert np.allclose(part.data_to_world((0, 0)), source.data_to_world((3, 4)))
    assert np.allclose(part.data_to_world((4, 5)), source.data_to_world((7, 9)))


def test_refinement_is_told_by_the_shapes() -> None:
    assert refinement((3, 4, 5), (3, 8, 10), 3) == [1, 2, 2]
    assert refinement((4, 5, 3), (8, 10, 3), 2) == [2, 2]


def test_the_result_is_shown_as_its_source() -> None:
    source = layer(colormap="magma", gamma=0.7)
    source.contrast_limits = (3, 77)
    shown = ImageLayer(np.zeros((8, 10), "u2"), **appearance(source))
    assert (shown.colormap.name, tuple(shown.contrast_limits), shown.gamma) == ("magma", (3, 77), 0.7)


def test_a_lazy_result_is_not_read_to_find_its_contrast() -> None:
    assert "contrast_limits" in appearance(layer())
    assert "contrast_limits" not in appearance(layer((8, 10, 3), rgb=True))


def test_names_are_never_taken_twice() -> None:
    assert fresh_name("a", ["b"]) == "a"
    assert fresh_name("a", ["a", "a 2"]) == "a 3"


@pytest.mark.parametrize(
    ("shape", "units", "axes"),
    [
        ((10, 8, 9), ("s", "um", "um"), "TYX"),
        ((3, 8, 9), ("um", "um", "um"), "ZYX"),
        ((3, 8, 9), ("pixel", "pixel", "pixel"), "CYX"),
    ],
)
def test_units_guide_the_axes(shape: tuple[int, ...], units: tuple[str, ...], axes: str) -> None:
    assert guess_layer_axes(layer(shape, units=units)) == axes


def test_what_a_preview_has_measured_is_not_measured_again(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).poisson(50, (96, 96)).astype(np.uint16)
    write_image(tmp_path / "a.zarr", Image(pixels, "YX"))
    stored = zarr.open(str(tmp_path / "a.zarr" / "0"), mode="r")
    with layer_source(path=str(tmp_path / "a.zarr")):
        opened = ImageLayer(stored, contrast_limits=(0, 100))
    settings = RunSettings("cpu", "auto", None, tmp_path)
    request = RestoreRequest("denoise/median", to_image(opened, "YX"), {"radius": 1}, settings)
    part = {"Y": slice(0, 32), "X": slice(0, 32)}
    made, _, _ = restore_region(request, part, None, lambda progress: None, CancelToken())
    assert made is not None
    run = restore(request, lambda progress: None, CancelToken(), before=made)
    assert run.prepared is made
    # The file is another than it was, and an array may have been drawn on.
    write_image(tmp_path / "a.zarr", Image(pixels + 1, "YX"), overwrite=True)
    again = restore(request, lambda progress: None, CancelToken(), before=made)
    assert again.prepared is not made
    held = replace(request, image=Image(pixels, "YX"))
    made, _, _ = restore_region(held, part, None, lambda progress: None, CancelToken())
    assert restore(held, lambda progress: None, CancelToken(), before=made).prepared is not made


def test_the_file_of_a_layer_that_is_not_loaded_is_watched(tmp_path: Path) -> None:
    write_image(tmp_path / "a.zarr", Image(np.random.default_rng(0).poisson(50, (32, 40)).astype(np.uint16), "YX"))
    with layer_source(path=str(tmp_path / "a.zarr")):
        opened = ImageLayer(zarr.open(str(tmp_path / "a.zarr" / "0"), mode="r"), contrast_limits=(0, 100))
    image = to_image(opened, "YX")
    settings = RunSettings("cpu", "auto", None, tmp_path)
    request = RestoreRequest("denoise/median", image, {"radius": 1}, settings)
    assert restore(request, lambda progress: None, CancelToken()).levels[0].shape == (32, 40)

    def spoil(progress: Progress) -> None:
        shutil.rmtree(tmp_path / "a.zarr", ignore_errors=True)

    with pytest.raises((ImageFileError, InvalidImageError)):
        restore(request, spoil, CancelToken())
    assert to_image(layer(), "YX").origin is None
