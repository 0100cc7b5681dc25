"""What a repeated run takes from its recipe, and what from the image."""

from __future__ import annotations

import numpy as np
import pytest

import napari_synth
from napari_synth.core.image import Image
from napari_synth.core.recipe import Recipe
from napari_synth.core.runner import PreparedRun, prepare

PIXELS = np.random.default_rng(0).poisson(50, (6, 32, 40)).astype(np.uint16)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the axes of what is restored."""
    axes: list[str] = []
    compute = PreparedRun.compute

    def noted(run: PreparedRun, **options: object) -> object:
        axes.append(run.source.axes)
        return compute(run, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(PreparedRun, "compute", noted)
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


@pytest.mark.parametrize("span", [(0.0, 2.5e38), (-2.5e38, 2.5e38), (0.0, 1e-38), (1e30, 1.001e30)])
@pytest.mark.parametrize(
    "generator", ["denoise/median", "denoise/blind", "translate/gamma", "super-resolution/bicubic"]
)
def test_intensities_at_the_ends_of_float32_stay_finite_and_in_proportion(
    span: tuple[float, float], generator: str
) -> None:
    plain = np.random.default_rng(0).random((24, 25))
    image = (span[0] + plain * (span[1] - span[0])).astype(np.float32)
    result = napari_synth.run(generator, image, device="cpu")
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    expected = napari_synth.run(generator, plain.astype(np.float32), device="cpu")
    # Of (1e30, 1.001e30) float32 holds few steps.
    back = (result.astype(np.float64) - span[0]) / (span[1] - span[0])
    np.testing.assert_allclose(back, expected, atol=2e-2)
