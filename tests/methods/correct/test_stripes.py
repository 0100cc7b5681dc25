"""Stripes and rings go, whole ones and parts, and an image without any stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from skimage import data

import napari_synth
from napari_synth.engine.prepared import PreparedRun

CAMERA = data.camera()[40:168, 150:278].astype("f4")
MOON = data.moon()[100:228, 100:228].astype("f4")
CELL = data.cell()[200:328, 200:328].astype("f4")


def psnr(image: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / np.mean((np.asarray(image, float) - truth) ** 2)))


def noisy(truth: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return (truth + np.random.default_rng(5).normal(0, 1, truth.shape)).astype("f4")


def parts(shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    draws = np.random.default_rng(2)
    stripes = np.zeros(shape)
    for x in draws.integers(shape[1], size=60):
        start = draws.integers(shape[0])
        stripes[start : start + draws.integers(shape[0] // 6, shape[0] // 2), x] += draws.normal(0, 0.12)
    return stripes


def prepared(image: npt.NDArray[Any], **params: Any) -> PreparedRun:
    return napari_synth.prepare("correct/stripes", image, params, device="cpu")


@pytest.mark.parametrize(("truth", "gain"), [(CAMERA, 7.0), (MOON, 9.0), (CELL, 8.0)], ids=["camera", "moon", "cell"])
def test_stripes_from_edge_to_edge_go(truth: npt.NDArray[Any], gain: float) -> None:
    image = noisy(truth * np.exp(np.random.default_rng(3).normal(0, 0.08, truth.shape[1])))
    run = prepared(image)
    assert psnr(run.compute(), truth) - psnr(image, truth) > gain
    assert "There are stripes along the columns" in run.notes[0]


@pytest.mark.parametrize("truth", [CAMERA, MOON, CELL], ids=["camera", "moon", "cell"])
def test_parts_of_stripes_go(truth: npt.NDArray[Any]) -> None:
    image = noisy(truth * np.exp(parts(truth.shape)))
    run = prepared(image)
    assert psnr(run.compute(), truth) - psnr(image, truth) > 3.0
    assert "in parts" in run.notes[0]


@pytest.mark.parametrize("truth", [CAMERA, MOON, CELL], ids=["camera", "moon", "cell"])
def test_an_image_without_stripes_stays_as_it_is(truth: npt.NDArray[Any]) -> None:
    image = noisy(truth)
    run = prepared(image)
    np.testing.assert_allclose(run.compute(), image, rtol=1e-5, atol=1e-3)
    assert "No stripes along the columns were found" in run.notes[0]


def test_banding_of_a_camera_is_subtracted_along_the_rows() -> None:
    image = noisy(CAMERA + np.random.default_rng(3).normal(0, 8, (CAMERA.shape[0], 1)))
    run = prepared(image, direction="rows")
    assert psnr(run.compute(), CAMERA) - psnr(image, CAMERA) > 5.0
    assert "which add to the signal" in run.notes[0]
    assert run.recipe.params["law"] == "offset"


def test_rings_go() -> None:
    y, x = np.mgrid[:128, :128] - 63.5
    radius = np.hypot(y, x)
    rings = np.random.default_rng(4).normal(0, 8, 100)
    truth = MOON
    image = noisy(truth + np.interp(radius, np.arange(100), rings))
    run = prepared(image, direction="rings")
    assert psnr(run.compute(), truth) - psnr(image, truth) > 4.0
    assert "rings" in run.notes[0]


@pytest.mark.parametrize(
    "name", ["brick", "grass", "gravel", "coins", "text", "page", "immunohistochemistry", "retina"]
)
def test_no_image_gets_worse(name: str) -> None:
    clean = np.asarray(getattr(data, name)(), "f4")
    clean = (clean.mean(-1) if clean.ndim == 3 else clean)[:192, :192]
    rng = np.random.default_rng(0)
    noisy = clean + rng.normal(0, 1, clean.shape)
    whole = rng.normal(0, 8, (1, clean.shape[1]))
    parts = np.where(np.arange(clean.shape[0])[:, None] < 96, whole * (rng.random(clean.shape[1]) < 0.2), 0)
    for stripes in (np.zeros_like(clean), whole, parts):
        source = (noisy + stripes).astype("f4")
        made = napari_synth.correct(source, "stripes", device="cpu")
        before, after = (np.mean((one - clean) ** 2) for one in (source, made))
        # The joints of bricks are as straight as stripes: what is left of them costs 0.4 dB at most.
        assert after <= 1.1 * before


@pytest.mark.parametrize(
    ("name", "top", "left", "edge"),
    [
        ("camera", 180, 198, 128),
        ("brick", 51, 176, 64),
        ("brick", 261, 205, 96),
        ("brick", 212, 19, 192),
        ("moon", 62, 416, 96),
    ],
)
def test_edges_and_joints_of_small_crops_stay(name: str, top: int, left: int, edge: int) -> None:
    clean = getattr(data, name)()[top : top + edge, left : left + edge].astype("f4")
    draws = np.random.default_rng(1)
    gains = draws.normal(0, 1, edge)
    first, length = draws.uniform(0, 0.7, edge), draws.uniform(0.2, 0.6, edge)
    y = np.arange(edge)[:, None] / edge
    in_parts = gains * ((y >= first) & (y < first + length))
    for stripes in (0.02 * gains, 0.05 * gains, 0.15 * gains, 0.05 * in_parts, 0.15 * in_parts):
        source = (clean * np.exp(stripes)).astype("f4")
        made = napari_synth.correct(source, "stripes", axes="YX", device="cpu")
        assert psnr(made, clean) >= psnr(source, clean) - 0.02


@pytest.mark.parametrize(("top", "left", "edge"), [(62, 416, 96), (0, 21, 64)])
def test_strong_stripes_of_a_smooth_image_go(top: int, left: int, edge: int) -> None:
    clean = data.moon()[top : top + edge, left : left + edge].astype("f4")
    source = clean * np.exp(np.random.default_rng(1).normal(0, 0.15, edge)).astype("f4")
    made = napari_synth.correct(source, "stripes", axes="YX", device="cpu")
    assert psnr(made, clean) - psnr(source, clean) > 12.0
