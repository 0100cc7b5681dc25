"""What is saved through napari comes back whole: place, look, units, recipe and mark; other files are left to other readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
import zarr
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from npe2 import PluginManifest

import napari_synth
from napari_synth.core.errors import ImageFileError
from napari_synth.engine.recipe import Recipe
from napari_synth.files import read_image, write_image
from napari_synth.gui.files import get_reader
from napari_synth.gui.layers.marks import RESULT, kind_of, mark, note_of
from napari_synth.gui.layers.results import recipe_of, said_of
from napari_synth.gui.layers.saved import write_layers
from napari_synth.imaging.image import Image

RECIPE = Recipe(generator="denoise/blind", params={"strength": 0.7}, axes="ZYX").model_dump(mode="json")
PLACE = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (10.0, -3.0, 4.5),
    "units": ("um", "um", "um"),
    "axis_labels": ("z", "y", "x"),
}
SUFFIXES = [".ome.tif", ".ome.tiff", ".ome.zarr", ".zarr"]


@pytest.fixture
def viewer(npe2pm) -> ViewerModel:
    """A viewer whose plugins are ours and napari's own."""
    npe2pm.register(PluginManifest.from_file(Path(napari_synth.__file__).parent / "napari.yaml"))
    npe2pm.register(PluginManifest.from_distribution("napari"))
    return ViewerModel()


def volume(seed: int = 0, dtype: Any = np.uint16) -> Any:
    return np.random.default_rng(seed).integers(0, 4000, (4, 20, 30)).astype(dtype)


def add_result(viewer: ViewerModel, name: str = "cells denoised", seed: int = 0, **more: Any) -> ImageLayer:
    metadata = mark(RESULT, RECIPE, synthetic=True, said=["Nothing of the specimen was removed."])
    look = {"contrast_limits": (100, 3000), "colormap": "magenta", "gamma": 0.8, "blending": "additive", "opacity": 0.6}
    return viewer.add_image(volume(seed), name=name, metadata=metadata, **{**PLACE, **look, **more})


def opened(path: Path) -> list[Any]:
    reader = get_reader(str(path))
    assert reader is not None
    viewer = ViewerModel()
    for data in reader(str(path)):
        getattr(viewer, f"add_{data[2]}")(data[0], **data[1])
    return list(viewer.layers)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_result_comes_back_as_it_was(viewer, tmp_path, suffix) -> None:
    layer = add_result(viewer)
    path = tmp_path / f"result{suffix}"
    written = layer.save(str(path))
    assert sorted(Path(one).name for one in written) == sorted([path.name, "result.recipe.yaml"])
    (again,) = opened(path)
    assert np.array_equal(np.asarray(again.data), layer.data)
    assert np.asarray(again.data).dtype == layer.data.dtype
    for name in (
        "scale",
        "translate",
        "rotate",
        "shear",
        "contrast_limits",
        "gamma",
        "opacity",
        "axis_labels",
        "units",
    ):
        assert np.all(np.asarray(getattr(again, name)) == np.asarray(getattr(layer, name))), name
    assert (again.name, again.blending, again.colormap.name) == (layer.name, layer.blending, layer.colormap.name)
    assert kind_of(again) == RESULT
    assert note_of(again, "synthetic") is True
    assert recipe_of(again) == Recipe.from_dict(RECIPE)
    assert said_of(again) == said_of(layer)
    assert Recipe.from_file(tmp_path / "result.recipe.yaml") == Recipe.from_dict(RECIPE)


@pytest.mark.parametrize("suffix", SUFFIXES[::2])
def test_the_file_is_a_good_one_for_other_programs(viewer, tmp_path, suffix) -> None:
    layer = add_result(viewer)
    layer.save(str(tmp_path / f"result{suffix}"))
    image = read_image(tmp_path / f"result{suffix}")
    assert image.axes == "ZYX"
    assert dict(image.spacing) == {"Z": 2.0, "Y": 0.5, "X": 0.25}
    assert set(image.units.values()) == {"micrometer"}


