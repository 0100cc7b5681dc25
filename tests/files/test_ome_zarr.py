"""OME-Zarr is read from others' files, written block by block, and gone when the run fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_synth.core.errors import Cancelled, ImageFileError, InvalidImageError
from napari_synth.core.progress import CancelToken
from napari_synth.files import create_ome_zarr, ome_zarr, read_image, write_image
from napari_synth.imaging.image import ChannelInfo, Image


def foreign(path: Path, version: str) -> np.ndarray:
    """Write an image as another program would, in version 0.4 or 0.5 of the format."""
    pixels = np.arange(3 * 2 * 20 * 30, dtype=">u2").reshape(3, 2, 20, 30)
    multiscale = {
        "axes": [
            {"name": "t", "type": "time", "unit": "minute"},
            {"name": "c", "type": "channel"},
            {"name": "y", "type": "space", "unit": "micrometer"},
            {"name": "x", "type": "space", "unit": "micrometer"},
        ],
        "datasets": [
            {"path": "full", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 0.5, 0.25]}]},
            {"path": "half", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1.0, 0.5]}]},
        ],
        "coordinateTransformations": [{"type": "scale", "scale": [10, 1, 1, 1]}],
    }
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("full", shape=pixels.shape, chunks=(1, 1, 16, 16), dtype=pixels.dtype)[...] = pixels
    group.create_array("half", shape=(3, 2, 10, 15), chunks=(1, 1, 16, 16), dtype=pixels.dtype)
    if version == "0.4":
        group.attrs["multiscales"] = [{**multiscale, "version": version}]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale]}
    return pixels


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_both_versions_are_read_lazily(tmp_path: Path, version: str) -> None:
    pixels = foreign(tmp_path / "a.zarr", version)
    image = read_image(tmp_path / "a.zarr")
    assert isinstance(image.data, zarr.Array)
    assert image.axes == "TCYX"
    assert dict(image.spacing) == pytest.approx({"T": 10, "Y": 0.5, "X": 0.25})
    assert image.units == {"T": "minute", "Y": "micrometer", "X": "micrometer"}
    np.testing.assert_array_equal(image.read(T=1, Y=slice(5, 9)), pixels[1, :, 5:9])


def test_a_bare_array_is_read(tmp_path: Path) -> None:
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(7, 20, 30), dtype="uint8")
    assert read_image(tmp_path / "a.zarr").axes == "ZYX"


@pytest.mark.parametrize(
    ("attributes", "said"),
    [({"ome": {"plate": {}}}, "plate"), ({}, "without an image")],
)
def test_groups_without_an_image_are_refused(tmp_path: Path, attributes: dict[str, object], said: str) -> None:
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w").attrs.update(attributes)
    with pytest.raises(ImageFileError, match=said):
        read_image(tmp_path / "a.zarr")


def test_a_folder_that_is_no_zarr_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(ImageFileError, match="cannot be read"):
        read_image(tmp_path / "a.zarr")


@pytest.mark.parametrize(("axes", "shape"), [("ZCYX", (3, 2, 20, 30)), ("YXS", (20, 30, 3)), ("TYX", (4, 20, 30))])
def test_blocks_land_where_they_belong(tmp_path: Path, axes: str, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 999, shape, dtype=np.uint16)
    with create_ome_zarr(tmp_path / "a.zarr", Image(pixels, axes), chunks={"Y": 8, "X": 8}) as out:
        assert out.shape == shape
        y = axes.index("Y")
        for start in (0, 7, 14):
            block = (*(slice(None),) * y, slice(start, min(start + 7, 20)))
            out[block] = pixels[block]
    back = read_image(tmp_path / "a.zarr")
    assert back.axes == axes
    np.testing.assert_array_equal(back.read(), pixels)


def test_an_integer_or_an_ellipsis_index_is_understood(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 999, (3, 2, 20, 30), dtype=np.uint16)
    with create_ome_zarr(tmp_path / "a.zarr", Image(pixels, "ZCYX")) as out:
        for z in range(3):
            out[z] = pixels[z]
        out[..., 5:9] = pixels[..., 5:9]
    np.testing.assert_array_equal(read_image(tmp_path / "a.zarr").read(), pixels)


def test_the_metadata_are_those_of_the_standard(tmp_path: Path) -> None:
    image = Image(np.zeros((3, 2, 20, 30), np.uint8), "ZCYX", {"Z": 2.0, "X": 0.5}, {"Z": "micrometer"})
    write_image(tmp_path / "a.zarr", image)
    ome = dict(zarr.open_group(str(tmp_path / "a.zarr"), mode="r").attrs)["ome"]
    multiscale = ome["multiscales"][0]
    assert ome["version"] == "0.5"
    assert [axis["name"] for axis in multiscale["axes"]] == ["c", "z", "y", "x"]
    assert [axis["type"] for axis in multiscale["axes"]] == ["channel", "space", "space", "space"]
    assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] == [1.0, 2.0, 1.0, 0.5]


def test_large_planes_get_smaller_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ome_zarr, "SMALLEST_LEVEL", 10)
    pixels = np.random.default_rng(0).integers(0, 60000, (2, 37, 22), dtype=np.uint16)
    write_image(tmp_path / "a.zarr", Image(pixels, "ZYX", {"Y": 0.5, "X": 0.5}))
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    datasets = dict(group.attrs)["ome"]["multiscales"][0]["datasets"]
    assert [group[level["path"]].shape for level in datasets] == [(2, 37, 22), (2, 19, 11), (2, 10, 6)]
    expected = pixels[:, :36].reshape(2, 18, 2, 11, 2).mean((2, 4))
    np.testing.assert_allclose(np.asarray(group["1"])[:, :18], expected, atol=0.5)
    scale, shift = datasets[2]["coordinateTransformations"]
    assert scale["scale"] == [1.0, 2.0, 2.0]
    assert shift["translation"] == [0.0, 0.75, 0.75]


def test_a_failed_run_leaves_nothing(tmp_path: Path) -> None:
    like = Image(np.zeros((20, 30), np.uint8), "YX")

    def fail() -> None:
        with create_ome_zarr(tmp_path / "a.zarr", like) as out:
            out[:5] = 1
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_cancel_while_levels_are_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ome_zarr, "SMALLEST_LEVEL", 10)
    token = CancelToken()

    def run() -> None:
        with create_ome_zarr(tmp_path / "a.zarr", Image(np.zeros((20, 30), np.uint8), "YX"), cancel=token):
            token.cancel()

    with pytest.raises(Cancelled):
        run()
    assert not list(tmp_path.iterdir())


def test_a_failed_run_leaves_the_old_image(tmp_path: Path) -> None:
    old = Image(np.full((20, 30), 7, np.uint8), "YX")
    write_image(tmp_path / "a.zarr", old)

    def fail() -> None:
        with create_ome_zarr(tmp_path / "a.zarr", old, overwrite=True) as out:
            out[:5] = 1
            raise ValueError("a fault")

    with pytest.raises(ValueError, match="a fault"):
        fail()
    np.testing.assert_array_equal(read_image(tmp_path / "a.zarr").read(), old.read())
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_an_old_image_is_replaced_where_that_is_allowed(tmp_path: Path) -> None:
    write_image(tmp_path / "a.zarr", Image(np.zeros((20, 30), np.uint8), "YX"))
    write_image(tmp_path / "a.zarr", Image(np.zeros((10, 10), np.uint8), "YX"), overwrite=True)
    assert read_image(tmp_path / "a.zarr").shape == (10, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_channels_of_colour_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="not both"):
        write_image(tmp_path / "a.zarr", Image(np.zeros((2, 20, 30, 3), np.uint8), "CYXS"))


@pytest.mark.parametrize("edge", [1, 16, 1021, 1031, 1280, 2062, 4000])
def test_chunks_divide_the_blocks_and_are_not_tiny(tmp_path: Path, edge: int) -> None:
    like = Image(np.broadcast_to(np.uint8(0), (2, 20_000, 20_000)), "ZYX")
    token = CancelToken()
    token.cancel()
    with (
        pytest.raises(Cancelled),
        create_ome_zarr(tmp_path / "a.zarr", like, blocks=(1, edge, edge), cancel=token) as out,
    ):
        planes, rows, _ = out.array.chunks
    assert planes == 1
    assert edge % rows == 0
    assert rows >= min(edge, 128)


def test_chunks_that_are_not_there_are_counted(tmp_path: Path) -> None:
    pixels = foreign(tmp_path / "a.zarr", "0.5")
    assert read_image(tmp_path / "a.zarr").notes == ()
    chunk = next(path for path in (tmp_path / "a.zarr" / "full").rglob("*") if path.is_file() and path.name == "1")
    chunk.unlink()
    image = read_image(tmp_path / "a.zarr")
    assert image.notes == (f"1 of {3 * 2 * 2 * 2} chunks of 'full' are not there: their pixels are the fill value 0.",)
    assert image.read().shape == pixels.shape


def test_a_chunk_that_goes_or_changes_while_it_is_worked_on_withdraws_the_result(tmp_path: Path) -> None:
    foreign(tmp_path / "a.zarr", "0.5")
    image = read_image(tmp_path / "a.zarr")
    chunk = next(path for path in (tmp_path / "a.zarr" / "full").rglob("*") if path.is_file() and path.name == "1")
    chunk.unlink()
    for suffix in (".ome.tif", ".npy", ".zarr", ".tif"):
        with pytest.raises(ImageFileError, match="vanished while it was worked on: its result is withdrawn"):
            write_image(tmp_path / f"b{suffix}", image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_zarr_that_vanishes_is_an_error_and_no_zeros(tmp_path: Path) -> None:
    foreign(tmp_path / "a.zarr", "0.5")
    image = read_image(tmp_path / "a.zarr")
    shutil.rmtree(tmp_path / "a.zarr")
    with pytest.raises(ImageFileError, match="vanished"):
        write_image(tmp_path / "b.ome.tif", image)


def test_a_chunk_that_does_not_decode_is_an_error(tmp_path: Path) -> None:
    foreign(tmp_path / "a.zarr", "0.5")
    chunk = next(path for path in (tmp_path / "a.zarr" / "full").rglob("*") if path.is_file() and path.name == "1")
    for content in (chunk.read_bytes()[:-9], b"", b"nonsense"):
        chunk.write_bytes(content)
        with pytest.raises(InvalidImageError, match="cannot be read"):
            read_image(tmp_path / "a.zarr").read()


def test_what_another_program_removes_while_it_is_written_is_noticed(tmp_path: Path) -> None:
    like = Image(np.zeros((2, 20, 30), np.uint8), "ZYX")

    def write(harm: Callable[[Path], None]) -> None:
        with create_ome_zarr(tmp_path / "a.zarr", like, chunks={"Z": 1}) as out:
            out[0] = 1
            harm(next(tmp_path.glob(".*.part")))
            out[1] = 2

    def empty(part: Path) -> None:
        for item in part.iterdir():
            shutil.rmtree(item) if item.is_dir() else item.unlink()

    for harm in (empty, lambda part: shutil.rmtree(part / "0" / "c"), lambda part: (part / "0" / "zarr.json").unlink()):
        with pytest.raises(ImageFileError, match=r"Another program changed 'a\.zarr'"):
            write(harm)
        assert not list(tmp_path.iterdir())


def test_one_of_several_images_is_chosen(tmp_path: Path) -> None:
    pixels = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", attributes={"bioformats2raw.layout": 3})
    for number in (0, 1, 2, 10):
        write_image(tmp_path / "b.zarr", Image(pixels + number, "ZYX"), overwrite=True)
        shutil.copytree(tmp_path / "b.zarr", tmp_path / "a.zarr" / str(number))
    assert group.attrs["bioformats2raw.layout"] == 3
    image = read_image(tmp_path / "a.zarr")
    assert "holds 4 images" in image.notes[-1]
    np.testing.assert_array_equal(read_image(tmp_path / "a.zarr", series=3).read(), pixels + 10)
    every = read_image(tmp_path / "a.zarr", series="all")
    assert every.axes == "TZYX"
    np.testing.assert_array_equal(every.read()[3], pixels + 10)


def test_channels_are_described_as_viewers_expect(tmp_path: Path) -> None:
    named = (ChannelInfo("DAPI", (0, 0, 255)), ChannelInfo("GFP", None))
    write_image(tmp_path / "a.zarr", Image(np.zeros((2, 20, 30), np.uint8), "CYX", channels=named))
    ome = dict(zarr.open_group(str(tmp_path / "a.zarr"), mode="r").attrs)["ome"]
    assert ome["omero"]["channels"] == [{"label": "DAPI", "color": "0000FF"}, {"label": "GFP", "color": "FFFFFF"}]
    assert read_image(tmp_path / "a.zarr").channels == named


def test_truths_and_negative_steps(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.create_array("0", shape=(20, 30), dtype="bool")[...] = True
    axes = [{"name": "y", "type": "space", "unit": "micrometer"}, {"name": "x", "type": "space"}]
    scale = [{"type": "scale", "scale": [-2.0, 0.0]}]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    image = read_image(tmp_path / "a.zarr")
    assert dict(image.spacing) == {"Y": 2}
    assert image.dtype == np.uint8
    assert image.read().min() == 1


@pytest.mark.parametrize("version", [2, 3])
def test_a_bare_array_names_its_dimensions(tmp_path: Path, version: int) -> None:
    named: dict[str, Any] = {"dimension_names": ["time", "y", "x"]}
    if version == 2:
        named = {"attributes": {"_ARRAY_DIMENSIONS": ["time", "y", "x"]}}
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(7, 20, 30), dtype="uint8", zarr_format=version, **named)
    assert read_image(tmp_path / "a.zarr").axes == "TYX"
