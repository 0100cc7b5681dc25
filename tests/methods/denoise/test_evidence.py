from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates, shift
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

import napari_synth
from napari_synth import verbs
from napari_synth.engine.prepared import PreparedRun
from napari_synth.imaging.image import Image

PHOTONS = 10.0


def psnr(truth: np.ndarray, image: np.ndarray) -> float:
    return float(peak_signal_noise_ratio(truth.astype("f8"), image.astype("f8"), data_range=PHOTONS))


def photographed(movie: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.poisson(movie) + rng.normal(0, 1, movie.shape)).astype("f4")


def drifting(speed: tuple[float, float], frames: int = 6, edge: int = 128) -> np.ndarray:
    scene = data.camera()[60:300, 100:340] / 255 * PHOTONS
    shifts = [np.multiply(speed, i - frames // 2) for i in range(frames)]
    middle = slice(120 - edge // 2, 120 + edge // 2)
    return np.stack([shift(scene, s, order=3, mode="reflect")[middle, middle] for s in shifts]).clip(0)


def evidence_of(run: PreparedRun) -> str:
    notes = [note for note in run.notes if "held-out photons" in note]
    assert len(notes) == 1
    return notes[0]


def gain(movie: np.ndarray, axes: str = "TYX") -> tuple[float, str]:
    image = photographed(movie)
    run = verbs.prepare("denoise/blind", Image(image, axes))
    alone = napari_synth.denoise(image, axes=axes, neighbours="off")
    return psnr(movie, run.compute()) - psnr(movie, alone), evidence_of(run)


@pytest.mark.parametrize("speed", [(0.0, 0.0), (1.4, 1.4), (0.0, 3.0)])
def test_frames_of_a_drifting_movie_help_as_much_as_those_of_a_still_one(speed: tuple[float, float]) -> None:
    better, said = gain(drifting(speed))
    assert better > 1.5
    assert ("after registration" in said) == any(speed)
    if any(speed):
        assert f"({np.hypot(*speed):.1f} pixels from one to the next" in said


def test_what_shows_something_new_in_every_frame_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    scenes = [gaussian_filter(rng.normal(0, 1, (128, 128)), 2) for _ in range(6)]
    movie = np.stack([(scene / scene.std() + 4).clip(0) for scene in scenes])
    better, said = gain(movie)
    assert better == 0.0
    assert said == "Each plane is restored alone: on held-out photons, neighbouring frames are no help."


def test_what_moves_apart_is_followed_part_by_part() -> None:
    rng, edge, frames = np.random.default_rng(0), 128, 6
    rows, columns = np.indices((edge, edge)).astype(float)
    textures = [gaussian_filter(rng.normal(0, 1, (edge, edge)), 1.5) for _ in range(2)]
    movie = np.full((frames, edge, edge), 1.5)
    for side, texture in zip((-1, 1), textures, strict=True):
        for t in range(frames):
            moved = side * (t - frames // 2)
            seen = map_coordinates(texture / texture.std() * 2 + 6, [rows, columns - moved], order=3, mode="wrap")
            inside = np.hypot(rows - edge / 2, columns - edge / 2 - side * 30 - moved) < 26
            movie[t] = np.where(inside, seen.clip(1), movie[t])
    better, said = gain(movie)
    assert better > 1.0
    assert "in parts" in said


def test_a_spot_that_lights_up_for_three_frames_keeps_its_peak() -> None:
    movie = drifting((0.0, 1.0), frames=9)
    rows, columns = np.indices(movie.shape[1:])
    places = [(30, 30), (30, 95), (95, 40), (70, 85)]
    for y, x in places:
        movie[3:6] += 20 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4.5)
    image = photographed(movie)
    alone = napari_synth.denoise(image, axes="TYX", neighbours="off")
    run = verbs.prepare("denoise/blind", Image(image, "TYX"))
    assert "after registration" in evidence_of(run)
    together = run.compute()
    peaks = [
        np.mean([result[3:6, y - 1 : y + 2, x - 1 : x + 2].mean() - result[0, y, x] for y, x in places])
        for result in (alone, together)
    ]
    assert peaks[1] > 0.9 * peaks[0]


def test_a_tile_of_a_movie_in_register_is_the_same_as_in_the_whole() -> None:
    image = Image(photographed(drifting((1.4, 0.7), frames=4, edge=216)), "TYX")
    run = verbs.prepare("denoise/blind", image)
    assert run.channels[0].prepared.spec.axes == "TYX"
    whole = run.compute()
    part = run.compute(region={"T": slice(1, 2), "Y": slice(0, 64), "X": slice(32, 96)})
    np.testing.assert_allclose(part, whole[1:2, :64, 32:96], atol=1e-3 * PHOTONS)


def test_a_movie_in_register_is_the_same_when_it_is_turned() -> None:
    image = photographed(drifting((1.4, 0.6), frames=4))
    run = verbs.prepare("denoise/blind", Image(image, "TYX"), {"ensemble": True})
    assert "after registration" in evidence_of(run)
    single = napari_synth.denoise(image, axes="TYX")
    movie = drifting((1.4, 0.6), frames=4)
    assert psnr(movie, run.compute()) > psnr(movie, single)


def phantom(planes: int = 24, edge: int = 64) -> np.ndarray:
    rng = np.random.default_rng(1)
    places = np.indices((planes, edge, edge)).astype(float)
    volume = np.full((planes, edge, edge), 1.0)
    for number in range(10):
        centre = [rng.uniform(0, size) for size in volume.shape]
        far = np.sqrt(sum((p - c) ** 2 for p, c in zip(places, centre, strict=True)))
        radius = rng.uniform(4, 10)
        volume += 4 * (np.clip(radius - far + 0.5, 0, 1) if number % 2 else np.exp(-((far - radius) ** 2) / 2))
    return np.asarray(volume / volume.max() * PHOTONS)


def test_a_volume_is_restored_in_three_orientations_where_its_voxels_are_cubic() -> None:
    volume = phantom()
    image = photographed(volume)
    alone = psnr(volume, napari_synth.denoise(image, axes="ZYX", neighbours="off"))
    run = verbs.prepare("denoise/blind", Image(image, "ZYX"))
    assert "three orientations" in evidence_of(run)
    whole = run.compute()
    assert psnr(volume, whole) > alone + 1.0
    np.testing.assert_allclose(run.compute(region={"Z": slice(8, 16)}), whole[8:16], atol=1e-3 * PHOTONS)
    coarse = verbs.prepare("denoise/blind", Image(image, "ZYX", {"Z": 3.0, "Y": 1.0, "X": 1.0}))
    assert "three orientations" not in evidence_of(coarse)


def test_blocks_of_a_volume_are_larger_than_those_of_planes() -> None:
    spec = verbs.prepare("denoise/blind", Image(photographed(phantom()), "ZYX")).channels[0].prepared.spec
    assert spec.ratios({"Z": 24, "Y": 64, "X": 64}) == dict.fromkeys("ZYX", Fraction(1))
    assert spec.most_pixels == 2**24
