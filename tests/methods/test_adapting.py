"""Adapting that comes to nothing leaves the bundled network's own result, and says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import napari_synth
from napari_synth.core.errors import TrainingDivergedError
from napari_synth.methods import adapting


@pytest.mark.parametrize(
    ("task", "bundled"),
    [
        ("denoise", "denoise/blind"),
        ("inpaint", "inpaint/network"),
        ("super-resolution", "super-resolution/network"),
    ],
)
def test_what_diverges_is_not_used(monkeypatch: pytest.MonkeyPatch, task: str, bundled: str) -> None:
    def diverge(*given: Any, **more: Any) -> None:
        raise TrainingDivergedError("The loss is no number.")

    monkeypatch.setattr(adapting, "fit", diverge)
    y, x = np.mgrid[:160, :160]
    image = (100 + 50 * np.sin(x / 5) * np.cos(y / 7)).astype(np.float32)
    inputs: dict[str, Any] = {}
    if task == "denoise":
        image += np.random.default_rng(0).normal(0, 10, image.shape).astype(np.float32)
    if task == "inpaint":
        inputs["mask"] = (abs(y - 80) < 4) & (abs(x - 80) < 4)
    adapted = napari_synth.prepare(f"{task}/adapted", image, **inputs)
    plain = napari_synth.prepare(bundled, image, **inputs)
    assert adapting.NOT_SETTLED in adapted.notes
    np.testing.assert_array_equal(adapted.compute(), plain.compute())
