"""One typical augmentation as each library does it: ours, kornia's containers, albumentations and TorchIO.

Flips, a rotation by any angle, magnification by 0.8 to 1.25, a smooth elastic deformation, brightness, contrast and noise, each
always applied. What a library lacks is left out of its pipeline, and said in `Augmenter.lacks`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.augmentation import (
    Brightness,
    CameraNoise,
    Contrast,
    Elastic,
    Flip,
    Frame,
    Pipeline,
    Rotate,
    Sample,
    Scale,
)

Floats = npt.NDArray[np.float32]
GRID, PIXELS = 32.0, 6.0
"""Distance of the control points, and the largest displacement, of the elastic deformation."""


@dataclass(frozen=True)
class Load:
    """What is augmented at once.

    Attributes
    ----------
    images : numpy.ndarray, (B, [Z,] Y, X), float32
        Of 0 to 1, as kornia needs it.
    labels : numpy.ndarray, (B, [Z,] Y, X), int32, or None
    points : list of numpy.ndarray, (N, D), or None
        Along ([Z,] Y, X).
    """

    images: Floats
    labels: npt.NDArray[np.int32] | None = None
    points: list[npt.NDArray[np.float64]] | None = None


@dataclass(frozen=True)
class Moved:
    """The first item of an augmented load: its image, and its points as far as they are still there."""

    image: npt.NDArray[Any]
    points: npt.NDArray[Any] | None


@dataclass(frozen=True)
class Augmenter:
    """One row of the tables.

    Attributes
    ----------
    name : str
    run : callable
        Augments a load.
    batches : bool
        Whether it takes several images at once.
    lacks : str
        What it leaves out, in words.
    """

    name: str
    run: Callable[[Load], Moved]
    batches: bool = False
    lacks: str = ""


def augmenters(load: Load, *, noisy: bool = True) -> Iterator[Augmenter]:
    """Iterate over the libraries that are installed and can augment such a load; ``noisy`` adds noise."""
    deep = load.images.ndim == 4
    yield ours(deep=deep, noisy=noisy)
    if deep:
        yield ours(deep=True, planes_alike=True, noisy=noisy)
    if not deep or (load.labels is None and load.points is None):
        yield _kornia(load, noisy)
    if has("albumentations"):
        yield _albumentations(load, noisy)
    if has("torchio") and deep and load.points is None:
        yield _torchio()


def left_out(load: Load) -> Iterator[str]:
    """Iterate over sentences on the libraries that cannot take such a load."""
    if load.images.ndim == 4 and (load.labels is not None or load.points is not None):
        yield "kornia's containers refuse labels and points beside volumes."
    if load.images.ndim == 3:
        yield "TorchIO takes volumes only."


def has(package: str) -> bool:
    """Return whether a package is installed."""
    return importlib.util.find_spec(package) is not None


@contextmanager
def one_thread() -> Iterator[None]:
    """Let every library compute in one thread, so that no one of them is ahead by taking more of the processor."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    restore: list[Callable[[], None]] = [lambda: torch.set_num_threads(threads)]
    if has("cv2"):
        cv2 = import_module("cv2")
        opencv = cv2.getNumThreads()
        cv2.setNumThreads(1)
        restore.append(lambda: cv2.setNumThreads(opencv))
    if has("SimpleITK"):
        process = import_module("SimpleITK").ProcessObject
        itk = process.GetGlobalDefaultNumberOfThreads()
        process.SetGlobalDefaultNumberOfThreads(1)
        restore.append(lambda: process.SetGlobalDefaultNumberOfThreads(itk))
    try:
        yield
    finally:
        for undo in restore:
            undo()


def typical(*, deep: bool = False, noisy: bool = True) -> Pipeline:
    """Return our typical pipeline; ``deep`` turns and bends volumes along Z as well."""
    return Pipeline(
        transforms=(
            Flip(depth=deep),
            Rotate(depth=10.0 if deep else 0.0),
            Scale(depth=deep),
            Elastic(grid=GRID, least=PIXELS / 2, most=PIXELS, depth=deep),
            Brightness(strength=0.1),
            Contrast(),
            *([CameraNoise()] if noisy else []),
        )
    )


def ours(*, deep: bool, planes_alike: bool = False, noisy: bool = True) -> Augmenter:
    """Return this package's own row."""
    import torch

    pipeline, seeds = typical(deep=deep and not planes_alike, noisy=noisy), count()

    def run(load: Load) -> Moved:
        seed = next(seeds)
        axes = "ZYX"[-load.images[0].ndim :]
        if len(load.images) == 1:
            labels = None if load.labels is None else load.labels[0]
            sample = Sample(load.images[0], axes, labels, points=None if load.points is None else load.points[0])
            moved = pipeline.apply(sample, pipeline.draw(seed, sample))
            return Moved(moved.image, None if moved.points is None else np.asarray(moved.points))
        own = pipeline.moved_axes(axes)
        frame = Frame(own, load.images.shape[-len(own) :], (1.0,) * len(own))
        draws = [pipeline.draw_for(seed * len(load.images) + item, frame) for item in range(len(load.images))]
        labels = None if load.labels is None else torch.from_numpy(load.labels)
        batch = pipeline.apply_batch(torch.from_numpy(load.images)[:, None], draws, labels=labels, points=load.points)
        return Moved(batch.images[0, 0].numpy(), None if batch.points is None else batch.points[0].numpy())

    return Augmenter("napari-synth, planes alike" if planes_alike else "napari-synth", run, batches=True)


