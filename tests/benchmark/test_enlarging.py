from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
from skimage import data

from benchmark import enlarging
from benchmark.enlarging import METHODS, Degradation, bench_super_resolution
from napari_synth.core.errors import ImageFileError


def test_quick_says_psnr_ssim_and_seconds_of_every_method_and_scale(tmp_path) -> None:
    for scale in enlarging.SCALES:
        fine = data.astronaut()[: 48 * scale // 2 * 2 : 1, 150 : 150 + 48]
        fine = fine[: 48 // scale * scale, : 48 // scale * scale]
        coarse = fine.reshape(48 // scale, scale, 48 // scale, scale, 3).mean((1, 3)).astype(np.uint8)
        iio.imwrite(tmp_path / f"face_x{scale}_HR.png", fine)
        iio.imwrite(tmp_path / f"face_x{scale}_LR.png", coarse)
    report = bench_super_resolution(set5=tmp_path, quick=True, device="cpu")
    quality = [table for table in report.tables if "PSNR" in table.title]
    assert len(quality) == 6
    for table in quality:
        assert table.columns == ("image", *METHODS)
        assert [row[0] for row in table.rows[-2:]] == ["mean", "SSIM"]
        assert all(10.0 < value < 60.0 for value in table.rows[-2][1:])
        assert all(0.2 < value < 1.0 for value in table.rows[-1][1:])
    assert "x4" in report.to_markdown()


def test_images_below_lanczos_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = enlarging.napari_synth.upscale

    def worse(image, factor, method, **options):
        made = right(image, factor, "bicubic", **options)
        return np.roll(made, 1, 0) if method == "network" else made

    monkeypatch.setattr(enlarging.napari_synth, "upscale", worse)
    report = bench_super_resolution(quick=True, device="cpu")
    assert any("below Lanczos on camera" in remark for remark in report.remarks)


def test_degradations_cut_blur_and_add_noise() -> None:
    fine = data.camera()[:101, :103].astype(float)
    clean, blurred, noisy = (
        Degradation("", **how).pair("camera", fine, 4, 0) for how in ({}, {"blur": 1.0}, {"sigma": 20.0})
    )
    assert clean.fine.shape == (100, 100)
    assert clean.coarse.shape == (25, 25)
    assert np.abs(np.diff(blurred.fine)).mean() < 0.5 * np.abs(np.diff(clean.fine)).mean()
    difference = noisy.coarse.astype(float) - clean.coarse
    assert 15.0 < difference.std() < 22.0


def test_a_folder_without_pairs_is_refused(tmp_path) -> None:
    with pytest.raises(ImageFileError, match="no pairs"):
        bench_super_resolution(set5=tmp_path, quick=True)


def test_a_pair_without_its_coarse_image_is_told_of(tmp_path) -> None:
    iio.imwrite(tmp_path / "face_x2_HR.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(ImageFileError, match="no face_x2_LR"):
        bench_super_resolution(set5=tmp_path, quick=True)
