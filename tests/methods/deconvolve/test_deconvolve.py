"""What deconvolution gives: sharper images, right stops, whole edges, the counts of the source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import gaussian_filter
from skimage import data

import napari_synth
from napari_synth.cli.app import main
from napari_synth.core.errors import InvalidImageError, InvalidParameterError, PsfError
from napari_synth.core.progress import Reporter
from napari_synth.engine.recipe import Recipe
from napari_synth.engine.verdict import verdicts
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseReport
from napari_synth.imaging.screening import noise_of
from napari_synth.methods.deconvolve import prepared as prepared_module
from napari_synth.methods.deconvolve.held_out import curve_of, split_pixels
from napari_synth.methods.deconvolve.methods import Iterations
from napari_synth.methods.deconvolve.psf import gaussian_psf
from napari_synth.methods.deconvolve.solvers import Light, Optics

OWN = ("network", "richardson-lucy", "gradient-consensus", "total-variation", "wiener")
SIGMA, PHOTONS = 1.5, 200.0
PSF = gaussian_psf((SIGMA, SIGMA))


def scene(edge: int = 96) -> tuple[np.ndarray, np.ndarray]:
    wide = data.camera()[80 : 80 + edge + 40, 160 : 160 + edge + 40] / 255 * PHOTONS
    inside = (slice(20, -20),) * 2
    random = np.random.default_rng(0)
    blurred = random.poisson(gaussian_filter(wide, SIGMA)[inside]) + random.normal(0, 1, (edge, edge))
    return wide[inside], (100 + 2.0 * blurred).astype("f4")


TRUTH, COUNTS = scene()


def psnr(found: np.ndarray, part: object = ...) -> float:
    return float(10 * np.log10(PHOTONS**2 / np.mean(((found - 100) / 2 - TRUTH)[part] ** 2)))


@pytest.mark.parametrize("generator", OWN)
def test_an_image_becomes_sharper_and_keeps_its_counts(generator: str) -> None:
    found = napari_synth.deconvolve(COUNTS, PSF, generator, device="cpu")
    assert psnr(found) > psnr(COUNTS) + 2.0
    assert (found - 100).sum() == pytest.approx((COUNTS - 100).sum(), rel=0.01)
    inside = np.zeros(TRUTH.shape, bool)
    inside[12:-12, 12:-12] = True
    gains = [psnr(found, part) - psnr(COUNTS, part) for part in (inside, ~inside)]
    assert gains[1] > gains[0] - 1.0


def test_the_network_is_better_than_richardson_lucy() -> None:
    found = [psnr(napari_synth.deconvolve(COUNTS, PSF, name, device="cpu")) for name in OWN[:2]]
    assert found[0] > found[1] + 0.5


def test_it_stops_where_it_is_best() -> None:
    prepared = napari_synth.prepare("deconvolve/richardson-lucy", COUNTS, reference=PSF, device="cpu")
    stop = prepared.recipe.params["fitted"][0]["stop"]
    by_hand = {
        n: psnr(napari_synth.deconvolve(COUNTS, PSF, "richardson-lucy", iterations=n, device="cpu"))
        for n in range(2, 14)
    }
    assert max(by_hand.values()) - by_hand[int(stop)] < 0.3
    assert any("held-out photons" in note for note in prepared.notes)


def test_the_width_is_estimated() -> None:
    counts = scene(192)[1]
    prepared = napari_synth.prepare("deconvolve/richardson-lucy", counts, device="cpu")
    fitted = prepared.recipe.params["fitted"][0]
    assert fitted["width"] == pytest.approx(SIGMA, rel=0.2)
    assert len(fitted["width_curve"]) >= 7


def test_a_recipe_holds_the_psf_and_the_stop() -> None:
    prepared = napari_synth.prepare("deconvolve/richardson-lucy", COUNTS, reference=PSF, device="cpu")
    again = napari_synth.run(Recipe.from_yaml(prepared.recipe.to_yaml()), COUNTS)
    np.testing.assert_allclose(again, prepared.compute(), atol=0.02)


def test_the_verdict_is_of_the_result_blurred_again() -> None:
    prepared = napari_synth.prepare("deconvolve/richardson-lucy", COUNTS, reference=PSF, device="cpu")
    assert "looks like the measured noise" in verdicts(prepared, prepared.compute())[0]
    assert "looks like the measured noise" not in verdicts(prepared, np.full_like(COUNTS, COUNTS.mean()))[0]


def test_a_gain_that_was_measured_too_small_does_not_move_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    right = napari_synth.deconvolve(COUNTS, PSF, "richardson-lucy", device="cpu")

    def halved(image: Image) -> NoiseReport:
        report = noise_of(image)
        return replace(report, model=replace(report.model, gain=0.4 * report.model.gain))

    monkeypatch.setattr(prepared_module, "noise_of", halved)
    run = napari_synth.prepare("deconvolve/richardson-lucy", COUNTS, reference=PSF, axes="YX", device="cpu")
    assert run.recipe.params["fitted"][0]["excess"] > 1.5
    assert any("gain was taken for" in note for note in run.notes)
    found = run.compute()
    assert psnr(found) > psnr(right) - 0.4
    again = napari_synth.run(Recipe.from_yaml(run.recipe.to_yaml()), COUNTS, device="cpu")
    np.testing.assert_allclose(again, found, atol=0.02)


@pytest.mark.parametrize("kind", [np.complex64, bool, object, "U1"])
def test_a_psf_without_intensities_is_named(kind: Any) -> None:
    with pytest.raises(PsfError, match=r"point spread function of dtype .* holds no intensities"):
        napari_synth.deconvolve(COUNTS, np.ones((9, 9)).astype(kind), "richardson-lucy", device="cpu")
    with pytest.raises(PsfError, match="no pixels"):
        napari_synth.deconvolve(COUNTS, np.ones((0, 9)), "richardson-lucy", device="cpu")
    with pytest.raises(InvalidImageError, match="A Tensor is no image"):
        napari_synth.deconvolve(COUNTS, torch.from_numpy(PSF), "richardson-lucy", device="cpu")


def test_pixels_are_held_out_where_photons_cannot_be() -> None:
    truth = TRUTH / PHOTONS
    counts = gaussian_filter(truth, SIGMA) + np.random.default_rng(2).normal(0, 0.03, truth.shape)
    light = Light(
        torch.from_numpy(counts / 0.03**2).float()[None, None] + 0.03**-2, 0.03**-2, float(truth.mean()) / 0.03**2
    )
    split = split_pixels(light, torch.Generator().manual_seed(0))
    curve = curve_of(Iterations(), torch.from_numpy(PSF), [split], Reporter(), "")
    optics = Optics(torch.from_numpy(PSF), truth.shape)
    errors = {
        step: float(np.mean((optics.crop(found)[0, 0].numpy() * 0.03**2 - truth) ** 2))
        for step, found in Iterations(most=20).trail(optics, light)
    }
    assert 1 < curve.best[0] < 20
    assert errors[curve.best[0]] < 1.1 * min(errors.values())


def test_a_volume_and_one_psf_a_channel() -> None:
    random = np.random.default_rng(1)
    truth = gaussian_filter(random.poisson(0.02, (12, 40, 40)) * 4000.0, 1.2) + 5.0
    psf = gaussian_psf((1.5, 1.0, 1.0))
    seen = random.poisson(gaussian_filter(truth, (1.5, 1.0, 1.0))).astype("f4")
    for generator in ("network", "richardson-lucy"):
        found = napari_synth.deconvolve(seen, psf, generator, axes="ZYX", device="cpu")
        assert np.mean((found - truth) ** 2) < 0.6 * np.mean((seen - truth) ** 2)
    two = np.stack([COUNTS, COUNTS])
    apart = napari_synth.deconvolve(two, np.stack([PSF, PSF**4]), "wiener", axes="CYX")
    assert not np.allclose(apart[0], apart[1], atol=1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"psf_model": "image"}, "no image of the point spread function"),
        ({"psf_model": "confocal"}, "numerical aperture"),
        ({"psf_model": "wide-field", "numerical_aperture": 1.2, "wavelength": 500}, "pixel_size"),
        ({"psf": PSF, "psf_model": "gaussian"}, "leave one of them out"),
    ],
)
def test_what_is_missing_is_said(options: dict, said: str) -> None:
    with pytest.raises(PsfError, match=said):
        napari_synth.deconvolve(COUNTS, generator="wiener", **options)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InvalidParameterError, match="iterations"):
        napari_synth.deconvolve(COUNTS, PSF, iterations=0)
    with pytest.raises(PsfError, match="equal"):
        napari_synth.deconvolve(COUNTS, np.zeros((5, 5)))


def test_the_command_line_does_the_same(tmp_path: Path) -> None:
    source, point, target = (tmp_path / f"{name}.ome.tif" for name in ("blurred", "psf", "sharp"))
    write_image(source, Image(COUNTS, "YX"))
    write_image(point, Image(PSF, "YX"))
    words = ["deconvolve", source, target, "--psf", point, "--generator", "wiener", "--device", "cpu", "--quiet"]
    assert main([str(word) for word in words]) == 0
    np.testing.assert_allclose(
        read_image(target).read(), napari_synth.deconvolve(COUNTS, PSF, "wiener", device="cpu"), atol=1e-3
    )
    recipes = list(tmp_path.glob("*.recipe.yaml"))
    again = tmp_path / "again.ome.tif"
    assert main(["run", str(recipes[0]), str(source), str(again), "--quiet"]) == 0
    np.testing.assert_allclose(read_image(again).read(), read_image(target).read(), atol=0.02)


def ome_file(path: Path, channels: str, planes: np.ndarray, immersion: str = "Oil") -> Path:
    """Write planes (C, Y, X) as a microscope does, with its objective."""
    count, height, width = planes.shape
    description = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Instrument ID="Instrument:0"><Objective ID="Objective:0" LensNA="1.3" Immersion="{immersion}"/></Instrument>'
        '<Image ID="Image:0"><ObjectiveSettings ID="Objective:0"/><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="float"'
        f' SizeX="{width}" SizeY="{height}" SizeC="{count}" SizeZ="1" SizeT="1" PhysicalSizeX="0.1" PhysicalSizeY="0.1">'
        f'{channels}<TiffData IFD="0" PlaneCount="{count}"/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, planes, description=description.encode(), metadata=None, photometric="minisblack")
    return path


CHANNELS = (
    '<Channel ID="Channel:0:0" EmissionWavelength="520" AcquisitionMode="WideField"/>'
    '<Channel ID="Channel:0:1" EmissionWavelength="0.7" EmissionWavelengthUnit="µm"/>'
)


def test_the_file_says_which_microscope_it_was(tmp_path: Path) -> None:
    image = read_image(ome_file(tmp_path / "two.ome.tif", CHANNELS, np.stack([COUNTS, COUNTS])))
    assert [one.emission for one in image.optics] == [520.0, 700.0]
    prepared = napari_synth.prepare("deconvolve/wiener", image, device="cpu")
    fitted = prepared.recipe.params["fitted"]
    assert [one["optics"]["wavelength"] for one in fitted] == [520.0, 700.0]
    assert fitted[0]["optics"]["refractive_index"] == 1.515
    assert any("NA 1.3, 700 nm" in note and "as the file" in note for note in prepared.notes)
    for index, wavelength in enumerate((520.0, 700.0)):
        told = napari_synth.deconvolve(
            COUNTS, generator="wiener", numerical_aperture=1.3, wavelength=wavelength, pixel_size=0.1, device="cpu"
        )
        np.testing.assert_allclose(prepared.compute()[index], told, atol=0.05)
    again = napari_synth.run(
        Recipe.from_yaml(prepared.recipe.to_yaml()), np.stack([COUNTS, COUNTS]), axes="CYX", pixel_size=0.1
    )
    np.testing.assert_allclose(again, prepared.compute(), atol=0.05)


def test_what_is_set_goes_before_what_the_file_says(tmp_path: Path) -> None:
    image = read_image(ome_file(tmp_path / "two.ome.tif", CHANNELS, np.stack([COUNTS, COUNTS])))
    microscope = Recipe(generator="deconvolve/wiener", params={"numerical_aperture": 0.8, "wavelength": 600.0})
    prepared = napari_synth.prepare(microscope, image, device="cpu")
    assert any("NA 0.8, 600 nm" in note for note in prepared.notes)
    spot = napari_synth.prepare(Recipe(generator="deconvolve/wiener", params={"width": 1.5}), image, device="cpu")
    assert spot.recipe.params["fitted"][0]["optics"] is None


@pytest.mark.parametrize(
    "channel", ["<Channel/>", '<Channel EmissionWavelength="-1"/>', '<Channel EmissionWavelength="x"/>']
)
def test_a_file_that_says_too_little_is_no_obstacle(tmp_path: Path, channel: str) -> None:
    image = read_image(
        ome_file(tmp_path / "one.ome.tif", channel.replace("<Channel", '<Channel ID="Channel:0:0"'), COUNTS[None])
    )
    prepared = napari_synth.prepare("deconvolve/wiener", image, device="cpu")
    assert any("estimated" in note for note in prepared.notes)
