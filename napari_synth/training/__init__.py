"""Fits networks to the user's own pixels: patches, precision and the loop; this package imports torch."""

from __future__ import annotations

from napari_synth.training.loop import Budget, FitResult, FitSettings, Objective, fit
from napari_synth.training.patches import PatchPool, collect_crops
from napari_synth.training.precision import training_precision

__all__ = [
    "Budget",
    "FitResult",
    "FitSettings",
    "Objective",
    "PatchPool",
    "collect_crops",
    "fit",
    "training_precision",
]
