"""Finds what can be trained: built-in trainables, and those of other packages. Loads no torch.

Other packages declare theirs in the entry point group ``napari_synth.trainables``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from napari_synth.core.generator import Task
from napari_synth.core.plugins import collected, named
from napari_synth.core.texts import shown
from napari_synth.training.trainable import Trainable

ENTRY_POINT_GROUP = "napari_synth.trainables"

# In the order in which they are listed.
_BUILT_IN = (
    "napari_synth.trainables.denoise.supervised:Supervised",
    "napari_synth.trainables.denoise.noise2noise:Noise2Noise",
    "napari_synth.trainables.denoise.noise2void:Noise2VoidOfMany",
    "napari_synth.trainables.denoise.deep_interpolation:DeepInterpolation",
    "napari_synth.trainables.translate.regression:Regression",
    "napari_synth.trainables.translate.pix2pix:Pix2Pix",
    "napari_synth.trainables.translate.cyclegan:CycleGAN",
    "napari_synth.trainables.translate.cut:Cut",
    "napari_synth.trainables.synthesize.vae:VAE",
    "napari_synth.trainables.synthesize.vae_gan:VAEGAN",
    "napari_synth.trainables.synthesize.vae_gan:TranslatingVAEGAN",
    "napari_synth.trainables.synthesize.flow_matching:FlowMatching",
    "napari_synth.trainables.synthesize.dcgan:Dcgan",
    "napari_synth.trainables.synthesize.fastgan:Fastgan",
    "napari_synth.trainables.synthesize.labels_to_image:LabelsToImage",
    "napari_synth.trainables.predict_frames.simvp:SimVPOfMovies",
    "napari_synth.trainables.predict_frames.conv_lstm:ConvLSTMOfMovies",
)


def trainables(task: Task | str | None = None) -> list[Trainable[Any]]:
    """Return everything that can be trained, or that of a task."""
    return [found for found in _registered().values() if task is None or found.info.task == task]


def trainable(identifier: str) -> Trainable[Any]:
    """Return the trainable with this id.

    Raises
    ------
    UnknownGeneratorError
        There is none; the message names near ones.
    """
    return named(_registered(), identifier, f"Nothing called {shown(identifier)} can be trained")


@cache
def _registered() -> dict[str, Trainable[Any]]:
    return collected(_BUILT_IN, ENTRY_POINT_GROUP, "trainable")
