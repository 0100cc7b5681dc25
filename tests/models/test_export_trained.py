"""Networks that users train, as bioimage.io packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from bioimageio import core
from training_images import noisy, rings

import napari_synth
from napari_synth.core.errors import ModelFileError
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform, measure_statistics
from napari_synth.methods.denoise.blind_spot import BlindSpotRestorer
from napari_synth.models import ModelCard, export_bioimageio, save_model
from napari_synth.models._in_counts import FromNeighbours, range_of
from napari_synth.networks.blind_spot_unet import BlindSpotMask, BlindSpotUNet
from napari_synth.networks.residual_unet import ResidualUNet
from napari_synth.networks.translation_unet import TranslationUNet

# The library leaves files for the garbage collector, and torch would rather have new packages in another format.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]


def saved(folder: Path, network: Any, architecture: str, task: str = "denoise", **more: Any) -> Path:
    """Write a model as a training leaves it."""
    card = ModelCard(
        name="mine",
        title="cells & 2 more, Bad to good (CARE)",
        task=task,
        architecture=architecture,
        config=network.config,
        metrics={"held-out pixels, this model": {"PSNR (dB)": 31.5}},
        **more,
    )
    return save_model(folder / "mine.safetensors", network, card)


def predicted(package: Path, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what the library of the format makes of an image (C, *spatial)."""
    result = core.predict(model=package, inputs={"image": image[None].astype(np.float32)})
    return np.asarray(result.members["restored"].data)[0]


def passes(package: Path) -> None:
    summary = core.test_description(package)
    assert summary.status == "passed", summary.format()


def counts(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(500, 90, shape).astype(np.float32)


@pytest.mark.parametrize(("dims", "channels"), [(2, 1), (2, 3), (3, 1)])
def test_a_restorer_gives_the_counts_that_it_gives_here(tmp_path: Path, dims: int, channels: int) -> None:
    network = ResidualUNet(dims, channels, channels, 8, torch.Generator().manual_seed(0))
    path = saved(tmp_path, network, "residual-unet", extras={"axes": "ZYX"[-dims:], "start": "scratch"})
    package = export_bioimageio(path, tmp_path / "mine.zip")
    passes(package)
    image = counts(channels, *(9, 72, 88)[-dims:])
    shown, axes = (np.moveaxis(image, 0, -1), "YXS") if channels == 3 else (image[0], "ZYX"[-dims:])
    here = napari_synth.denoise(shown, napari_synth.load_model(path), axes=axes)
    there = predicted(package, image)
    np.testing.assert_allclose(np.moveaxis(there, 0, -1) if channels == 3 else there[0], here, atol=0.01)


def test_a_blind_spot_network_predicts_pixels_from_their_neighbours(tmp_path: Path) -> None:
    network = BlindSpotUNet(2, 8, 2, torch.Generator().manual_seed(0))
    path = saved(tmp_path, network, "blind-spot-unet", extras={"axes": "YX", "reach": [0, 0], "gap": 3})
    package = export_bioimageio(path, tmp_path / "mine.zip")
    passes(package)
    image = noisy(rings(72))
    here = napari_synth.denoise(image, napari_synth.load_model(path), axes="YX", weigh_measurement=False)
    np.testing.assert_allclose(predicted(package, image[None])[0], here, atol=0.02)


@pytest.mark.parametrize("reach", [(0, 0), (1, 0), (0, 0, 1)])
def test_what_is_exported_of_a_blind_spot_network_is_what_runs_here(reach: tuple[int, ...]) -> None:
    network, mask = BlindSpotUNet(len(reach), 8, 2, torch.Generator().manual_seed(0)), BlindSpotMask(reach)
    image = torch.rand(2, 1, *(4, 16, 20)[-len(reach) :], generator=torch.Generator().manual_seed(1))
    here = BlindSpotRestorer(network, mask, None, "ZYX"[-len(reach) :], None, ())  # type: ignore[arg-type]
    with torch.inference_mode():
        torch.testing.assert_close(FromNeighbours(network, mask)(image), here.apply(image))


def test_a_translator_says_its_ranges_in_the_description(tmp_path: Path) -> None:
    network = TranslationUNet(2, 1, 3, 8, generator=torch.Generator().manual_seed(0))
    source, target = [{"offset": 400.0, "scale": 200.0}], [{"offset": 5.0 * i, "scale": 10.0 + i} for i in range(3)]
    extras = {"source": {"axis": ""}, "target": {"axis": "S", "dtype": "float32"}}
    path = saved(
        tmp_path,
        network,
        "translation-unet",
        "translate",
        normalisation={"source": source, "target": target},
        extras=extras,
    )
    package = export_bioimageio(path, tmp_path / "mine.zip")
    passes(package)
    image = counts(1, 80, 96)
    here = napari_synth.translate(image[0], generator=napari_synth.load_model(path), axes="YX")
    np.testing.assert_allclose(np.moveaxis(predicted(package, image), 0, -1), here, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 31, 17)])
def test_the_range_is_the_one_that_is_measured_here(shape: tuple[int, ...]) -> None:
    image = counts(*shape)
    expected = IntensityTransform.from_statistics(measure_statistics(Image(image, "CYX")))
    low, scale = range_of(torch.from_numpy(image)[None])
    assert float(low) == pytest.approx(expected.offset, rel=1e-6)
    assert float(scale) == pytest.approx(expected.scale, rel=1e-6)
    assert float(range_of(torch.ones(1, 1, 8, 8))[1]) == 1.0


def test_an_exported_restorer_is_run_back(tmp_path: Path) -> None:
    network = ResidualUNet(2, 1, 1, 8, torch.Generator().manual_seed(0))
    path = saved(tmp_path, network, "residual-unet", extras={"axes": "YX", "start": "scratch"})
    package = export_bioimageio(path, tmp_path / "mine.zip")
    image = counts(72, 88)
    back = napari_synth.denoise(image, napari_synth.load_model(package, trusted=True))
    # It is padded here for the reader, which knows nothing of what the package measures inside.
    here = napari_synth.denoise(image, napari_synth.load_model(path))
    assert np.sqrt(np.mean((back - here) ** 2)) < 0.05 * image.std()


def test_nothing_is_made_finer(tmp_path: Path) -> None:
    path = saved(tmp_path, ResidualUNet(2, 1, 1, 8), "residual-unet")
    with pytest.raises(ModelFileError, match="leave the scale out"):
        export_bioimageio(path, tmp_path / "mine.zip", scale=2)