@pytest.mark.parametrize("suffix", SUFFIXES[::2])
def test_layers_of_one_grid_are_channels_with_labels_beside(viewer, tmp_path, suffix) -> None:
    first = add_result(viewer, "actin denoised", colormap="green")
    second = add_result(viewer, "nuclei denoised", seed=1, colormap="blue", contrast_limits=(5, 500))
    labels = viewer.add_labels((volume(2) > 2000).astype(np.int64), name="cells", **PLACE)
    path = tmp_path / f"all{suffix}"
    viewer.layers.save(str(path))
    assert read_image(path).axes == "CZYX"
    assert [channel.name for channel in read_image(path).channels] == ["actin denoised", "nuclei denoised"]
    again = opened(path)
    if suffix == ".ome.tif":
        again += opened(tmp_path / f"all.cells{suffix}")
    *images, masks = again
    for before, after in zip((first, second), images, strict=True):
        assert np.array_equal(np.asarray(after.data), before.data)
        assert (after.name, after.colormap.name) == (before.name, before.colormap.name)
        assert tuple(after.contrast_limits) == tuple(before.contrast_limits)
        assert np.array_equal(after.translate, before.translate)
        assert recipe_of(after) == recipe_of(before)
    assert type(masks).__name__ == "Labels"
    assert np.array_equal(np.asarray(masks.data), labels.data)
    assert np.array_equal(masks.scale, labels.scale)
    assert (tmp_path / f"all.cells{suffix}").exists() == (suffix == ".ome.tif")
    assert sorted(one.name for one in tmp_path.glob("*.yaml")) == [
        "all.actin_denoised.recipe.yaml",
        "all.nuclei_denoised.recipe.yaml",
    ]


def test_layers_of_other_grids_get_files_of_their_own(viewer, tmp_path) -> None:
    add_result(viewer, "whole")
    viewer.add_image(volume()[:, :10], name="part of it", **PLACE)
    viewer.layers.save(str(tmp_path / "both.ome.tif"))
    assert [layer.name for layer in opened(tmp_path / "both.ome.tif")] == ["whole"]
    assert [layer.name for layer in opened(tmp_path / "both.part_of_it.ome.tif")] == ["part of it"]


def test_labels_lie_in_the_group_of_an_ome_zarr_as_the_format_says(viewer, tmp_path) -> None:
    large = np.zeros((1500, 40), np.int64)
    large[5:9, 3:7] = 2**40
    viewer.add_image(np.zeros((1500, 40), np.uint16), name="plate", axis_labels=("y", "x"), scale=(0.5, 0.5))
    for number in (1, 2):
        labels = viewer.add_labels(large * number, name="my cells", axis_labels=("y", "x"), scale=(0.5, 0.5))
        labels.name = "my cells"
    elsewhere = viewer.add_labels(large[:100], name="part", axis_labels=("y", "x"), scale=(0.5, 0.5))
    path = tmp_path / "plate.ome.zarr"
    viewer.layers.save(str(path))
    group = zarr.open_group(str(path / "labels"), mode="r")
    names = list(group.attrs["ome"]["labels"])
    assert len(names) == 2
    for name in names:
        described = group[name].attrs["ome"]
        assert described["image-label"]["source"] == {"image": "../../"}
        first, second = (group[name][entry["path"]] for entry in described["multiscales"][0]["datasets"])
        assert second.shape == (750, 20)
        assert set(np.unique(second[:])) <= set(np.unique(first[:]))
    plate, *masks = opened(path)
    assert plate.name == "plate"
    assert sorted(int(np.asarray(layer.data[0]).max()) for layer in masks) == [2**40, 2**41]
    assert all(np.array_equal(layer.scale, plate.scale) for layer in masks)
    (part,) = opened(tmp_path / "plate.part.ome.zarr")
    assert np.array_equal(np.asarray(part.data), elsewhere.data)


