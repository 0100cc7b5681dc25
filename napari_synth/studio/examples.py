"""Shows what a training is given: patches as its steps would draw them, augmented, for a look before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from napari_synth.contract.trainable import TrainContext, TrainParams
from napari_synth.core.device import Device, resolve_device
from napari_synth.core.errors import TrainingDataError
from napari_synth.core.progress import Reporter
from napari_synth.registry import trainable
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.patches import PatchSampler


@runtime_checkable
class DrawsFromPool(Protocol):
    """A training module whose batches come from fields; what it calls its ``pool`` can be looked at."""

    pool: PatchSampler


def augmented_examples(
    identifier: str,
    images: TrainingImages,
    params: Mapping[str, Any] | TrainParams,
    count: int = 16,
    seed: int = 0,
    *,
    device: Device | None = None,
    report: Reporter | None = None,
) -> npt.NDArray[np.float32]:
    """Return patches of the source as a training with these settings draws them.

    The images are read and measured as the training would do it: not for the thread of a window.

    Parameters
    ----------
    identifier : str
        Of the trainable.
    images : TrainingImages
        See `napari_synth.training.dataset.gather`.
    params : mapping or TrainParams
        As for the training; ``augmentation`` is what matters.
    count : int
    seed : int
        The same seed gives the same patches; with another augmentation, those of the same places.
    device : Device, optional
        That of the training, which may choose between planes and volumes by it; ``"auto"`` where it is left out.
    report : Reporter, optional
        Told of what takes long; a cancel takes effect there.

    Returns
    -------
    numpy.ndarray, float32
        Shape (count, *spatial), for RGB (count, *spatial, 3); of other images of several channels the first one. Intensities of
        about 0 to 1.

    Raises
    ------
    TrainingDataError
        This training draws no patches.
    SynthError
        Another one of its subclasses where the images or the settings do not suit.
    """
    chosen = trainable(identifier)
    settings = params if isinstance(params, TrainParams) else cast(TrainParams, chosen.params_type.parse(params))
    place = device or resolve_device()
    setup = chosen.prepare(images, settings, TrainContext(place, settings.seed, report or Reporter()))
    if not isinstance(setup.module, DrawsFromPool):
        raise TrainingDataError(
            f"{chosen.info.title} draws no patches that could be shown: train without a look at them."
        )
    pool = setup.module.pool
    with torch.inference_mode():
        patches = pool.sample(count, torch.Generator(place.torch_name).manual_seed(seed))[:, : pool.sources]
    found: npt.NDArray[np.float32] = patches.float().cpu().numpy()
    colours = pool.sources == 3 and all("S" in image.axes for image in images.source)
    return np.ascontiguousarray(np.moveaxis(found, 1, -1) if colours else found[:, 0])
