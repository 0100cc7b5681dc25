"""Changes patches at random as they are drawn, with the pipelines of `napari_synth.augmentation`: few images then teach more.

What moves pixels moves all channels of a field alike, so that pairs stay pairs; what changes intensities changes those of the
source alone. Patches are read from windows that are larger than they are, so that nothing but image is turned and bent into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from napari_synth.augmentation import (
    PRESETS,
    Crop,
    Elastic,
    Flip,
    Frame,
    Pipeline,
    QuarterTurn,
    Rotate,
    Sampling,
    Scale,
    Transform,
)
from napari_synth.augmentation.batch import shaded_batch
from napari_synth.augmentation.plan import Plan
from napari_synth.contract.trainable import Augmentation
from napari_synth.imaging.image import Image

GEOMETRY = Pipeline(
    transforms=(Flip(), QuarterTurn(), Rotate(probability=0.5), Scale(probability=0.5), Elastic(probability=0.3))
)
"""Of what looks the same from every side."""

_DAMAGE = {"blur", "motion-blur", "camera-noise", "stripes", "rings"}
_TURNING = {"quarter-turn", "rotate"}
# How far a pipeline reaches beyond a patch is seen in so many draws, at so many places along each axis.
_TRIED, _ALONG = 64, 9


@dataclass(frozen=True)
class PatchAugmentation:
    """Draws and applies a change for every patch of a batch.

    Parameters
    ----------
    pipeline : Pipeline
        Its flips and turns take the place of those that patches are drawn with otherwise. What mixes images is left out.
    spacing : tuple of float
        Distance of neighbouring pixels along each spatial axis; only the ratios matter.
    rgb : bool
        Whether the channels of the source are red, green and blue.
    """

    pipeline: Pipeline
    spacing: tuple[float, ...]
    rgb: bool = False

    def margin(self, patch: tuple[int, ...]) -> tuple[int, ...]:
        """Return how many pixels around a patch it reads from, on either side of each axis; at most the patch's own size."""
        frame = self._frame(patch, 1)
        moving = _moving(self.pipeline, patch, frozenset())
        draws = [moving.draw_for(seed, frame) for seed in range(_TRIED)]
        ends = [torch.linspace(0, size - 1, _ALONG, dtype=torch.float64) for size in reversed(frame.sizes)]
        places = torch.stack(torch.meshgrid(*ends, indexing="ij"), -1).flatten(0, -2)
        there = Plan.of(draws).map().pull(places.expand(_TRIED, *places.shape)).flip(-1).flatten(0, 1)
        beyond = torch.maximum(-there.amin(0), there.amax(0) - there.new_tensor(frame.sizes) + 1)
        moved = [min(max(int(np.ceil(float(far))), 0), size) for far, size in zip(beyond, frame.sizes, strict=True)]
        return (0,) * (len(patch) - len(moved)) + tuple(moved)

    def applied(
        self, windows: Tensor, patch: tuple[int, ...], seed: int, *, sources: int, turn: bool = True, flip: bool = True
    ) -> Tensor:
        """Return patches from the middle of windows.

        Parameters
        ----------
        windows : Tensor, (N, C, *spatial), float32
            Larger than a patch by `margin` on every side; intensities about 0 to 1.
        patch : tuple of int
        seed : int
            The same seed gives the same changes.
        sources : int
            How many channels, the first ones, may have their intensities changed.
        turn, flip : bool
            Whether the content may be turned and mirrored.

        Returns
        -------
        Tensor, (N, C, *patch), float32

        Raises
        ------
        AxesError
            A transform needs colours, and there are none.
        """
        seeds = np.random.default_rng(seed).integers(2**62, size=len(windows)).tolist()
        left_out = (set() if turn else _TURNING) | (set() if flip else {"flip"})
        moving, shading = _moving(self.pipeline, patch, frozenset(left_out)), _shading(self.pipeline)
        frame, units = self._frame(tuple(windows.shape[2:]), sources), ((0.0, 1.0),) * windows.shape[1]
        patches = moving.apply_batch(windows, [moving.draw_for(one, frame, units) for one in seeds]).images
        if not shading.active:
            return patches
        frame = self._frame(patch, sources)
        plan = Plan.of([shading.draw_for(one, frame) for one in seeds])
        low = patches.new_zeros(len(patches), sources)
        return shaded_batch(patches, plan, low, torch.ones_like(low), rgb=self.rgb)

    def check(self, patch: tuple[int, ...], sources: int) -> None:
        """Raise a `SynthError` where a transform cannot be applied to such patches."""
        for transform in self.pipeline.active:
            transform.check(self._frame(patch, sources))

    def _frame(self, sizes: tuple[int, ...], sources: int) -> Frame:
        axes = self.pipeline.moved_axes("ZYX"[-len(sizes) :])
        return Frame(axes, sizes[-len(axes) :], self.spacing[-len(axes) :], sources, rgb=self.rgb)


