from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics import psnr, ssim


def test_psnr_of_a_known_error() -> None:
    clean = np.full((32, 32), 100.0)
    assert psnr(clean, clean + 25.5) == pytest.approx(20.0)


def test_what_lies_outside_is_clipped_before_scoring() -> None:
    clean = np.full((32, 32), 250.0)
    assert psnr(clean, np.full((32, 32), 1000.0)) == pytest.approx(psnr(clean, np.full((32, 32), 255.0)))


def test_ssim_tells_structure_from_brightness() -> None:
    rng = np.random.default_rng(0)
    clean = rng.random((64, 64)) * 200
    assert ssim(clean, clean) == pytest.approx(1.0)
    assert ssim(clean, clean + 5) > 0.99
    assert ssim(clean, np.full_like(clean, clean.mean())) < 0.1
