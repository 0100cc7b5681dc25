from __future__ import annotations

import numpy as np
import pytest

from benchmark import peers, quality
from benchmark.peers import BLIND, BM3D, BM3D_TOLD, CLASSICAL, NO_BM3D, SKIMAGE, SKIMAGE_NLM, Method
from benchmark.quality import Comparison, Score, bench_denoise, compare
from benchmark.scenes import GAUSSIAN_25, PHOTONS_30, Noise, Scene, six_images


def silent(_: str) -> None:
    return None


@pytest.mark.parametrize("method", [BLIND, *CLASSICAL, *SKIMAGE, BM3D, BM3D_TOLD], ids=lambda method: method.name)
@pytest.mark.parametrize("noise", [GAUSSIAN_25, PHOTONS_30], ids=["gauss", "photons"])
def test_every_method_removes_noise(method: Method, noise: Noise) -> None:
    scene = six_images(quick=True)[0].cropped(72)
    scores = compare("here", [scene], noise, [method], silent).scores[scene.name]
    assert scores[method.name].psnr > scores["noisy"].psnr + 1.0
    assert scores[method.name].ssim > scores["noisy"].ssim
    assert scores[method.name].seconds >= 0


def test_methods_see_the_same_noisy_image_and_no_clean_one() -> None:
    seen = []

    def remember(noisy: np.ndarray, _: Noise) -> np.ndarray:
        seen.append(noisy.copy())
        return noisy

    scene = Scene("flat", np.full((40, 40), 128.0))
    compare("here", [scene], GAUSSIAN_25, [Method("a", remember, True), Method("b", remember, False)], silent)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert seen[0].std() == pytest.approx(25, rel=0.05)


def example() -> Comparison:
    return Comparison(
        "Two images",
        {
            "one": {"noisy": Score(20, 0.4, 0), BLIND.name: Score(30, 0.8, 1), SKIMAGE_NLM.name: Score(29, 0.7, 2)},
            "two": {"noisy": Score(20, 0.4, 0), BLIND.name: Score(32, 0.9, 3), SKIMAGE_NLM.name: Score(32.5, 0.9, 4)},
        },
    )


def test_means_and_losses() -> None:
    comparison = example()
    assert comparison.mean_psnr(BLIND.name) == 31
    assert comparison.per_image().rows[-1] == ("mean", 20, 31, 30.75)
    assert {row[0]: row[3] for row in comparison.summary().rows} == {
        "noisy": None,
        BLIND.name: 2,
        SKIMAGE_NLM.name: 3,
    }
    (said,) = comparison.losses_against(SKIMAGE_NLM.name)
    assert "0.50 dB below" in said
    assert "two" in said


def test_report_names_every_image_and_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "CLASSICAL", CLASSICAL[1:2])
    monkeypatch.setattr(quality, "SKIMAGE", SKIMAGE[:1])
    report = bench_denoise(quick=True)
    text = report.to_markdown()
    assert "camera" in text
    assert "moon" in text
    assert "BM3D was not asked for." in report.remarks
    assert any("measuring the correlation brings" in remark for remark in report.remarks)


def test_missing_bm3d_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "has_bm3d", lambda: False)
    methods, remarks = quality._methods(quick=False, with_bm3d=True)
    assert BM3D not in methods
    assert remarks == [NO_BM3D]
    assert "pip install" in NO_BM3D
    monkeypatch.setattr(quality, "has_bm3d", lambda: True)
    methods, remarks = quality._methods(quick=False, with_bm3d=True)
    assert BM3D in methods
    assert not remarks


def test_bm3d_is_looked_for() -> None:
    assert peers.has_bm3d() in {True, False}