def _kornia(load: Load, noisy: bool) -> Augmenter:
    import torch
    from kornia import augmentation as kornia
    from kornia.augmentation.container.augment import AugmentationSequential

    if load.images.ndim == 4:
        container = AugmentationSequential(
            kornia.RandomHorizontalFlip3D(p=0.5),
            kornia.RandomVerticalFlip3D(p=0.5),
            kornia.RandomAffine3D(((-10.0, 10.0), (-10.0, 10.0), (-180.0, 180.0)), scale=(0.8, 1.25), p=1.0),
            data_keys=["input"],
        )
        return Augmenter(
            "kornia",
            lambda given: Moved(container(torch.from_numpy(given.images)[:, None])[0, 0].numpy(), None),
            batches=True,
            lacks="elastic, brightness, contrast and noise",
        )
    keys = [
        "input",
        *(["mask"] if load.labels is not None else []),
        *(["keypoints"] if load.points is not None else []),
    ]
    plane = AugmentationSequential(
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.RandomVerticalFlip(p=0.5),
        kornia.RandomAffine(180.0, scale=(0.8, 1.25), p=1.0),
        kornia.RandomElasticTransform(kernel_size=(63, 63), sigma=(16.0, 16.0), alpha=_kornia_alpha(load), p=1.0),
        kornia.RandomBrightness((0.9, 1.1), p=1.0),
        kornia.RandomContrast((0.75, 1.33), p=1.0),
        *([kornia.RandomGaussianNoise(std=0.03, p=1.0)] if noisy else []),
        data_keys=keys,
    )

    def run(given: Load) -> Moved:
        parts = [torch.from_numpy(given.images)[:, None]]
        if given.labels is not None:
            parts.append(torch.from_numpy(given.labels)[:, None].float())
        if given.points is not None:
            parts.append(torch.from_numpy(np.stack(given.points)[..., ::-1].astype(np.float32)))
        result = plane(*parts) if len(parts) > 1 else [plane(parts[0])]
        points = result[-1][0].numpy()[:, ::-1] if given.points is not None else None
        return Moved(result[0][0, 0].numpy(), points)

    return Augmenter("kornia", run, batches=True)


def _kornia_alpha(load: Load) -> tuple[float, float]:
    """Return kornia's strength for displacements like ours: it counts in halves of the image, after a filter."""
    height, width = load.images.shape[-2:]
    # A Gaussian of sigma 16 leaves a hundredth of the spread of uniform noise; thrice that is the largest displacement.
    return (66 * PIXELS / height, 66 * PIXELS / width)


def _albumentations(load: Load, noisy: bool) -> Augmenter:
    # It asks a server for its newest version otherwise.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    albumentations = import_module("albumentations")
    deep = load.images.ndim == 4
    # Of a volume alone these cannot read their statistics.
    toned = [
        albumentations.RandomBrightnessContrast(brightness_limit=0.1, contrast_limit=0.25, p=1.0),
        albumentations.GaussNoise(std_range=(0.03, 0.03), p=float(noisy)),
    ]
    keypoints = albumentations.KeypointParams("xyz" if deep else "xy", remove_invisible=True)
    container = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.VerticalFlip(p=0.5),
            albumentations.Affine(rotate=(-180, 180), scale=(0.8, 1.25), p=1.0),
            albumentations.ElasticTransform(alpha=PIXELS * 20, sigma=16, p=1.0),
            *([albumentations.RandomGamma(p=1.0)] if deep else toned),
        ],
        keypoint_params=keypoints if load.points is not None else None,
    )
    image, mask = ("volume", "mask3d") if deep else ("image", "mask")

    def run(given: Load) -> Moved:
        parts: dict[str, Any] = {image: given.images[0][..., None]}
        if given.labels is not None:
            parts[mask] = given.labels[0]
        if given.points is not None:
            parts["keypoints"] = given.points[0][:, ::-1]
        result = container(**parts)
        points = np.asarray(result["keypoints"])[:, ::-1] if given.points is not None else None
        return Moved(result[image][..., 0], points)

    return Augmenter(
        "albumentations", run, lacks="planes are moved alike; noise; gamma in place of brightness and contrast"
    )


def _torchio() -> Augmenter:
    import torch

    torchio = import_module("torchio")
    chain = torchio.Compose(
        [
            torchio.RandomFlip(axes=(0, 1, 2), flip_probability=0.5),
            torchio.RandomAffine(scales=(0.8, 1.25), degrees=(-180, 180, -10, 10, -10, 10)),
            torchio.RandomElasticDeformation(num_control_points=7, max_displacement=PIXELS),
            torchio.RandomGamma(log_gamma=0.3),
            torchio.RandomNoise(std=0.03),
        ]
    )

    def run(given: Load) -> Moved:
        parts = {"image": torchio.ScalarImage(tensor=torch.from_numpy(given.images[:1]))}
        if given.labels is not None:
            parts["labels"] = torchio.LabelMap(tensor=torch.from_numpy(given.labels[:1]))
        moved = chain(torchio.Subject(**parts))
        return Moved(moved["image"].data[0].numpy(), None)

    return Augmenter("TorchIO", run, lacks="points; gamma in place of brightness and contrast")
