"""The light of a microscope is learnt from its tiles, kept in the recipe, and taken out of every part of every image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import napari_synth
from napari_synth.cli import main
from napari_synth.core.errors import InvalidImageError, InvalidParameterError
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image
from napari_synth.methods.correct.flat_field import field as field_of
from napari_synth.methods.correct.flat_field import fields_of, fit_fields

SIZE = 96
Y, X = np.mgrid[:SIZE, :SIZE] / SIZE
SHADING = 1 - 0.5 * ((Y - 0.4) ** 2 + (X - 0.6) ** 2) + 0.1 * X
SHADING /= SHADING.mean()


def cells(draws: np.random.Generator) -> npt.NDArray[np.float64]:
    image = np.zeros((SIZE, SIZE))
    for y, x, radius, height in zip(
        *draws.uniform(0, 1, (2, 15)), draws.uniform(2, 5, 15), draws.uniform(30, 200, 15), strict=True
    ):
        image += height * ((Y - y) ** 2 + (X - x) ** 2 < (radius / SIZE) ** 2)
    return image


def tiles(
    count: int, background: float, *, same: bool = False, dark: float = 0.0, drift: float = 0.0
) -> npt.NDArray[np.float32]:
    draws = np.random.default_rng(count)
    first, made = cells(draws), []
    for index in range(count):
        light = background * (1 + drift * np.sin(index))
        photons = draws.poisson(SHADING * (light + (first if same else cells(draws))) + dark)
        made.append(photons + draws.normal(0, 2, (SIZE, SIZE)))
    return np.stack(made).astype(np.float32)


TILES = tiles(12, 30)


def error(shading: npt.NDArray[Any]) -> float:
    return float(np.sqrt(np.mean((shading / shading.mean() / SHADING - 1) ** 2)))


@pytest.mark.parametrize(
    ("given", "most"),
    [
        ({"count": 25, "background": 30}, 0.01),
        ({"count": 9, "background": 30}, 0.012),
        ({"count": 25, "background": 5}, 0.02),
        ({"count": 25, "background": 30, "same": True}, 0.015),
        ({"count": 25, "background": 30, "dark": 10, "drift": 0.3}, 0.015),
    ],
    ids=["25 tiles", "9 tiles", "hardly any background", "the same cells", "a dark level"],
)
def test_the_shading_is_found(given: dict[str, Any], most: float) -> None:
    found = fit_fields(torch.from_numpy(tiles(**given)))
    whole = (slice(0, SIZE), slice(0, SIZE))
    assert error(field_of(found.shading, (SIZE, SIZE), whole).numpy()) < most


@pytest.mark.parametrize("light", [0.0, 0.05, 0.3])
def test_a_dark_field_that_tiles_do_not_tell_is_none(light: float) -> None:
    draws = np.random.default_rng(0)
    even = 1 - light * ((2 * Y - 1) ** 2 + (2 * X - 1) ** 2)
    levels = draws.uniform(80, 130, 8)
    seen = draws.poisson(levels[:, None, None] * even)[:, ::2, ::2].astype("f8")
    found = fit_fields(torch.from_numpy(seen))
    assert not found.dark.any()
    np.testing.assert_allclose(found.baseline, levels * even.mean(), rtol=0.03)


def test_the_recipe_holds_the_light_for_other_images() -> None:
    first = napari_synth.prepare("correct/flat-field", TILES[0], reference=TILES, device="cpu")
    shading, dark = fields_of(first.recipe.params["fitted"][0], (SIZE, SIZE))
    assert error(shading) < 0.01
    np.testing.assert_array_equal(dark, 0)
    truth = np.full((SIZE, SIZE), 500.0)
    again = napari_synth.run(first.recipe.to_yaml(), (truth * SHADING).astype("f4"))
    np.testing.assert_allclose(again, truth, rtol=0.06)
    assert float(np.std(again) / np.mean(again)) < 0.01


def test_the_planes_of_a_movie_serve_and_tiles_equal_the_whole() -> None:
    whole = napari_synth.correct(TILES, "flat-field", axes="TYX", device="cpu")
    np.testing.assert_allclose(
        napari_synth.correct(TILES, "flat-field", axes="TYX", device="cpu", tile=32), whole, atol=1e-3
    )
    run = napari_synth.prepare("correct/flat-field", TILES, axes="TYX", device="cpu")
    part = run.compute(region={"T": slice(3, 5), "Y": slice(40, 80), "X": slice(8, 30)})
    np.testing.assert_allclose(part, whole[3:5, 40:80, 8:30], atol=1e-3)


def test_a_folder_of_tiles_serves_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "tiles").mkdir()
    for index, tile in enumerate(TILES):
        write_image(tmp_path / "tiles" / f"{index}.tif", Image(tile, "YX"))
    source, target, again = (str(tmp_path / name) for name in ("tiles/0.tif", "even.tif", "again.tif"))
    words = [
        "correct",
        source,
        target,
        "--generator",
        "flat-field",
        "--from",
        str(tmp_path / "tiles" / "*.tif"),
        "--quiet",
    ]
    assert main(words) == 0
    expected = napari_synth.correct(TILES[0], "flat-field", reference=TILES, device="cpu")
    np.testing.assert_allclose(read_image(tmp_path / "even.tif").data, expected, rtol=1e-5)
    assert main(["run", f"{target}.recipe.yaml", source, again, "--quiet"]) == 0
    np.testing.assert_allclose(read_image(tmp_path / "again.tif").data, expected, rtol=1e-5)


def test_what_cannot_be_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidImageError, match="There is one plane to learn the light from"):
        napari_synth.correct(TILES[0], "flat-field")
    with pytest.raises(InvalidImageError, match="correct the tiles first and stitch them then"):
        napari_synth.correct(np.tile(TILES[0], (2, 3)), "flat-field", reference=TILES)
    recipe = napari_synth.prepare("correct/flat-field", TILES[0], reference=TILES, device="cpu").recipe
    with pytest.raises(InvalidParameterError, match="an image that was stitched"):
        napari_synth.run(recipe, np.tile(TILES[0], (2, 3)))
    write_image(tmp_path / "a.tif", Image(TILES[0], "YX"))
    words = [
        "correct",
        str(tmp_path / "a.tif"),
        str(tmp_path / "b.tif"),
        "--generator",
        "flat-field",
        "--from",
        "none*.tif",
    ]
    assert main(words) == 2
    assert "none*.tif" in capsys.readouterr().err
