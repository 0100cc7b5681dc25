"""Pictures are read as they say that they are, and never in part."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image as Pillow

from napari_synth.core.errors import ImageFileError
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image

GRAY = np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 255, (20, 30, 3), dtype=np.uint8)


def smooth(colours: bool = True) -> np.ndarray:
    rows, columns = np.mgrid[:48, :64]
    planes = [4 * rows, 3 * columns, rows + columns]
    return np.stack(planes, axis=-1).astype(np.uint8) if colours else planes[0].astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
@pytest.mark.parametrize("kept", [0.01, 0.1, 0.35, 0.6, 0.85, 0.97, 0.995])
def test_a_picture_that_ends_early_is_an_error(tmp_path: Path, suffix: str, kept: float) -> None:
    Pillow.fromarray(smooth()).save(tmp_path / f"a{suffix}")
    content = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"b{suffix}").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ImageFileError):
        read_image(tmp_path / f"b{suffix}")


def png(pixels: np.ndarray, *, rows: int | None = None) -> bytes:
    """Return a PNG that is well formed, whose compressed stream holds some rows only."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels[: rows or height])
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_a_png_whose_stream_lacks_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(GRAY))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").read(), GRAY)
    (tmp_path / "a.png").write_bytes(png(GRAY, rows=13))
    with pytest.raises(ImageFileError, match="ends too early"):
        read_image(tmp_path / "a.png")


def test_an_interlaced_png_is_whole(tmp_path: Path) -> None:
    for height, width in ((1, 1), (3, 5), (8, 8), (20, 30)):
        content = imagecodecs.png_encode(GRAY[:height, :width])
        (tmp_path / "a.png").write_bytes(content)
        assert read_image(tmp_path / "a.png").shape == (height, width)
    # Pillow writes none: this one of 8 x 8 pixels was made by hand, pass by pass.
    pixels = GRAY[:8, :8]
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    lines = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in pixels[y::dy, x::dx])
    made = png(pixels)
    at = made.index(b"IDAT") - 4
    header = made[16:28] + b"\x01"
    body = zlib.compress(lines)
    made = (
        made[:12]
        + b"IHDR"
        + header
        + struct.pack(">I", zlib.crc32(b"IHDR" + header))
        + struct.pack(">I", len(body))
        + b"IDAT"
        + body
        + struct.pack(">I", zlib.crc32(b"IDAT" + body))
        + made[made.index(b"IEND") - 4 :]
    )
    assert at > 0
    (tmp_path / "b.png").write_bytes(made)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").read(), pixels)


def test_the_orientation_of_a_camera_holds(tmp_path: Path) -> None:
    upright = smooth(colours=False)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright.T[::-1, ::-1],
        8: np.rot90(upright, -1),
    }
    for orientation, pixels in stored.items():
        exif = Pillow.Exif()
        exif[0x0112] = orientation
        Pillow.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "a.png", exif=exif)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png").read(), upright, err_msg=str(orientation))


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    Pillow.fromarray(GRAY > 100).save(tmp_path / "a.png")
    with Pillow.open(tmp_path / "a.png") as picture:
        assert picture.mode == "1"
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.read(), np.where(GRAY > 100, 255, 0))


def test_sixteen_bits_of_gray_and_colour_are_kept(tmp_path: Path) -> None:
    deep = np.random.default_rng(2).integers(0, 65535, (20, 30, 3), dtype=np.uint16)
    for pixels in (deep, deep[..., 0], np.concatenate((deep, deep[..., :1]), axis=-1)):
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
        image = read_image(tmp_path / "a.png")
        assert image.dtype == np.uint16
        np.testing.assert_array_equal(image.read(), pixels)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colour_spaces_become_rgb(tmp_path: Path, mode: str) -> None:
    Pillow.fromarray(smooth()).convert(mode).save(tmp_path / "a.jpg", quality=98, subsampling=0)
    image = read_image(tmp_path / "a.jpg")
    assert image.axes == "YXS"
    assert image.sizes["S"] == 3
    np.testing.assert_allclose(image.read().astype(int), smooth().astype(int), atol=12)


def test_palettes_are_what_they_show(tmp_path: Path) -> None:
    pixels = smooth() // 64 * 64
    Pillow.fromarray(pixels).quantize(64).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.axes == "YXS"
    np.testing.assert_allclose(image.read().astype(int), pixels.astype(int), atol=3)
    gray = Pillow.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2), mode="P")
    gray.putpalette([value for level in (200, 0, 90, 30) for value in (level,) * 3])
    gray.save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").read(), [[200, 0], [90, 30]])


def test_transparency_is_kept(tmp_path: Path) -> None:
    Pillow.fromarray(np.dstack((GRAY, GRAY[::-1])), mode="LA").save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.sizes["S"] == 2
    np.testing.assert_array_equal(image.read(S=1), GRAY[::-1])
    Pillow.fromarray(COLOUR).save(tmp_path / "b.png", transparency=tuple(int(part) for part in COLOUR[3, 4]))
    image = read_image(tmp_path / "b.png")
    assert image.sizes["S"] == 4
    assert image.read(S=3)[3, 4] == 0
    assert image.read(S=3)[3, 5] == 255


def test_gray_with_alpha_is_written(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", Image(np.dstack((GRAY, GRAY)), "YXS"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").read(), np.dstack((GRAY, GRAY)))


def test_further_pictures_are_said(tmp_path: Path) -> None:
    first, second = Pillow.fromarray(GRAY), Pillow.fromarray(GRAY[::-1])
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    assert "holds 2 pictures" in read_image(tmp_path / "a.png").notes[0]


def test_a_jpeg_with_something_behind_its_end_is_whole(tmp_path: Path) -> None:
    made = io.BytesIO()
    Pillow.fromarray(smooth()).save(made, format="JPEG", progressive=True)
    (tmp_path / "a.jpg").write_bytes(made.getvalue() + b"\0" * 100)
    assert read_image(tmp_path / "a.jpg").shape == (48, 64, 3)


def test_a_picture_that_is_too_large_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Pillow.fromarray(GRAY).save(tmp_path / "a.png")
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", GRAY.size - 1)
    assert read_image(tmp_path / "a.png").shape == GRAY.shape
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", GRAY.size // 3)
    with pytest.raises(ImageFileError, match="too large for a picture: convert it to OME-TIFF"):
        read_image(tmp_path / "a.png")
