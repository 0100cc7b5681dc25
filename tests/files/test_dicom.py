"""DICOM: one file is one image, one series a volume, and nothing of the patient comes along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_synth.core.errors import ImageFileError, MissingExtraError
from napari_synth.files import read_image, write_image

pydicom = pytest.importorskip("pydicom")
PIXELS = np.random.default_rng(0).integers(0, 4000, (24, 30), dtype=np.uint16)


def dicom(path: Path, pixels: np.ndarray = PIXELS, *, frames: int = 1, colour: bool = False, **tags: Any) -> Any:
    """Write a small file as a scanner would."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID = "Secret^Person", "P-4711"
    dataset.Modality = "CT"
    height, width = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    dataset.Rows, dataset.Columns = height, width
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    bits = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return dataset


def sequence(**tags: Any) -> Any:
    item = pydicom.dataset.Dataset()
    for name, value in tags.items():
        setattr(item, name, value)
    return pydicom.sequence.Sequence([item])


def test_each_file_of_a_folder_is_itself(tmp_path: Path) -> None:
    for number in range(3):
        dicom(tmp_path / f"{number}.dcm", PIXELS + number, SeriesInstanceUID="1.2.3", InstanceNumber=number)
    for number in range(3):
        np.testing.assert_array_equal(read_image(tmp_path / f"{number}.dcm").read(), PIXELS + number)


def test_spacing_is_that_of_rows_and_columns(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm", PixelSpacing=[0.5, 0.25])
    image = read_image(tmp_path / "a.dcm")
    assert image.axes == "YX"
    assert dict(image.spacing) == {"Y": 0.5, "X": 0.25}
    assert image.units == {"Y": "millimeter", "X": "millimeter"}


def test_a_file_without_a_suffix_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    dicom(tmp_path / "IM000001")
    np.testing.assert_array_equal(read_image(tmp_path / "IM000001").read(), PIXELS)


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"), [(1, -1024, "int16"), (2, 0, "int16"), (0.5, 10.25, "float32"), (1, 0, "uint16")]
)
def test_pixels_are_in_the_unit_of_the_scanner(tmp_path: Path, slope: float, intercept: float, dtype: str) -> None:
    dicom(tmp_path / "a.dcm", RescaleSlope=slope, RescaleIntercept=intercept)
    image = read_image(tmp_path / "a.dcm")
    assert image.dtype == np.dtype(dtype)
    np.testing.assert_allclose(image.read(), PIXELS.astype(float) * slope + intercept)


