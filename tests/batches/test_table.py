"""The table of measures: what is said of images alone and beside each other, kept over a kill."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from scipy.ndimage import gaussian_filter, shift

from napari_synth.batches import table as tables
from napari_synth.batches.table import COLUMNS, assess_files, read_table
from napari_synth.cli import main
from napari_synth.core.errors import Cancelled, ImageFileError
from napari_synth.core.progress import CancelToken, Reporter

Pixels = npt.NDArray[Any]


def scene(seed: int, size: int = 96) -> Pixels:
    rng = np.random.default_rng(seed)
    field = np.zeros((size, size))
    field[rng.integers(0, size, size * 3), rng.integers(0, size, size * 3)] = rng.exponential(3000, size * 3)
    return gaussian_filter(field, 1.2)


def shot(field: Pixels, seed: int, light: float = 1.0, most: int = 65535) -> Pixels:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(field * light + 20) * 2 + 100 + rng.normal(0, 3, field.shape)
    return np.clip(counts, 0, most).astype(np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        tifffile.imwrite(tmp_path / f"good{number}.tif", shot(scene(number), number))
    return tmp_path


def rows_of(folder: Path, **options: Any) -> dict[str, dict[str, Any]]:
    rows = assess_files(sorted(folder.glob("*.tif")), folder / "table.csv", **options)
    return {Path(row["source"]).stem: row for row in rows}


def test_a_folder_is_told_what_is_wrong_with_it(folder: Path) -> None:
    tifffile.imwrite(folder / "blurred.tif", shot(gaussian_filter(scene(20), 3), 20))
    tifffile.imwrite(folder / "saturated.tif", shot(scene(21), 21, 8, most=1500))
    tifffile.imwrite(folder / "other.tif", shot(scene(3), 99))
    tifffile.imwrite(folder / "small.tif", shot(scene(22), 22)[:64])
    shutil.copy(folder / "good5.tif", folder / "twin.tif")
    (folder / "broken.tif").write_bytes((folder / "good1.tif").read_bytes()[:9000])
    rows = rows_of(folder)
    assert (rows["blurred"]["outlier_in"], rows["saturated"]["outlier_in"]) == ("focus", "saturated")
    assert rows["blurred"]["focus"] < 0.3 < rows["good0"]["focus"]
    assert (rows["twin"]["duplicate"], rows["twin"]["duplicate_of"]) == ("exact", "good5.tif")
    assert (rows["good3"]["duplicate"], rows["other"]["duplicate"]) == ("", "near")
    assert rows["other"]["duplicate_of"] == "good3.tif"
    assert rows["small"]["deviates"] == "shape"
    assert "ends too early" in rows["broken"]["error"]
    assert rows["broken"]["noise"] is None
    assert not any(rows[f"good{number}"]["duplicate"] for number in (0, 1, 2, 4))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_holds_what_was_measured(folder: Path, suffix: str) -> None:
    table = folder / f"table{suffix}"
    rows = assess_files(sorted(folder.glob("*.tif")), table)
    read = read_table(table)
    assert [list(row) for row in read] == [list(COLUMNS)] * 6
    for row, found in zip(rows, read, strict=True):
        assert found["source"] == row["source"]
        assert found["time"] == row["time"]
        assert found["noise"] == pytest.approx(row["noise"], rel=1e-5)
        assert found["shape"] == "96x96"


def test_measuring_goes_on_where_it_was_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token, seen = CancelToken(), []

    def tell(measured: Any) -> None:
        seen.append(measured.source)
        if len(seen) == 2:
            token.cancel()

    with pytest.raises(Cancelled):
        rows_of(folder, report=Reporter(cancel=token), tell=tell)
    assert not (folder / "table.csv").exists()
    again: list[str] = []
    rows_of(folder, tell=lambda measured: again.append(measured.source))
    assert again == ["good2.tif", "good3.tif", "good4.tif", "good5.tif"]
    monkeypatch.setattr(tables, "measure_file", None)
    assert len(rows_of(folder)) == 6


def test_a_changed_file_is_measured_again(folder: Path) -> None:
    before = rows_of(folder)["good0"]
    tifffile.imwrite(folder / "good0.tif", shot(scene(50), 50, 4))
    after = rows_of(folder)["good0"]
    assert after["mean"] > 1.5 * before["mean"]


def test_drift_is_measured_in_pixels(tmp_path: Path) -> None:
    field = gaussian_filter(scene(1, 192), 2.0)
    for number in range(4):
        moved = shift(field, (3.0 * number, -4.5 * number), mode="nearest")
        tifffile.imwrite(tmp_path / f"{number}.tif", shot(moved, number))
    rows = rows_of(tmp_path)
    assert rows["0"]["drift_y"] is None
    for number in range(1, 4):
        assert rows[str(number)]["drift_y"] == pytest.approx(3.0, abs=0.8)
        assert rows[str(number)]["drift_x"] == pytest.approx(-4.5, abs=0.8)


def test_images_of_other_fields_have_no_drift(folder: Path) -> None:
    assert all(row["drift_y"] is None for row in rows_of(folder).values())


def test_near_duplicates_are_found_at_any_noise_and_a_shift_by_a_pixel(tmp_path: Path) -> None:
    for number in range(20):
        field = scene(number, 129)
        tifffile.imwrite(tmp_path / f"{number:02d}a.tif", shot(field[:-1, :-1], number))
        light = (0.1, 0.3, 1.0, 3.0)[number % 4]
        tifffile.imwrite(tmp_path / f"{number:02d}b.tif", shot(field[1:, 1:], 100 + number, light))
    rows = rows_of(tmp_path)
    found = [rows[f"{number:02d}b"]["duplicate_of"] == f"{number:02d}a.tif" for number in range(20)]
    assert np.mean(found) >= 0.95
    assert not any(rows[f"{number:02d}a"]["duplicate"] for number in range(20))


def test_noise_makes_no_duplicates_and_hides_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(8):
        field = scene(number, 129)
        dim = 8 * field / field.max()
        tifffile.imwrite(tmp_path / f"{number:02d}a.tif", rng.poisson(dim[:-1, :-1]).astype("u2"))
        tifffile.imwrite(tmp_path / f"{number:02d}b.tif", rng.poisson(dim[1:, 1:]).astype("u2"))
        tifffile.imwrite(tmp_path / f"{number:02d}empty.tif", rng.poisson(8, (128, 128)).astype("u2"))
    rows = rows_of(tmp_path)
    found = {name: row["duplicate_of"] for name, row in rows.items() if row["duplicate"]}
    assert found == {f"{number:02d}b": f"{number:02d}a.tif" for number in range(8)}


def test_the_command_writes_the_table_and_names_bad_files(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = folder / "t.csv"
    assert main(["assess", str(folder / "*.tif"), str(table)]) == 0
    assert "6 of 6 images are measured" in capfd.readouterr().err
    (folder / "bad.tif").write_bytes(b"II*\0")
    assert main(["assess", str(folder / "*.tif"), str(table)]) == 1
    assert "Skipped bad.tif" in capfd.readouterr().err
    assert len(read_table(table)) == 7


@pytest.mark.parametrize("name", ["t.txt", "none/t.csv"])
def test_a_table_that_cannot_be_is_one_sentence(folder: Path, name: str) -> None:
    with pytest.raises(ImageFileError):
        assess_files([folder / "good0.tif"], folder / name)


def test_infinite_numbers_survive_the_table(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "flat.tif", np.full((64, 64), 7, np.uint8))
    row = rows_of(tmp_path)["flat"]
    assert row["focus"] is None
    assert math.isfinite(row["mean"])
    assert read_table(tmp_path / "table.csv")[0]["focus"] is None