def test_labels_that_a_tiff_cannot_hold_are_an_error(viewer, tmp_path) -> None:
    viewer.add_labels(np.full((4, 5), 2**40), name="ids")
    with pytest.raises(ImageFileError, match="OME-Zarr"):
        viewer.layers["ids"].save(str(tmp_path / "ids.ome.tif"))
    assert not list(tmp_path.iterdir())


def test_a_plain_tiff_of_naparis_own_writer_keeps_the_pixels_and_the_box_saves_all(viewer, tmp_path) -> None:
    layer = add_result(viewer)
    layer.data = volume()[:2]
    layer.save(str(tmp_path / "plain.tif"))
    assert np.array_equal(tifffile.imread(tmp_path / "plain.tif"), layer.data)
    assert get_reader(str(tmp_path / "plain.tif")) is None
    write_layers(tmp_path / "ours.tif", [layer.as_layer_data_tuple()])
    (again,) = opened(tmp_path / "ours.tif")
    assert np.array_equal(np.asarray(again.data), layer.data)
    assert np.array_equal(again.scale, layer.scale)
    assert recipe_of(again) == recipe_of(layer)
    assert (tmp_path / "ours.recipe.yaml").exists()


def test_colours_floats_and_turned_layers_come_back(viewer, tmp_path) -> None:
    colours = viewer.add_image(volume().astype(np.uint8)[0, :, :27].reshape(20, 9, 3), rgb=True, name="stained")
    turned = viewer.add_image(np.linspace(-1, 1, 600).reshape(20, 30), name="turned", rotate=30, shear=[0.2])
    for layer in (colours, turned):
        path = tmp_path / f"{layer.name}.ome.tif"
        layer.save(str(path))
        (again,) = opened(path)
        assert np.array_equal(np.asarray(again.data), layer.data)
        assert again.rgb == layer.rgb
        assert np.allclose(again.rotate, layer.rotate)
        assert np.allclose(again.shear, layer.shear)


def test_a_layer_on_disk_is_written_and_opened_block_by_block(viewer, tmp_path) -> None:
    import dask.array as da

    lazy = da.random.default_rng(0).integers(0, 255, (2, 1500, 1200), chunks=(1, 512, 512)).astype(np.uint8)
    layer = viewer.add_image(lazy, name="large", contrast_limits=(0, 255), axis_labels=("z", "y", "x"))
    layer.save(str(tmp_path / "large.ome.zarr"))
    (again,) = opened(tmp_path / "large.ome.zarr")
    assert again.multiscale
    assert not isinstance(again.data[0], np.ndarray)
    assert np.array_equal(np.asarray(again.data[0][1, :50]), np.asarray(lazy[1, :50]))


@pytest.mark.parametrize(
    "name", ["plain.tif", "plain.ome.tif", "plain.ome.zarr", "no.tif", "empty.zarr", "missing.tif"]
)
def test_files_without_our_record_are_left_to_other_readers(tmp_path, name) -> None:
    path = tmp_path / name
    if name.startswith("plain"):
        write_image(path, Image(volume()[0], "YX"))
    elif name == "no.tif":
        path.write_bytes(b"this is no TIFF")
    elif name == "empty.zarr":
        path.mkdir()
    assert get_reader(str(path)) is None
    assert get_reader([str(path), str(path)]) is None


def test_a_file_whose_pixels_were_changed_is_an_error(viewer, tmp_path) -> None:
    path = tmp_path / "result.ome.tif"
    add_result(viewer).save(str(path))
    with tifffile.TiffFile(path) as file:
        description = file.ome_metadata
    tifffile.imwrite(path, np.zeros((5, 7), np.uint16), description=description.encode(), metadata=None)
    reader = get_reader(str(path))
    assert reader is not None
    with pytest.raises(ImageFileError):
        reader(str(path))


def test_the_recipe_beside_it_is_plain_yaml(viewer, tmp_path) -> None:
    add_result(viewer).save(str(tmp_path / "result.ome.zarr"))
    content = yaml.safe_load((tmp_path / "result.recipe.yaml").read_text(encoding="utf-8"))
    assert content["generator"] == "denoise/blind"
