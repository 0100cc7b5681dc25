"""Images come back from files as they went in, and every failure is one sentence."""

from __future__ import annotations

import builtins
from pathlib import Path

import dask.array as da
import imageio.v3 as iio
import numpy as np
import pytest

from napari_synth.core.errors import AxesError, ImageFileError, InvalidImageError
from napari_synth.files import image_suffix, raw, read_image, write_image
from napari_synth.files.raw import RawArray
from napari_synth.imaging.image import Image

SPACING = {"T": 2.5, "Z": 0.5, "Y": 0.25, "X": 0.125}
UNITS = {"T": "second", "Z": "micrometer", "Y": "micrometer", "X": "nanometer"}
KINDS = [
    ((5, 20, 30), "ZYX", "uint16"),
    ((3, 2, 4, 20, 30), "TCZYX", "uint16"),
    ((3, 4, 2, 20, 30), "TZCYX", "uint8"),
    ((20, 30, 3), "YXS", "uint8"),
    ((4, 20, 30, 3), "TYXS", "uint16"),
    ((20, 30), "YX", "float32"),
    ((3, 20, 30), "CYX", "float64"),
    ((20, 30), "YX", "float16"),
    ((5, 20, 30), "TYX", "int64"),
    ((5, 20, 30), "ZYX", ">u2"),
    ((5, 20, 30), "ZYX", ">f4"),
]


def make(shape: tuple[int, ...], axes: str, dtype: str) -> Image:
    pixels = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    kept = [axis for axis in axes if axis in SPACING]
    return Image(pixels, axes, {axis: SPACING[axis] for axis in kept}, {axis: UNITS[axis] for axis in kept})


@pytest.mark.parametrize("suffix", [".ome.tif", ".tif", ".ome.zarr", ".zarr"])
@pytest.mark.parametrize(("shape", "axes", "dtype"), KINDS)
def test_pixels_axes_spacing_and_units_survive(
    tmp_path: Path, suffix: str, shape: tuple[int, ...], axes: str, dtype: str
) -> None:
    image = make(shape, axes, dtype)
    write_image(tmp_path / f"image{suffix}", image)
    back = read_image(tmp_path / f"image{suffix}")
    assert back.axes == axes
    assert back.dtype == image.dtype
    assert dict(back.spacing) == pytest.approx(dict(image.spacing))
    assert back.units == image.units
    assert back.name == "image"
    np.testing.assert_array_equal(back.read(), image.read())


@pytest.mark.parametrize("suffix", [".ome.tif", ".npy", ".zarr", ".png"])
def test_lazy_images_are_written_like_loaded_ones(tmp_path: Path, suffix: str) -> None:
    pixels = make((40, 30), "YX", "uint16").data
    write_image(tmp_path / f"lazy{suffix}", Image(da.from_array(pixels, chunks=16), "YX"))
    np.testing.assert_array_equal(read_image(tmp_path / f"lazy{suffix}").read(), pixels)


def test_axes_in_an_unusual_order_are_put_right(tmp_path: Path) -> None:
    image = make((20, 30, 5), "YXZ", "uint16")
    write_image(tmp_path / "a.ome.tif", image)
    back = read_image(tmp_path / "a.ome.tif")
    assert back.axes == "ZYX"
    np.testing.assert_array_equal(back.read(), image.read().transpose(2, 0, 1))


def test_a_given_role_replaces_the_one_of_the_file_and_its_spacing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.ome.tif", make((5, 20, 30), "ZYX", "uint8"))
    back = read_image(tmp_path / "a.ome.tif", axes="tyx")
    assert back.axes == "TYX"
    assert dict(back.spacing) == pytest.approx({"Y": 0.25, "X": 0.125})


def test_a_large_npy_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "EAGER_BYTES", 1000)
    pixels = np.random.default_rng(0).random((4, 30, 30), np.float32)
    np.save(tmp_path / "a.npy", pixels)
    back = read_image(tmp_path / "a.npy")
    assert isinstance(back.data, RawArray)
    assert back.axes == "CYX"
    np.testing.assert_array_equal(back.read(C=2, Y=slice(3, 9)), pixels[2, 3:9])


