"""NIfTI, NRRD and MetaImage: roles, spacing and units, and files that end early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_synth.core.errors import ImageFileError, MissingExtraError
from napari_synth.files import read_image

sitk = pytest.importorskip("SimpleITK")
VOLUME = np.random.default_rng(0).integers(0, 3000, (5, 12, 16), dtype=np.int16)


def nifti(path: Path, pixels: np.ndarray, steps: tuple[float, ...], units: tuple[str, str] = ("mm", "sec")) -> None:
    """Write pixels, given in the order T, Z, Y, X, as a file of another program."""
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(pixels.T, np.diag([*steps[:3], 1.0]))
    image.header.set_zooms(steps)
    image.header.set_xyzt_units(*units)
    nibabel.save(image, path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_volume(tmp_path: Path, suffix: str) -> None:
    volume = sitk.GetImageFromArray(VOLUME)
    volume.SetSpacing((0.25, 0.5, 2.0))
    sitk.WriteImage(volume, str(tmp_path / f"a{suffix}"))
    image = read_image(tmp_path / f"a{suffix}")
    assert image.axes == "ZYX"
    assert image.dtype == np.int16
    assert image.name == "a"
    assert dict(image.spacing) == pytest.approx({"Z": 2, "Y": 0.5, "X": 0.25})
    assert image.units == dict.fromkeys("ZYX", "millimeter")
    np.testing.assert_array_equal(image.read(), VOLUME)


def test_times_of_volumes(tmp_path: Path) -> None:
    movie = np.stack([VOLUME, VOLUME + 1, VOLUME + 2])
    nifti(tmp_path / "a.nii", movie, (0.25, 0.5, 2.0, 1.5))
    image = read_image(tmp_path / "a.nii")
    assert image.axes == "TZYX"
    assert dict(image.spacing) == pytest.approx({"T": 1.5, "Z": 2, "Y": 0.5, "X": 0.25})
    assert image.units == {"T": "second", "Z": "millimeter", "Y": "millimeter", "X": "millimeter"}
    np.testing.assert_array_equal(image.read(), movie)


def test_few_times_of_few_planes_keep_their_roles(tmp_path: Path) -> None:
    movie = np.zeros((2, 3, 12, 16), np.float32)
    nifti(tmp_path / "a.nii.gz", movie, (1, 1, 1, 1))
    assert read_image(tmp_path / "a.nii.gz").axes == "TZYX"


def test_further_values_of_each_voxel_are_channels(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((3, 1, 5, 12, 16), np.float32)
    nifti(tmp_path / "a.nii", values, (0.25, 0.5, 2.0, 1.0, 1.0))
    image = read_image(tmp_path / "a.nii")
    assert image.axes == "CZYX"
    assert set(image.spacing) == set("ZYX")
    np.testing.assert_array_equal(image.read(), values[:, 0])
    nifti(tmp_path / "b.nii", np.concatenate((values, values), axis=1), (0.25, 0.5, 2.0, 4.0, 1.0))
    image = read_image(tmp_path / "b.nii")
    assert image.axes == "CTZYX"
    assert image.spacing["T"] == 4


def test_one_plane_and_one_time_are_no_axes(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii", VOLUME[:1], (0.25, 0.5, 2.0))
    assert read_image(tmp_path / "a.nii").axes == "YX"
    nifti(tmp_path / "b.nii", VOLUME[:, None], (0.25, 0.5, 2.0, 4.0))
    image = read_image(tmp_path / "b.nii")
    assert image.axes == "TYX"
    assert image.spacing["T"] == 4


def test_other_units_are_brought_to_millimetres_and_seconds(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii", np.stack([VOLUME, VOLUME]), (100.0, 100.0, 300.0, 500.0), ("micron", "msec"))
    image = read_image(tmp_path / "a.nii")
    assert dict(image.spacing) == pytest.approx({"T": 0.5, "Z": 0.3, "Y": 0.1, "X": 0.1})


def test_a_scaled_volume_is_in_its_own_unit(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(VOLUME.T, np.eye(4))
    image.header.set_slope_inter(0.5, -100)
    nibabel.save(image, tmp_path / "a.nii")
    stored = nibabel.load(tmp_path / "a.nii").get_fdata().T
    np.testing.assert_allclose(read_image(tmp_path / "a.nii").read(), stored, atol=0.5)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("kept", [0.01, 0.3, 0.6, 0.95, 0.999])
def test_a_file_that_ends_early_is_an_error(tmp_path: Path, suffix: str, kept: float) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(tmp_path / f"a{suffix}"))
    content = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"b{suffix}").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ImageFileError):
        read_image(tmp_path / f"b{suffix}").read()


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.nii").write_bytes(b"?")
    monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
    with pytest.raises(MissingExtraError, match=r"napari-synth\[medical\]"):
        read_image(tmp_path / "a.nii")