def patch_augmentation(
    chosen: Augmentation,
    images: Sequence[Image],
    axes: str,
    *,
    sources: int,
    keeps_noise: bool = False,
    intensities: Literal["all", "damage", "none"] = "all",
) -> tuple[PatchAugmentation | None, tuple[str, ...]]:
    """Return what was chosen as `TrainParams.augmentation`, and what the user should know of it.

    Parameters
    ----------
    chosen : str
    images : sequence of Image
        Of the source.
    axes : str
        The spatial axes of a patch.
    sources : int
        Channels of the source in a patch.
    keeps_noise : bool
        Whether the noise of the images must stay as it was measured: interpolation would smooth it. Patches are then only flipped
        and turned.
    intensities : {"all", "damage", "none"}
        Which of those transforms make sense: where the target has the counts of the source, only what damages an image (blur,
        noise, stripes, rings) may change the source alone.

    Raises
    ------
    AxesError
        A transform needs colours, and the images have none.
    """
    if chosen == "none":
        return None, ()
    if keeps_noise:
        return None, (
            "The noise of the images is learnt from as it was measured: patches are flipped and turned, and not augmented further.",
        )
    pipeline = GEOMETRY if chosen == "geometry" else PRESETS[chosen]
    kept = tuple(transform for transform in pipeline.active if _suits(transform, intensities))
    first = images[0]
    found = PatchAugmentation(
        pipeline.model_copy(update={"transforms": kept}),
        tuple(first.spacing.get(axis, 1.0) for axis in axes),
        rgb="S" in first.axes and sources == 3,
    )
    found.check((16,) * len(axes), sources)
    without = [transform.title for transform in pipeline.active if transform not in kept]
    notes = (
        f"Left out of the augmentation, since it would change the counts of the source alone: {', '.join(without)}.",
    )
    return found, notes if without else ()


def _suits(transform: Transform, intensities: str) -> bool:
    if transform.group == "geometry":
        return True
    return transform.group == "intensity" and (
        intensities == "all" or (intensities == "damage" and transform.kind in _DAMAGE)
    )


@cache
def _moving(pipeline: Pipeline, patch: tuple[int, ...], left_out: frozenset[str]) -> Pipeline:
    """Return the geometry of a pipeline, which ends in a patch."""
    kept = [entry for entry in pipeline.active if entry.group == "geometry" and entry.kind not in left_out]
    deep = len(patch) == 3 and any(transform.moves_depth for transform in pipeline.active)
    # What comes after a crop still sees the pixels around it.
    cut = Crop(height=patch[-2], width=patch[-1], depth=patch[0] if deep else None, position="centre")
    sampling = Sampling(outside="mirror", interpolation=pipeline.sampling.interpolation)
    return Pipeline(transforms=(cut, *kept), sampling=sampling)


@cache
def _shading(pipeline: Pipeline) -> Pipeline:
    return Pipeline(transforms=tuple(entry for entry in pipeline.active if entry.group == "intensity"))
