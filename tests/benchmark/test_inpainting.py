from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
from skimage import data

from benchmark import inpainting
from benchmark.inpainting import KINDS, OWN, bench_inpaint, draw_holes, judged


def test_quick_says_quality_and_seconds_and_shows_it(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = data.camera()[100:180, 100:180, None]
    monkeypatch.setattr(inpainting, "crops", lambda count: [("camera", truth)])
    monkeypatch.setattr(inpainting, "draw_holes", lambda kind, seed: draw_holes(kind, seed, 80))
    report = bench_inpaint(quick=True, device="cpu", mosaic=tmp_path / "m.png")
    assert len(report.tables) == 2 * len(KINDS)
    for table in report.tables[1::2]:
        assert set(OWN) < set(table.columns)
        psnr, ssim, energy, seconds = (row[1:] for row in table.rows)
        assert all(8.0 < value < 60.0 for value in psnr)
        assert all(-0.5 < value < 1.0 for value in ssim)
        assert min(energy) >= 0.0
        assert min(seconds) > 0.0
    for kind in KINDS:
        assert iio.imread(tmp_path / f"m-{kind}.png").shape == (80, 80 * (1 + len(report.tables[0].columns)), 3)


def test_holes_have_the_size_they_are_named_after() -> None:
    assert draw_holes("box", 0).sum() == 56**2
    assert draw_holes("discs", 0).any()
    assert 0 < draw_holes("scratches", 1).sum() < 5 * 180 * 4


def test_blur_loses_high_frequencies_and_the_truth_loses_nothing() -> None:
    truth = np.random.default_rng(0).integers(0, 255, (64, 64, 1))
    holes = draw_holes("box", 0, 64)
    assert judged(truth, truth, holes) == (np.inf, pytest.approx(1.0), 1.0)
    flat = np.where(holes[..., None], 127, truth)
    psnr, ssim, energy = judged(truth, flat, holes)
    assert psnr < 15.0
    assert ssim < 0.5
    assert energy < 0.2
