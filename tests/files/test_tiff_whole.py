"""A TIFF is read whole or not at all: cut off anywhere, with planes missing, or with more than one image in it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_synth.core.errors import ImageFileError, InvalidImageError
from napari_synth.files import read_image, tiff, write_image
from napari_synth.imaging.image import Image

STACK = np.random.default_rng(0).integers(0, 60000, (6, 20, 26), dtype=np.uint16)


def pages(path: Path, planes: Any = STACK, **options: Any) -> None:
    """Write planes as pages that nothing describes, as many cameras do."""
    with tifffile.TiffWriter(path) as writer:
        for plane in planes:
            writer.write(plane, contiguous=False, metadata=None, **options)


def pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(STACK, subifds=1, tile=(16, 16), metadata={"axes": "ZYX"})
        writer.write(STACK[:, ::2, ::2], subfiletype=1, tile=(16, 16))


KINDS: dict[str, Callable[[Path], Any]] = {
    "pages.tif": pages,
    "deflated pages.tif": lambda path: pages(path, compression="zlib"),
    "json.tif": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack"),
    "tiles.tif": lambda path: tifffile.imwrite(path, STACK, tile=(16, 16), photometric="minisblack"),
    "strips.tif": lambda path: tifffile.imwrite(path, STACK, rowsperstrip=7, metadata=None, photometric="minisblack"),
    "imagej.tif": lambda path: tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "ZYX"}),
    "big.tif": lambda path: tifffile.imwrite(path, STACK, bigtiff=True, photometric="minisblack"),
    "a.ome.tif": lambda path: tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "ZYX"}),
    "lzw.ome.tif": lambda path: tifffile.imwrite(path, STACK, ome=True, compression="lzw", metadata={"axes": "ZYX"}),
    "pyramid.ome.tif": pyramid,
    "ours.tif": lambda path: write_image(path, Image(STACK, "ZYX", {"Z": 2.0}, {"Z": "micrometer"})),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_cut_off_anywhere_is_whole_or_an_error(tmp_path: Path, name: str) -> None:
    KINDS[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    np.testing.assert_array_equal(read_image(tmp_path / name).read(), STACK)
    errors = 0
    cuts = [*np.linspace(0, len(content) - 1, 15).astype(int), *(int(len(content) * share) for share in (0.95, 0.99))]
    for length in cuts:
        cut = tmp_path / f"cut {name}"
        cut.write_bytes(content[:length])
        try:
            pixels = read_image(cut).read()
        except ImageFileError:
            errors += 1
        else:
            # What is cut off is no pixel, and no word of how many there are.
            np.testing.assert_array_equal(pixels, STACK)
    assert errors >= len(cuts) - 3


def with_description(path: Path, planes: np.ndarray, description: str) -> None:
    """Write pages under a description of somebody else."""
    with tifffile.TiffWriter(path) as writer:
        for number, plane in enumerate(planes):
            text = description if number == 0 else None
            writer.write(plane, contiguous=False, metadata=None, description=text)


def ome(planes: int, extra: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0" Name="cells"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="26" SizeY="20"'
        f' SizeZ="{planes}" SizeC="1" SizeT="1"{extra}><TiffData/></Pixels></Image></OME>'
    )


@pytest.mark.parametrize("planes", [7, 12, 20])
def test_ome_that_declares_more_planes_than_there_are_is_an_error(tmp_path: Path, planes: int) -> None:
    with_description(tmp_path / "a.ome.tif", STACK, ome(planes))
    with pytest.raises(ImageFileError, match="copy it again"):
        read_image(tmp_path / "a.ome.tif")


def test_ome_that_declares_fewer_planes_is_said(tmp_path: Path) -> None:
    with_description(tmp_path / "a.ome.tif", STACK, ome(4))
    image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.read(), STACK[:4])
    assert "speaks of 4 planes, and the file holds 6" in image.notes[0]


def test_ome_whose_second_file_is_not_there_is_an_error(tmp_path: Path) -> None:
    text = (
        ome(12)
        .replace(
            "<TiffData/>",
            '<TiffData FirstZ="0" IFD="0" PlaneCount="6"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>'
            '<TiffData FirstZ="6" IFD="0" PlaneCount="6"><UUID FileName="b.ome.tif">urn:uuid:2</UUID></TiffData>',
        )
        .replace("<OME ", '<OME UUID="urn:uuid:1" ')
    )
    with_description(tmp_path / "a.ome.tif", STACK, text)
    with pytest.raises(ImageFileError, match=r"b\.ome\.tif"):
        read_image(tmp_path / "a.ome.tif")
    with_description(tmp_path / "b.ome.tif", STACK[::-1], text.replace('UUID="urn:uuid:1" ', 'UUID="urn:uuid:2" '))
    image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.read(), np.concatenate((STACK, STACK[::-1])))
    assert image.origin is not None
    (tmp_path / "b.ome.tif").unlink()
    with pytest.raises(ImageFileError, match="vanished"):
        image.origin.check()


def test_imagej_that_declares_more_images_than_there_are_is_an_error(tmp_path: Path) -> None:
    with_description(tmp_path / "a.tif", STACK, "ImageJ=1.53\nimages=10\nslices=10\n")
    with pytest.raises(ImageFileError):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("description", ["<?xml broken", ome(6)[:-20] + "</OME>", ome(6).replace('SizeX="26"', "")])
def test_a_broken_description_does_not_forbid_the_pixels(tmp_path: Path, description: str) -> None:
    with_description(tmp_path / "a.ome.tif", STACK, description)
    image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.read(), STACK)


COMPANION = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:7">'
    '<BinaryOnly MetadataFile="{}" UUID="urn:uuid:8"/></OME>'
)


def test_a_description_in_another_file_does_not_forbid_the_pixels(tmp_path: Path) -> None:
    with_description(tmp_path / "a.ome.tif", STACK, COMPANION.format("set.companion.ome"))
    image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.read(), STACK)
    assert "'set.companion.ome' is not beside it" in image.notes[0]
    text = ome(6, ' PhysicalSizeZ="2.5"').replace(
        "<TiffData/>", '<TiffData IFD="0" PlaneCount="6"><UUID FileName="a.ome.tif">urn:uuid:7</UUID></TiffData>'
    )
    (tmp_path / "set.companion.ome").write_text(
        text.replace('SizeZ="6"', 'SizeZ="1"').replace('SizeT="1"', 'SizeT="6"')
    )
    image = read_image(tmp_path / "a.ome.tif")
    assert image.axes == "TYX"
    (tmp_path / "set.companion.ome").write_text(text)
    image = read_image(tmp_path / "a.ome.tif")
    assert image.axes == "ZYX"
    assert image.spacing["Z"] == 2.5
    assert image.notes == ()


def test_an_unknown_tag_does_not_forbid_the_pixels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    extra = [(65001, 1, 300, bytes(300), True)]
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], metadata=None, extratags=extra)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    entry = content.index(struct.pack("<HHI", 65001, 1, 300))
    content[entry + 8 : entry + 12] = struct.pack("<I", 10**9)
    (tmp_path / "a.tif").write_bytes(content)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.read(), STACK[0])
    assert "not understood" in image.notes[0]
    assert not caplog.records


def test_tiles_that_were_never_written_are_counted(tmp_path: Path) -> None:
    plane = np.zeros((32, 32), np.uint8)
    plane[:16, :16] = 7
    tifffile.imwrite(tmp_path / "a.tif", plane, tile=(16, 16), metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        page = file.pages.first
        for tag in ("TileOffsets", "TileByteCounts"):
            values = list(page.tags[tag].value)
            page.tags[tag].overwrite([values[0], 0, 0, 0])
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.read(), plane)
    assert image.notes == ("3 tiles or strips of 'a.tif' were never written: their pixels are 0.",)


def several(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for shape, value in (((8, 9), 1), ((20, 30), 2), ((8, 9), 3)):
            writer.write(np.full(shape, value, np.uint8), metadata=None, contiguous=False)


def test_images_that_are_not_read_are_named(tmp_path: Path) -> None:
    several(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.read(), np.stack([np.full((8, 9), 1), np.full((8, 9), 3)]))
    assert "holds 2 images, of which number 0 is read" in image.notes[0]
    assert "20 x 30" in image.notes[0]
    assert "--series N" in image.notes[0]


def test_an_image_of_a_file_is_chosen(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(STACK, metadata={"axes": "ZYX", "Name": "first", "PhysicalSizeX": 1.0})
        writer.write(STACK[0, :9], metadata={"axes": "YX", "Name": "label", "PhysicalSizeX": 2.0})
        writer.write(STACK + 1, metadata={"axes": "ZYX", "Name": "third", "PhysicalSizeX": 3.0})
    second = read_image(tmp_path / "a.ome.tif", series=1)
    np.testing.assert_array_equal(second.read(), STACK[0, :9])
    assert second.spacing["X"] == 2
    assert second.notes == ()
    every = read_image(tmp_path / "a.ome.tif", series="all")
    assert every.axes == "TZYX"
    np.testing.assert_array_equal(every.read(), np.stack([STACK, STACK + 1]))
    assert any("2 of equal shape are read" in note for note in every.notes)
    for wrong in (3, -1, "one", True):
        with pytest.raises(ImageFileError, match=r"image number 3|series cannot be"):
            read_image(tmp_path / "a.ome.tif", series=wrong)  # type: ignore[arg-type]


def test_a_large_file_that_shrinks_while_it_is_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff, "EAGER_BYTES", 1000)
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack")
    image = read_image(tmp_path / "a.tif")
    with (tmp_path / "a.tif").open("r+b") as file:
        file.truncate(3000)
    with pytest.raises(ImageFileError, match="became shorter"):
        image.read()
    with pytest.raises(ImageFileError, match="changed"):
        write_image(tmp_path / "b.npy", image.with_data(STACK))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("compression", ["zlib", "lzw"])
@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_tile_that_does_not_decode_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str, is_lazy: bool
) -> None:
    if is_lazy:
        monkeypatch.setattr(tiff, "EAGER_BYTES", 1000)
    tifffile.imwrite(tmp_path / "a.tif", STACK, tile=(16, 16), compression=compression, photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages[3]
        offset, count = page.dataoffsets[1], page.databytecounts[1]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[offset : offset + count] = bytes([0xAA]) * count
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises((ImageFileError, InvalidImageError), match="cannot be read"):
        read_image(tmp_path / "a.tif").read()
