from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

import napari_synth
from napari_synth import registry, verbs
from napari_synth.contract.generator import Task
from napari_synth.imaging.image import Image


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    truth = data.camera()[:256, :256].astype("f4")
    return truth + np.random.default_rng(0).normal(0, 25, truth.shape).astype("f4")


def test_auto_takes_the_gpu() -> None:
    prepared = verbs.prepare("denoise/blind", Image.from_array(np.random.default_rng(0).random((32, 32))))
    assert prepared.device.kind == "cuda"


@pytest.mark.parametrize(
    "generator", [g for g in registry.generators(Task.DENOISE) if not g.info.trains], ids=lambda g: g.info.id
)
def test_gpu_and_cpu_agree_in_float32(generator, noisy: np.ndarray) -> None:
    on_gpu = napari_synth.run(generator.info.id, noisy, device="cuda", precision="float32")
    on_cpu = napari_synth.run(generator.info.id, noisy, device="cpu")
    assert np.abs(on_gpu - on_cpu).max() < 1e-2 * np.ptp(noisy)


def test_float32_has_more_bits_than_a_camera() -> None:
    ramp = np.linspace(0, 65535, 256 * 256).reshape(256, 256).astype(np.uint16)
    on_gpu = napari_synth.upscale(ramp, 2, device="cuda", precision="float32").astype(int)
    on_cpu = napari_synth.upscale(ramp, 2, device="cpu").astype(int)
    assert np.abs(on_gpu - on_cpu).max() <= 2


def test_half_precision_costs_next_to_nothing(noisy: np.ndarray) -> None:
    half = napari_synth.denoise(noisy, device="cuda", precision="float16")
    full = napari_synth.denoise(noisy, device="cuda", precision="float32")
    assert np.abs(half - full).mean() < 0.02 * 25


def test_memory_is_given_back(noisy: np.ndarray) -> None:
    napari_synth.denoise(noisy, device="cuda")
    before = torch.cuda.memory_allocated()
    napari_synth.denoise(np.tile(noisy, (8, 8)), device="cuda")
    assert torch.cuda.memory_allocated() <= before + 2**20


def test_more_than_fits_is_restored_in_smaller_blocks(noisy: np.ndarray) -> None:
    free, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (total - free + 400 * 2**20) / total))
    try:
        messages: list[str] = []
        image = np.tile(noisy, (16, 16))
        result = napari_synth.denoise(image, device="cuda", progress=lambda p: messages.append(p.message))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert np.isfinite(result).all()
    assert any("smaller blocks" in message for message in messages)
