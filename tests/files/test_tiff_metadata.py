"""What a TIFF says of itself holds: spacing, units, channels, colours, and which end is white."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_synth.files import read_image, tiff, write_image
from napari_synth.imaging.image import ChannelInfo, Image

PLANE = np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)
STACK = np.random.default_rng(0).integers(0, 60000, (2, 3, 20, 30), dtype=np.uint16)
NAMED = (ChannelInfo("DAPI", (0, 0, 255)), ChannelInfo("brightfield"), ChannelInfo("Cy5", (255, 0, 64)))


def test_spacing_of_tifffile_s_own_json(tmp_path: Path) -> None:
    facts = {"axes": "TZYX", "spacing": -0.5, "unit": "um", "finterval": 2.0}
    tifffile.imwrite(tmp_path / "a.tif", STACK, resolution=(10, 5), metadata=facts, photometric="minisblack")
    image = read_image(tmp_path / "a.tif")
    assert dict(image.spacing) == pytest.approx({"T": 2, "Z": 0.5, "Y": 0.2, "X": 0.1})
    assert image.units == {"T": "second", "Z": "micrometer", "Y": "micrometer", "X": "micrometer"}
    facts = {"axes": "TZYX", "PhysicalSizeX": 65.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeZ": 0.3}
    tifffile.imwrite(tmp_path / "b.tif", STACK, metadata=facts, photometric="minisblack")
    image = read_image(tmp_path / "b.tif")
    assert dict(image.spacing) == pytest.approx({"Z": 0.3, "X": 65})
    assert image.units == {"Z": "micrometer", "X": "nanometer"}


def test_steps_are_positive(tmp_path: Path) -> None:
    facts = {"axes": "ZYX", "spacing": -0.5, "unit": "um"}
    tifffile.imwrite(
        tmp_path / "a.tif", STACK[0], imagej=True, resolution=(10, 10), metadata=facts, photometric="minisblack"
    )
    assert read_image(tmp_path / "a.tif").spacing["Z"] == 0.5
    facts = {"axes": "ZYX", "PhysicalSizeZ": -2.0, "PhysicalSizeX": 0.0}
    tifffile.imwrite(tmp_path / "b.ome.tif", STACK[0], metadata=facts, photometric="minisblack")
    assert dict(read_image(tmp_path / "b.ome.tif").spacing) == {"Z": 2}


def lsm_info(sizes: dict[str, int], voxel: tuple[float, float, float], interval: float) -> bytes:
    """Return the structure in which a Zeiss microscope keeps what tifffile reads of it."""
    values: dict[str, Any] = {
        "MagicNumber": 0x00400494C,
        "StructureSize": 500,
        **{f"Dimension{axis}": size for axis, size in sizes.items()},
        "VoxelSizeX": voxel[0],
        "VoxelSizeY": voxel[1],
        "VoxelSizeZ": voxel[2],
        "ScanType": 0,
        "TimeIntervall": interval,
    }
    info = np.zeros(1, np.dtype(tifffile.TIFF.CZ_LSMINFO).newbyteorder("<"))
    for name, value in values.items():
        info[name] = value
    return info.tobytes()


def test_spacing_of_a_confocal_microscope(tmp_path: Path) -> None:
    stack = STACK[0, :, :, :]
    info = lsm_info({"X": 30, "Y": 20, "Z": 3, "Channels": 1, "Time": 1}, (1e-7, 2e-7, 5e-7), 0.0)
    with tifffile.TiffWriter(tmp_path / "a.lsm") as writer:
        for number, plane in enumerate(stack):
            extra = [(34412, 1, len(info), info, True)] if number == 0 else []
            writer.write(plane, metadata=None, contiguous=False, extratags=extra)
            writer.write((plane[::2, ::2] // 256).astype(np.uint8), metadata=None, contiguous=False, subfiletype=1)
    image = read_image(tmp_path / "a.lsm")
    assert image.axes == "ZYX"
    assert dict(image.spacing) == pytest.approx({"Z": 0.5, "Y": 0.2, "X": 0.1})
    assert image.units == dict.fromkeys("ZYX", "micrometer")
    np.testing.assert_array_equal(image.read(), stack)


def test_spacing_of_electron_microscopes(tmp_path: Path) -> None:
    text = b"0\r\n5.0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 12.5 nm\r\n\0"
    tifffile.imwrite(tmp_path / "zeiss.tif", PLANE, metadata=None, extratags=[(34118, 2, len(text), text, True)])
    image = read_image(tmp_path / "zeiss.tif")
    assert dict(image.spacing) == pytest.approx({"Y": 12.5, "X": 12.5})
    assert image.units == {"Y": "nanometer", "X": "nanometer"}
    text = b"[Scan]\r\nPixelWidth=2e-009\r\nPixelHeight=3e-009\r\n\0"
    tifffile.imwrite(tmp_path / "fei.tif", PLANE, metadata=None, extratags=[(34680, 2, len(text), text, True)])
    assert dict(read_image(tmp_path / "fei.tif").spacing) == pytest.approx({"X": 2, "Y": 3})


def test_spacing_of_a_slide_scanner(tmp_path: Path) -> None:
    text = "Aperio Image Library v1\n30x20 (16x16)|AppMag = 20|MPP = 0.4990"
    tiles = np.zeros((32, 48, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.svs", tiles, tile=(16, 16), metadata=None, description=text, photometric="rgb")
    image = read_image(tmp_path / "a.svs")
    assert image.axes == "YXS"
    assert dict(image.spacing) == pytest.approx({"Y": 0.499, "X": 0.499})


def test_metadata_that_make_no_sense_do_not_forbid_the_pixels(tmp_path: Path) -> None:
    description = '{"shape": [20, 30], "napari_synth": {"spacing": 7}}'
    tifffile.imwrite(tmp_path / "a.tif", PLANE, metadata=None, description=description)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.read(), PLANE)
    assert "cannot be understood" in image.notes[0]


@pytest.mark.parametrize("is_lazy", [False, True])
class TestWhatIsShown:
    @pytest.fixture(autouse=True)
    def _loaded_or_not(self, is_lazy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        if is_lazy:
            monkeypatch.setattr(tiff, "EAGER_BYTES", 10)

    @pytest.mark.parametrize("bits", [1, 8, 12, 16])
    def test_white_is_high(self, tmp_path: Path, bits: int) -> None:
        pixels = (STACK[0, 0].astype(int) % 2**bits).astype(np.uint16 if bits > 8 else np.uint8)
        options: dict[str, Any] = {"bitspersample": bits} if bits in (12,) else {}
        if bits == 12:
            pytest.importorskip("imagecodecs")
        stored = pixels.astype(bool) if bits == 1 else pixels
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", metadata=None, **options)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif").read(), 2**bits - 1 - pixels.astype(int))

    def test_one_bit(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", PLANE > 100, photometric="minisblack", metadata=None)
        image = read_image(tmp_path / "a.tif")
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image.read(), PLANE > 100)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_the_image_is_upright(self, tmp_path: Path, orientation: int) -> None:
        turned = {
            1: PLANE,
            2: PLANE[:, ::-1],
            3: PLANE[::-1, ::-1],
            4: PLANE[::-1],
            5: PLANE.T,
            6: np.rot90(PLANE),
            7: PLANE.T[::-1, ::-1],
            8: np.rot90(PLANE, -1),
        }[orientation]
        tifffile.imwrite(
            tmp_path / "a.tif",
            np.ascontiguousarray(turned),
            metadata=None,
            resolution=(5000, 10000) if orientation < 5 else (10000, 5000),
            resolutionunit="CENTIMETER",
            extratags=[(274, 3, 1, orientation, True)],
        )
        image = read_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(image.read(), PLANE)
        assert dict(image.spacing) == pytest.approx({"X": 2, "Y": 1})

    def test_colours_of_a_palette(self, tmp_path: Path) -> None:
        palette = np.random.default_rng(3).integers(0, 256, (3, 256)) * 257
        tifffile.imwrite(tmp_path / "a.tif", PLANE, colormap=palette.astype(np.uint16), metadata=None)
        image = read_image(tmp_path / "a.tif")
        assert image.axes == "YXS"
        np.testing.assert_array_equal(image.read(), (palette // 257).T[PLANE])

    def test_a_lookup_table_of_intensities_is_no_colour(self, tmp_path: Path) -> None:
        ramp = np.arange(256, dtype=np.uint16) * 257
        tifffile.imwrite(tmp_path / "a.tif", PLANE, colormap=np.stack([ramp * 0, ramp, ramp * 0]), metadata=None)
        image = read_image(tmp_path / "a.tif")
        assert image.axes == "YX"
        np.testing.assert_array_equal(image.read(), PLANE)

    def test_inks_become_light(self, tmp_path: Path) -> None:
        inks = np.zeros((20, 30, 4), np.uint8)
        inks[..., 0], inks[:, 15:, 3] = 255, 255
        tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", metadata=None)
        image = read_image(tmp_path / "a.tif")
        assert image.shape == (20, 30, 3)
        assert image.read()[0, 0].tolist() == [0, 255, 255]
        assert image.read()[0, 20].tolist() == [0, 0, 0]

    def test_samples_in_planes_of_their_own(self, tmp_path: Path) -> None:
        colours = np.random.default_rng(4).integers(0, 255, (3, 20, 30), dtype=np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", planarconfig="separate", metadata=None)
        image = read_image(tmp_path / "a.tif")
        assert image.axes == "YXS"
        np.testing.assert_array_equal(image.read(), np.moveaxis(colours, 0, -1))

    @pytest.mark.parametrize("count", [2, 4, 5])
    def test_channels_in_each_pixel_are_no_colours(self, tmp_path: Path, count: int) -> None:
        channels = np.random.default_rng(4).integers(0, 255, (20, 30, count), dtype=np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", channels, photometric="minisblack", planarconfig="contig", metadata=None)
        image = read_image(tmp_path / "a.tif")
        assert image.axes == "CYX"
        np.testing.assert_array_equal(image.read(), np.moveaxis(channels, -1, 0))

    def test_alpha_beside_gray_is_kept(self, tmp_path: Path) -> None:
        gray = np.dstack((PLANE, PLANE))
        options = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]}
        tifffile.imwrite(tmp_path / "a.tif", gray, metadata=None, **options)
        assert read_image(tmp_path / "a.tif").axes == "YXS"


@pytest.mark.parametrize("suffix", [".ome.tif", ".tif", ".ome.zarr"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_names_and_colours_of_channels_survive(tmp_path: Path, suffix: str, dtype: str) -> None:
    image = Image(STACK.astype(dtype), "ZCYX", channels=NAMED)
    write_image(tmp_path / f"a{suffix}", image)
    back = read_image(tmp_path / f"a{suffix}")
    assert back.axes == "ZCYX"
    assert back.channels == NAMED
    np.testing.assert_array_equal(back.read(), image.read())
    assert back.select(C=slice(1, 3)).channels == NAMED[1:]
    assert back.select(C=0).channels == ()


def test_channels_of_other_programs(tmp_path: Path) -> None:
    facts = {"axes": "CYX", "Channel": {"Name": ["a", "b", "c"], "Color": [-16776961, 65535, 16711935]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[0], metadata=facts, photometric="minisblack")
    assert read_image(tmp_path / "a.ome.tif").channels == (
        ChannelInfo("a", (255, 0, 0)),
        ChannelInfo("b", (0, 0, 255)),
        ChannelInfo("c", (0, 255, 0)),
    )
    facts = {"axes": "CYX", "Channel": {"Name": ["a", "b", "c"]}}
    tifffile.imwrite(tmp_path / "b.tif", STACK[0], metadata=facts, photometric="minisblack")
    assert [channel.name for channel in read_image(tmp_path / "b.tif").channels] == ["a", "b", "c"]


def test_axes_of_length_one_survive_in_imagej(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", Image(STACK[:, :1], "TCYX"))
    assert read_image(tmp_path / "a.tif").axes == "TCYX"


def test_what_imagej_reads_is_there(tmp_path: Path) -> None:
    image = Image(
        STACK,
        "TCYX",
        {"T": 2.5, "Y": 0.2, "X": 0.1},
        {"T": "second", "Y": "micrometer", "X": "micrometer"},
        channels=NAMED,
    )
    write_image(tmp_path / "a.tif", image)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        facts = file.imagej_metadata
        assert facts is not None
        assert (facts["frames"], facts["channels"], facts["images"]) == (2, 3, 6)
        assert facts["mode"] == "composite"
        assert facts["unit"] == "um"
        assert facts["finterval"] == 2.5
        assert facts["Labels"] == ["DAPI", "brightfield", "Cy5"] * 2
        assert [table[:, 255].tolist() for table in facts["LUTs"]] == [[0, 0, 255], [255, 255, 255], [255, 0, 64]]
        numerator, denominator = file.pages.first.tags["XResolution"].value
        assert numerator / denominator == pytest.approx(10)