@pytest.mark.parametrize(
    ("shape", "dtype"), [((20, 30), "uint8"), ((20, 30), "uint16"), ((20, 30, 3), "uint8"), ((20, 30, 4), "uint8")]
)
def test_png_keeps_every_level(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(1).integers(0, top, shape, endpoint=True).astype(dtype)
    write_image(tmp_path / "a.png", Image(pixels, "YXS"[: len(shape)]))
    back = read_image(tmp_path / "a.png")
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back.read(), pixels)


def test_jpeg_is_read(tmp_path: Path) -> None:
    iio.imwrite(tmp_path / "a.jpg", np.full((20, 30, 3), 128, np.uint8))
    assert read_image(tmp_path / "a.jpg").axes == "YXS"


@pytest.mark.parametrize(
    "image",
    [make((20, 30), "YX", "float32"), make((2, 20, 30), "ZYX", "uint8"), make((20, 30, 3), "YXS", "uint16")],
    ids=["float", "stack", "deep colour"],
)
def test_png_refuses_what_it_would_spoil(tmp_path: Path, image: Image) -> None:
    with pytest.raises(ImageFileError, match="PNG holds one plane"):
        write_image(tmp_path / "a.png", image)
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"There is no file .*gone\.tif"):
        read_image(tmp_path / "gone.tif")


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.png", "a.npy", "a.jpg"])
@pytest.mark.parametrize("content", [b"", b"no image at all", b"II*\x00\x08\x00\x00\x00", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageFileError, match="cannot be read"):
        read_image(tmp_path / name)


def test_code_in_npy_is_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[print]], dtype=object), allow_pickle=True)
    with pytest.raises(ImageFileError, match="cannot be read"):
        read_image(tmp_path / "a.npy")


def test_what_holds_no_intensities_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((20, 30), complex))
    with pytest.raises(InvalidImageError):
        read_image(tmp_path / "a.npy")


def test_axes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 20, 30)))
    with pytest.raises(AxesError):
        read_image(tmp_path / "a.npy", axes="YX")


def test_an_unknown_suffix_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"cannot be written as \.jpg"):
        write_image(tmp_path / "a.jpg", make((20, 30), "YX", "uint8"))


def test_an_unknown_suffix_goes_to_napari(tmp_path: Path) -> None:
    (tmp_path / "a.unheard-of").write_bytes(b"?")
    with pytest.raises(ImageFileError, match="install a napari reader plugin"):
        read_image(tmp_path / "a.unheard-of")


def test_napari_readers_are_asked_for_other_formats(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)
    iio.imwrite(tmp_path / "a.pgm", pixels)
    back = read_image(tmp_path / "a.pgm")
    assert back.axes == "YX"
    np.testing.assert_array_equal(back.read(), pixels)


def test_without_napari_other_formats_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_synth.files.napari_readers.find_spec", lambda name: None)
    (tmp_path / "a.czi").write_bytes(b"?")
    with pytest.raises(ImageFileError, match="need napari"):
        read_image(tmp_path / "a.czi")


def test_nothing_is_overwritten_unless_allowed(tmp_path: Path) -> None:
    first, second = make((20, 30), "YX", "uint8"), Image(np.zeros((10, 10), np.uint8), "YX")
    write_image(tmp_path / "a.tif", first)
    with pytest.raises(ImageFileError, match="exists already"):
        write_image(tmp_path / "a.tif", second)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").read(), first.read())
    write_image(tmp_path / "a.tif", second, overwrite=True)
    assert read_image(tmp_path / "a.tif").shape == (10, 10)


def test_an_unreadable_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"?")
    opened = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "a.png":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageFileError, match="may not be read"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.OME.TIF", ".ome.tif"), ("a.b.tif", ".tif"), ("a.ome.zarr", ".ome.zarr"), ("a.czi", ".czi"), ("a", "")],
)
def test_the_longest_known_suffix_counts(name: str, suffix: str) -> None:
    assert image_suffix(name) == suffix


def test_reading_prints_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "print", lambda *words: pytest.fail(f"printed {words}"))
    write_image(tmp_path / "a.tif", make((20, 30), "YX", "uint8"))
    read_image(tmp_path / "a.tif")
