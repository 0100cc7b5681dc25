"""What a repeated run takes from its recipe, and what from the image."""

from __future__ import annotations

import numpy as np
import pytest

import napari_synth
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.recipe import Recipe
from napari_synth.imaging.image import Image
from napari_synth.verbs import prepare

PIXELS = np.random.default_rng(0).poisson(50, (6, 32, 40)).astype(np.uint16)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the axes of what is restored."""
    axes: list[str] = []
    compute = PreparedImage.compute

    def noted(run: PreparedImage, **options: object) -> object:
        axes.append(run.source.axes)
        return compute(run, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(PreparedImage, "compute", noted)
    return axes


@pytest.mark.parametrize(
    ("image", "axes", "expected"),
    [
        (PIXELS, None, "TYX"),
        (PIXELS[0], None, "YX"),
        (PIXELS, "CYX", "CYX"),
        (Image(PIXELS, "ZYX"), None, "ZYX"),
    ],
    ids=["fits", "other dimensions", "said", "an image with axes"],
)
def test_axes_of_a_recipe_hold_where_they_fit(seen: list[str], image: object, axes: str | None, expected: str) -> None:
    recipe = Recipe(generator="denoise/median", params={"radius": 1}, axes="TYX", device="cpu")
    napari_synth.run(recipe, image, axes=axes)
    assert seen == [expected]


def test_other_weights_than_the_recipe_s_are_warned_of() -> None:
    plane = PIXELS[0]
    own = prepare("denoise/blind", Image(plane, "YX"), device="cpu").recipe
    napari_synth.run(own, plane)
    other = own.model_copy(update={"weights": dict.fromkeys(own.weights, "0" * 64)})
    with pytest.warns(UserWarning, match="differ from those of the recipe"):
        napari_synth.run(other, plane)
