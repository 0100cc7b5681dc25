"""Parts of a file of pixels, read without a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_synth.core.errors import ImageFileError, InvalidImageError
from napari_synth.files import raw, read_image, write_image
from napari_synth.files.raw import RawArray
from napari_synth.imaging.image import Image

PIXELS = np.arange(3 * 4 * 50 * 60, dtype=">u2").reshape(3, 4, 50, 60)


@pytest.fixture
def stored(tmp_path: Path) -> RawArray:
    (tmp_path / "a.raw").write_bytes(b"head" + PIXELS.tobytes())
    return RawArray(tmp_path / "a.raw", ">u2", PIXELS.shape, 4)


@pytest.mark.parametrize("skipped", [0, 2**16])
def test_any_part_is_that_of_the_array(stored: RawArray, monkeypatch: pytest.MonkeyPatch, skipped: int) -> None:
    monkeypatch.setattr(raw, "_SKIPPED", skipped)
    rng = np.random.default_rng(0)

    def part(size: int) -> Any:
        kind, low, high = rng.random(), int(rng.integers(-size, size)), int(rng.integers(-size, size))
        if kind < 0.3:
            return low
        return slice(None) if kind < 0.5 else slice(low, high, [1, 1, 2, -1, -3][int(rng.integers(5))])

    for _ in range(300):
        index: tuple[Any, ...] = tuple(part(size) for size in PIXELS.shape[: int(rng.integers(1, 5))])
        np.testing.assert_array_equal(stored[index], PIXELS[index], err_msg=str(index))
    np.testing.assert_array_equal(stored[..., 3:5], PIXELS[..., 3:5])
    np.testing.assert_array_equal(stored[[0, 2], 1], PIXELS[[0, 2], 1])
    np.testing.assert_array_equal(np.asarray(stored), PIXELS)


def test_a_file_that_is_too_short_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(99))
    with pytest.raises(ImageFileError, match="1 of its bytes are missing"):
        RawArray(tmp_path / "a.raw", np.uint8, (10, 10))


def test_a_file_that_shrinks_is_an_error_and_no_signal(stored: RawArray) -> None:
    stored.path.write_bytes(bytes(5000))
    assert stored[0, 0, 0].shape == (60,)
    with pytest.raises(ImageFileError, match="became shorter"):
        stored[2]
    with pytest.raises((ImageFileError, InvalidImageError), match="became shorter"):
        Image(stored, "TZYX").read()


@pytest.mark.parametrize("kept", [0.001, 0.05, 0.5, 0.999])
def test_an_npy_that_ends_early_is_an_error(tmp_path: Path, kept: float) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "b.npy").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ImageFileError):
        read_image(tmp_path / "b.npy")


def test_an_npy_of_columns_or_of_truths(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(PIXELS[0, 0]))
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy").read(), PIXELS[0, 0])
    np.save(tmp_path / "b.npy", PIXELS[0, 0] % 2 == 0)
    image = read_image(tmp_path / "b.npy")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image.read(), PIXELS[0, 0] % 2 == 0)


def test_an_npy_is_written_as_numpy_reads_it(tmp_path: Path) -> None:
    for dtype in ("uint8", ">i4", "float16", "float64"):
        write_image(tmp_path / "a.npy", Image(PIXELS[0].astype(dtype), "ZYX"), overwrite=True)
        np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), PIXELS[0].astype(dtype))
