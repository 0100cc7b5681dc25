"""The sample images that come with the package: real images with real or simulated noise, each with its source and licence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from napari_synth.core.errors import ImageFileError
from napari_synth.imaging.image import Image


@dataclass(frozen=True)
class Sample:
    """What a sample shows and where it comes from.

    Attributes
    ----------
    title : str
        As File > Open Sample lists it.
    description : str
        One sentence: what it is, and where its noise comes from.
    source : str
        Who made the image.
    licence : str
        What allows to pass it on.
    has_truth : bool
        Whether the image before the noise was added comes with it.
    has_mask : bool
        Whether labels of what is to be filled come with it.
    has_psf : bool
        Whether the image of a point that blurred it comes with it.
    """

    title: str
    description: str
    source: str
    licence: str
    has_truth: bool = False
    has_mask: bool = False
    has_psf: bool = False


_NDEV = "Tim Monko, ndev-sampledata 0.0.3"

SAMPLES: dict[str, Sample] = {
    "actin": Sample(
        "Actin of a neuron, dim exposure (2D, 16 bit)",
        "Fluorescence of one channel, with the simulated noise of a camera that counts at most 40 photons a pixel.",
        _NDEV,
        "BSD-3-Clause",
        has_truth=True,
    ),
    "neuron": Sample(
        "Neuron, four channels (CYX, 16 bit)",
        "Fluorescence of two iron proteins, actin and DNA, with the noise of the real camera.",
        _NDEV,
        "BSD-3-Clause",
    ),
    "scratch": Sample(
        "Scratch assay, time-lapse (TCYX, 16 bit)",
        "Cells move into a wound: stained nuclei and oblique light in ten frames, with the noise of the real camera.",
        _NDEV,
        "BSD-3-Clause",
    ),
    "brain": Sample(
        "Brain MRI (3D, 16 bit)",
        "A volume of a magnetic resonance series, with simulated Rician noise.",
        "nibabel 5.4.2, example4d",
        "MIT",
        has_truth=True,
    ),
    "tissue": Sample(
        "Stained tissue (RGB, 8 bit)",
        "Colonic glands stained by immunohistochemistry, with the simulated noise of a colour camera.",
        "Center for Microscopy and Molecular Imaging, by way of scikit-image",
        "no known copyright restrictions",
        has_truth=True,
    ),
    "retina": Sample(
        "Retina (2D, 8 bit)",
        "The green channel of a fundus photograph, with simulated Gaussian noise of 20 gray levels.",
        "Mikael Häggström, by way of scikit-image",
        "CC0-1.0",
        has_truth=True,
    ),
    "damaged": Sample(
        "Damaged retina with its mask (2D, 8 bit)",
        "The same photograph, simulated to be scratched (label 1), dusty (2) and taken with dead and hot pixels (3).",
        "Mikael Häggström, by way of scikit-image",
        "CC0-1.0",
        has_truth=True,
        has_mask=True,
    ),
    "restained": Sample(
        "Stained tissue, another laboratory (RGB, 8 bit)",
        "A part of the stained tissue without noise, its stains and its lamp changed as another laboratory's would be.",
        "Center for Microscopy and Molecular Imaging, by way of scikit-image",
        "no known copyright restrictions",
    ),
    "wide_field": Sample(
        "Wide-field stack with its PSF (3D, 16 bit)",
        "Drawn spheres, shells and filaments behind a simulated wide-field microscope (NA 1.3, 520 nm, oil), at most 150 photons a"
        " pixel.",
        "napari-synth",
        "BSD-3-Clause",
        has_truth=True,
        has_psf=True,
    ),
}


def load(name: str) -> Image:
    """Load a sample with its axes, spacing and units.

    Parameters
    ----------
    name : str
        A key of `SAMPLES`.

    Raises
    ------
    ImageFileError
        There is no such sample.
    """
    if name not in SAMPLES:
        raise ImageFileError(f"There is no sample {name!r}: choose one of {', '.join(SAMPLES)}.")
    return replace(_read(name), name=name)


def load_truth(name: str) -> Image | None:
    """Load what a sample was before noise or damage was added to it, or None where its noise is real."""
    if not SAMPLES[name].has_truth:
        return None
    return replace(_read(f"{name}_truth"), name=f"{name} truth")


def load_mask(name: str) -> Image | None:
    """Load the labels of what is to be filled in a sample, or None where there is nothing."""
    if not SAMPLES[name].has_mask:
        return None
    return replace(_read(f"{name}_mask"), name=f"{name} mask")


def copy_curation(target: Path) -> Path:
    """Copy the sample folder to curate, since decisions are kept beside the images; what is there already stays.

    Parameters
    ----------
    target : pathlib.Path
        A folder, made where it is missing.

    Returns
    -------
    pathlib.Path
        The folder with good, blurred, saturated, repeated and broken images.
    """
    import shutil

    target.mkdir(parents=True, exist_ok=True)
    for path in sorted((folder() / "curation").glob("*.tif")):
        if not (target / path.name).exists():
            shutil.copyfile(path, target / path.name)
    return target


def load_psf(name: str) -> Image | None:
    """Load the point spread function that blurred a sample, or None where there is none."""
    if not SAMPLES[name].has_psf:
        return None
    return replace(_read(f"{name}_psf"), name=f"{name} psf")


def folder() -> Path:
    """Return where the files lie: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "sample_data"
    return installed if installed.is_dir() else package.parent / "sample_data"


def _read(stem: str) -> Image:
    from napari_synth.files import read_image

    return read_image(folder() / f"{stem}.ome.tif")
