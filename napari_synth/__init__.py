"""Restore, complete, translate, synthesise and augment microscopy and medical images; the panels for napari stand on this.

Importing this package loads neither torch, nor napari, nor Qt.
"""

from napari_synth.verbs import (
    assess,
    augment,
    batch,
    correct,
    deconvolve,
    denoise,
    inpaint,
    interpolate,
    load_model,
    make_isotropic,
    predict_frames,
    prepare,
    run,
    synthesize,
    train,
    translate,
    upscale,
)

__version__ = "0.1.0"
__all__ = [
    "assess",
    "augment",
    "batch",
    "correct",
    "deconvolve",
    "denoise",
    "inpaint",
    "interpolate",
    "load_model",
    "make_isotropic",
    "predict_frames",
    "prepare",
    "run",
    "synthesize",
    "train",
    "translate",
    "upscale",
]
