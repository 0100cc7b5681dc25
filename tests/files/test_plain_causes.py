"""What a foreign decoder says of a broken file is told in plain words; its own are kept as the cause of the error."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

import napari_synth
from napari_synth.core.errors import ImageFileError, InvalidImageError, MaskError, plain_cause
from napari_synth.files import read_image

_RAW = re.compile(r"0x|Error|raised|<|struct|object at|None|line \d|offset \d")


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, Path]:
    pixels = np.random.default_rng(0).integers(0, 4000, (3, 40, 40)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "ZYX"}, compression="zlib")
    tifffile.imwrite(tmp_path / "b.tif", pixels, imagej=True)
    np.save(tmp_path / "c.npy", pixels)
    for name in ("d.png", "e.jpg"):
        Picture.fromarray(pixels[0].astype(np.uint8)).save(tmp_path / name)
    return {path.name: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", ["a.ome.tif", "b.tif", "c.npy", "d.png", "e.jpg"])
def test_a_file_that_is_cut_off_or_another_says_so_in_plain_words(name: str, whole: dict[str, Path]) -> None:
    content = whole[name].read_bytes()
    other = whole["c.npy" if name != "c.npy" else "d.png"].read_bytes()
    for broken in (b"", content[:7], content[: len(content) // 3], content[: len(content) * 9 // 10], other):
        whole[name].write_bytes(broken)
        with pytest.raises(ImageFileError) as caught:
            read_image(whole[name]).read()
        assert not _RAW.search(str(caught.value).replace(name, ""))
        assert str(caught.value).endswith(".")


def test_bytes_that_are_wrong_anywhere_are_no_raw_text(whole: dict[str, Path]) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.ome.tif", "b.tif"):
        content = np.frombuffer(whole[name].read_bytes(), np.uint8)
        for _ in range(40):
            broken = content.copy()
            broken[rng.integers(0, 400, 3)] = rng.integers(0, 256, 3)
            whole[name].write_bytes(broken.tobytes())
            try:
                said = read_image(whole[name]).notes
            except (ImageFileError, InvalidImageError) as error:
                said = (str(error),)
            except napari_synth.core.errors.SynthError:
                continue
            assert not any(_RAW.search(one.replace(name, "")) for one in said), said


def test_causes() -> None:
    assert plain_cause(tifffile.TiffFileError("not a TIFF file header=b'PK'")) == "it does not begin as one does"
    assert (
        plain_cause("<TiffTag.fromfile> raised TiffFileError('invalid value offset 10012')")
        == "parts of it are missing"
    )
    assert plain_cause(RuntimeError("Zstd decompression error: invalid input data")) == "its pixels cannot be decoded"
    assert plain_cause(ZeroDivisionError("x")) == "its content cannot be understood"


def test_a_mask_or_region_without_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 999, (32, 32)).astype(np.uint16)
    with pytest.raises(MaskError, match="no pixels"):
        napari_synth.inpaint(image, np.zeros((0, 0)), "biharmonic")
    with pytest.raises(MaskError, match="no pixels"):
        napari_synth.denoise(image, region=[])