def test_white_is_high_whatever_the_file_calls_white(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm").read(), 4095 - PIXELS)
    dicom(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1", RescaleIntercept=-5, RescaleSlope=1)
    image = read_image(tmp_path / "b.dcm")
    np.testing.assert_array_equal(image.read(), PIXELS.astype(int) - 5)
    assert "lowest values white" in image.notes[0]


def test_colours(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (24, 30, 3), dtype=np.uint8)
    dicom(tmp_path / "a.dcm", pixels, colour=True)
    image = read_image(tmp_path / "a.dcm")
    assert image.axes == "YXS"
    np.testing.assert_array_equal(image.read(), pixels)


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless"])
def test_compressed_files_are_decoded(tmp_path: Path, syntax: str) -> None:
    pixels = np.tile(PIXELS, (4, 4))
    dataset = dicom(tmp_path / "a.dcm", pixels, PixelSpacing=[0.5, 0.25])
    dataset.compress(getattr(pydicom.uid, syntax))
    dataset.save_as(tmp_path / "b.dcm")
    image = read_image(tmp_path / "b.dcm")
    np.testing.assert_array_equal(image.read(), pixels)
    assert dict(image.spacing) == {"Y": 0.5, "X": 0.25}


def test_lossless_jpeg_is_decoded_without_a_viral_decoder(tmp_path: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    pytest.importorskip("SimpleITK")
    dataset = dicom(tmp_path / "a.dcm", RescaleSlope=1, RescaleIntercept=-1024)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    dataset.PixelData = pydicom.encaps.encapsulate([imagecodecs.ljpeg_encode(PIXELS)])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(tmp_path / "b.dcm")
    np.testing.assert_array_equal(read_image(tmp_path / "b.dcm").read(), PIXELS.astype(int) - 1024)


MOVIE = np.stack([PIXELS + n for n in range(6)])


def test_frames_in_time(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm", MOVIE, frames=6, FrameTime=40.0, Modality="US")
    image = read_image(tmp_path / "a.dcm")
    assert image.axes == "TYX"
    assert image.spacing["T"] == 40
    assert image.units["T"] == "millisecond"
    np.testing.assert_array_equal(image.read(), MOVIE)


def places(heights: list[float]) -> Any:
    items = []
    for height in heights:
        item = pydicom.dataset.Dataset()
        item.PlanePositionSequence = sequence(ImagePositionPatient=[0, 0, height])
        items.append(item)
    return pydicom.sequence.Sequence(items)


def test_frames_in_space_are_sorted_by_where_they_lie(tmp_path: Path) -> None:
    shared = sequence(
        PixelMeasuresSequence=sequence(PixelSpacing=[0.5, 0.5], SliceThickness=9),
        PlaneOrientationSequence=sequence(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    )
    tags = {"SharedFunctionalGroupsSequence": shared}
    dicom(tmp_path / "a.dcm", MOVIE, frames=6, **tags, PerFrameFunctionalGroupsSequence=places([10, 8, 6, 4, 2, 0]))
    image = read_image(tmp_path / "a.dcm")
    assert image.axes == "ZYX"
    assert dict(image.spacing) == pytest.approx({"Z": 2, "Y": 0.5, "X": 0.5})
    np.testing.assert_array_equal(image.read(), MOVIE[::-1])
    dicom(tmp_path / "b.dcm", MOVIE, frames=6, **tags, PerFrameFunctionalGroupsSequence=places([0, 3, 6, 0, 3, 6]))
    image = read_image(tmp_path / "b.dcm")
    assert image.axes == "TZYX"
    np.testing.assert_array_equal(image.read(), MOVIE.reshape(2, 3, 24, 30))


def series(folder: Path, heights: list[float], uid: str = "1.2.3", number: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    for index, height in enumerate(heights):
        dicom(
            folder / f"{uid}-{index}.dcm",
            MOVIE[index % 6],
            SeriesInstanceUID=uid,
            SeriesNumber=number,
            InstanceNumber=index,
            PixelSpacing=[0.5, 0.25],
            ImagePositionPatient=[0, 0, height],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )


def test_a_folder_of_one_series_is_a_volume(tmp_path: Path) -> None:
    series(tmp_path / "scan", [9, 6, 3, 0])
    image = read_image(tmp_path / "scan")
    assert image.axes == "ZYX"
    assert dict(image.spacing) == pytest.approx({"Z": 3, "Y": 0.5, "X": 0.25})
    np.testing.assert_array_equal(image.read(), MOVIE[3::-1])


def test_slices_that_are_missing_are_said(tmp_path: Path) -> None:
    series(tmp_path / "scan", [0, 3, 6, 12])
    assert "not evenly spaced" in read_image(tmp_path / "scan").notes[0]


def test_one_of_several_series_is_chosen(tmp_path: Path) -> None:
    series(tmp_path / "scan", [0, 1, 2], "1.2.3", 2)
    series(tmp_path / "scan", [0, 5], "1.2.4", 1)
    with pytest.raises(ImageFileError, match=r"2 DICOM series \(0: 2 files, 1: 3 files\)"):
        read_image(tmp_path / "scan")
    assert read_image(tmp_path / "scan", series=1).shape == (3, 24, 30)
    with pytest.raises(ImageFileError, match="no image number 5"):
        read_image(tmp_path / "scan", series=5)


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="without a DICOM series"):
        read_image(tmp_path)


def test_nothing_of_the_patient_reaches_a_result(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm", PixelSpacing=[0.5, 0.25])
    for name in ("b.ome.tif", "b.tif", "b.zarr"):
        write_image(tmp_path / name, read_image(tmp_path / "a.dcm"))
    written = [path for path in tmp_path.rglob("b*") if path.is_file()]
    written += [path for path in (tmp_path / "b.zarr").rglob("*") if path.is_file()]
    assert len(written) >= 4
    for path in written:
        assert b"Secret" not in path.read_bytes()
        assert b"4711" not in path.read_bytes()


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_ends_early_is_an_error(tmp_path: Path, kept: float, compressed: bool) -> None:
    dataset = dicom(tmp_path / "a.dcm", MOVIE, frames=6)
    if compressed:
        dataset.compress(pydicom.uid.RLELossless)
        dataset.save_as(tmp_path / "a.dcm")
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "b.dcm").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ImageFileError):
        read_image(tmp_path / "b.dcm").read()


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dicom(tmp_path / "a.dcm")
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"napari-synth\[medical\]"):
        read_image(tmp_path / "a.dcm")


def test_damaged_run_lengths_are_an_error(tmp_path: Path) -> None:
    dataset = dicom(tmp_path / "a.dcm", PIXELS)
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "a.dcm")
    content = (tmp_path / "a.dcm").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(content)
        for at in rng.integers(len(content) - 700, len(content), 3):
            damaged[at] = rng.integers(256)
        (tmp_path / "b.dcm").write_bytes(damaged)
        try:
            shape = read_image(tmp_path / "b.dcm").shape
        except ImageFileError:
            continue
        assert shape == PIXELS.shape
