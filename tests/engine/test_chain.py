"""A chain of steps is one run: it makes what its steps make one after the other, in blocks as in the whole."""

from __future__ import annotations

from typing import Any

import cloudpickle
import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

import napari_synth
from napari_synth.core.errors import InvalidParameterError, RecipeError, ReferenceImageError, SynthError
from napari_synth.core.progress import CancelToken, Progress
from napari_synth.engine import chain
from napari_synth.engine.recipe import Recipe
from napari_synth.engine.step_array import StepArray
from napari_synth.engine.verdict import judged
from napari_synth.imaging.image import Image

SIZE = 160
Y, X = np.mgrid[:SIZE, :SIZE] / SIZE
SHADING = 1.3 - 1.8 * ((Y - 0.5) ** 2 + (X - 0.5) ** 2)
SHADING /= SHADING.mean()
TRUTH = 30 + 120 * (np.hypot(Y % 0.25 - 0.125, X % 0.25 - 0.125) < 0.07) + 30 * np.sin(20 * X) ** 2
FLAT, MEDIAN, BLIND = "correct/flat-field", "denoise/median", "denoise/blind"


def seen(truth: npt.NDArray[Any], seed: int = 0) -> npt.NDArray[np.uint16]:
    return np.random.default_rng(seed).poisson(truth * SHADING).astype(np.uint16)


IMAGE = seen(TRUTH)
TILES = np.stack([seen(np.full((SIZE, SIZE), 40 + 5 * i), i) for i in range(9)])
LEVEL, SHARP = "correct/background", "translate/unsharp"
# Behind what takes each pixel from several, the noise is measured as in any image: the steps by hand see the same.
STEPS: list[Any] = [FLAT, (SHARP, {"radius": 2.0}), (LEVEL, {"radius": 20, "level": "keep"})]


def prepared(steps: Any, image: Any = IMAGE, **given: Any) -> Any:
    return napari_synth.prepare(steps, image, axes="YX", **given)


def one_after_the_other(image: Any = IMAGE) -> npt.NDArray[Any]:
    flat = napari_synth.run(FLAT, image, reference=TILES, axes="YX", dtype="float32")
    sharp = napari_synth.run(SHARP, flat, axes="YX", dtype="float32", radius=2.0)
    return np.asarray(napari_synth.run(LEVEL, sharp, axes="YX", dtype="float32", radius=20, level="keep"))


def test_a_chain_makes_what_its_steps_make_one_after_the_other() -> None:
    made = napari_synth.run(STEPS, IMAGE, reference=TILES, axes="YX", dtype="float32")
    np.testing.assert_allclose(made, one_after_the_other(), atol=1e-3)


def test_the_result_has_the_dtype_of_the_source_and_is_rounded_once() -> None:
    made = napari_synth.run(STEPS, IMAGE, reference=TILES, axes="YX")
    assert made.dtype == np.uint16
    np.testing.assert_array_equal(made, np.rint(one_after_the_other()).clip(0))


@pytest.mark.parametrize("at_once", [True, False])
def test_a_tile_is_as_the_same_pixels_of_the_whole(monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    if not at_once:
        monkeypatch.setattr(chain, "AT_ONCE", 0)
    run = prepared(STEPS, reference=TILES, tile=48, dtype="float32")
    whole = run.compute()
    np.testing.assert_allclose(whole, one_after_the_other(), atol=1e-3)
    part = {"Y": slice(37, 121), "X": slice(5, 66)}
    np.testing.assert_allclose(run.compute(region=part), whole[37:121, 5:66], atol=1e-4)
    np.testing.assert_allclose(run.lazy()[20:60, 90:].compute(scheduler="synchronous"), whole[20:60, 90:], atol=1e-4)


def test_blocks_that_do_not_fit_into_what_is_remembered_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_synth.engine import step_array

    monkeypatch.setattr(chain, "AT_ONCE", 0)
    monkeypatch.setattr(step_array, "MOST_BYTES", 1)
    run = prepared(STEPS, reference=TILES, tile=64, dtype="float32")
    np.testing.assert_allclose(run.compute(), one_after_the_other(), atol=1e-3)


def test_a_step_array_is_read_as_an_array() -> None:
    run = prepared((MEDIAN,), np.arange(5 * SIZE * SIZE, dtype=np.float32).reshape(5, SIZE, SIZE)[0], tile=64)
    array, whole = StepArray(run), run.compute()
    for index in (np.s_[:], np.s_[3, 7:90], np.s_[10:150:7, -1], np.s_[70:64], np.s_[5]):
        np.testing.assert_array_equal(array[index if isinstance(index, tuple) else (index,)], whole[index])
    part = array.part((slice(20, 100), slice(60, 160)))
    assert part.shape == (80, 100)
    np.testing.assert_array_equal(part[5:9, -3], whole[20:100, 60:160][5:9, -3])
    np.testing.assert_array_equal(np.asarray(part.part((4, slice(2, 50)))), whole[24, 62:110])
    np.testing.assert_array_equal(cloudpickle.loads(cloudpickle.dumps(array))[3:70, 2], whole[3:70, 2])


def test_movies_and_channels_go_through_a_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    movie = np.stack([[seen(TRUTH * fade, 3), seen(TRUTH * fade * 2, 4)] for fade in (1.0, 0.8, 0.65, 0.5)])
    steps = [("correct/bleaching", {"dark": 0.0, "model": "ratio"}), (SHARP, {"radius": 1.0})]
    made = {}
    for at_once in (2**22, 0):
        monkeypatch.setattr(chain, "AT_ONCE", at_once)
        made[at_once] = napari_synth.run(steps, movie, axes="TCYX", dtype="float32")
    first = napari_synth.run("correct/bleaching", movie, axes="TCYX", dtype="float32", dark=0.0, model="ratio")
    by_hand = napari_synth.run(SHARP, first, axes="TCYX", dtype="float32", radius=1.0)
    np.testing.assert_allclose(made[0], by_hand, atol=1e-3)
    np.testing.assert_allclose(made[2**22], by_hand, atol=1e-3)
    assert abs(made[0][3].mean() / made[0][0].mean() - 1) < 0.02


def test_the_recipe_holds_every_step_with_what_was_fitted_and_repeats_the_run() -> None:
    run = prepared(STEPS, reference=TILES)
    recipe = Recipe.from_yaml(run.recipe.to_yaml())
    assert recipe.to_yaml() == run.recipe.to_yaml()
    assert [step.generator for step in recipe.steps] == [FLAT, SHARP, LEVEL]
    assert len(recipe.steps[0].params["fitted"]) == 1
    assert recipe.steps[0].reference is not None
    assert recipe.steps[1].params["radius"] == 2
    assert recipe.steps[2].params["radius"] == 20
    assert recipe.source is not None
    assert recipe.source.dtype == "uint16"
    for title in ("Flat field: Learnt from 9 planes", "Background: The background lies"):
        assert any(note.startswith(title) for note in recipe.notes)
    # What was learnt of the tiles is in it: they are not given again.
    np.testing.assert_array_equal(napari_synth.run(recipe, IMAGE), run.compute())
    text = recipe.to_yaml()
    assert text.index("steps:") < text.index("source:")
    assert "\ngenerator:" not in text


def test_a_chain_of_one_step_is_the_plain_recipe() -> None:
    one = Recipe.from_yaml(f"steps:\n- generator: {MEDIAN}\n  params: {{radius: 1}}\nseed: 3\n")
    assert one == Recipe(generator=MEDIAN, params={"radius": 1}, seed=3)
    np.testing.assert_array_equal(
        napari_synth.run([(MEDIAN, {"radius": 1})], IMAGE), napari_synth.run(MEDIAN, IMAGE, radius=1)
    )


def test_what_is_given_besides_holds_for_the_last_step() -> None:
    made = prepared([FLAT, MEDIAN], params={"radius": 3}, reference=TILES).recipe
    assert made.steps[1].params["radius"] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: []\n", "has no steps"),
        ("steps: denoise\n", "has no steps"),
        ("steps:\n- params: {}\n", "Step 1 of the chain names no generator"),
        (
            f"steps:\n- generator: {MEDIAN}\n- steps:\n  - generator: {MEDIAN}\n",
            "Step 2 of the chain is a chain itself",
        ),
        (f"generator: {MEDIAN}\nsteps:\n- generator: {MEDIAN}\n", "a generator of its own"),
        (f"steps:\n- generator: {MEDIAN}\n  seed: 2\n- generator: {MEDIAN}\n", "'seed'"),
        (f"steps:\n- generator: denoise/nothing\n- generator: {MEDIAN}\n", "Step 1 of the chain: There is no"),
        (f"steps:\n- generator: predict-frames/linear\n- generator: {MEDIAN}\n", "does not restore an image"),
        (f"steps:\n- generator: super-resolution/bicubic\n- generator: {MEDIAN}\n", "put it last"),
        (
            f"steps:\n- generator: {MEDIAN}\n  params: {{radius: -3}}\n- generator: {MEDIAN}\n",
            "Step 1 of the chain (Median",
        ),
        (f"steps:\n- generator: {MEDIAN}\n- generator: correct/background\n  params: {{volume: true}}\n", "Step 2"),
    ],
)
def test_a_chain_that_cannot_be_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(SynthError) as refused:
        napari_synth.run(text, IMAGE)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("steps", [[], [[MEDIAN, MEDIAN], MEDIAN], [MEDIAN, (MEDIAN, 3)]])
def test_lists_that_are_no_chain_are_refused(steps: Any) -> None:
    with pytest.raises(RecipeError):
        napari_synth.run(steps, IMAGE)


def test_references_go_to_the_steps_that_take_them() -> None:
    psf = np.zeros((9, 9))
    psf[3:6, 3:6] = 1
    steps = [FLAT, "deconvolve/wiener"]
    with pytest.raises(ReferenceImageError, match="say for which step"):
        napari_synth.run(steps, IMAGE, reference=TILES)
    recipe = prepared(steps, reference={FLAT: TILES, 2: psf}).recipe
    assert [step.reference is not None for step in recipe.steps] == [True, True]
    with pytest.raises(ReferenceImageError, match="no step of the chain"):
        napari_synth.run(steps, IMAGE, reference={MEDIAN: TILES})
    with pytest.raises(ReferenceImageError, match="No step of the chain"):
        napari_synth.run([MEDIAN, MEDIAN], IMAGE, reference=TILES)


def test_a_larger_result_comes_last_and_an_image_gets_its_spacing() -> None:
    image = Image(IMAGE, "YX", {"Y": 0.2, "X": 0.2}, {"Y": "micrometer", "X": "micrometer"})
    made = napari_synth.run([MEDIAN, ("super-resolution/bicubic", {"factor": 2})], image)
    assert made.shape == (2 * SIZE, 2 * SIZE)
    assert made.spacing["Y"] == pytest.approx(0.1)


def test_outside_a_region_the_source_comes_back_and_a_blend_is_one_with_it() -> None:
    part = {"Y": (20, 60), "X": (30, 90)}
    made = napari_synth.run(STEPS, IMAGE, reference=TILES, axes="YX", region=part)
    whole = napari_synth.run(STEPS, IMAGE, reference=TILES, axes="YX")
    inside = np.zeros(IMAGE.shape, bool)
    inside[20:60, 30:90] = True
    np.testing.assert_array_equal(made, np.where(inside, whole, IMAGE))
    half = napari_synth.run(STEPS, IMAGE, reference=TILES, axes="YX", dtype="float32", blend=0.5)
    full = napari_synth.run(STEPS, IMAGE, reference=TILES, axes="YX", dtype="float32")
    np.testing.assert_allclose(half, (full + IMAGE) / 2, atol=1e-3)


def test_what_is_marked_is_filled_in_a_chain_and_the_rest_is_as_the_step_before_made_it() -> None:
    mask = np.zeros(IMAGE.shape, bool)
    mask[50:54, 60:64] = True
    torn = np.where(mask, 0, IMAGE)
    run = prepared([FLAT, "inpaint/biharmonic"], torn, reference=TILES, mask=mask, dtype="float32")
    flat = napari_synth.run(FLAT, torn, reference=TILES, axes="YX", dtype="float32")
    made = run.compute()
    np.testing.assert_array_equal(made[~mask], flat[~mask])
    whole = napari_synth.run(FLAT, IMAGE, reference=TILES, axes="YX", dtype="float32")
    assert made[mask].mean() == pytest.approx(whole[mask].mean(), rel=0.2)
    assert run.recipe.mask is not None


def test_progress_names_the_step_and_a_cancel_ends_the_chain() -> None:
    stages: list[str] = []
    napari_synth.run([FLAT, MEDIAN], IMAGE, reference=TILES, axes="YX", progress=lambda one: stages.append(one.stage))
    assert any(stage.startswith("Step 1 of 2, Flat field: ") for stage in stages)
    assert stages[-1] == "Restoring"
    token = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.stage.startswith("Step 2"):
            token.cancel()

    from napari_synth.core.errors import Cancelled

    with pytest.raises(Cancelled):
        napari_synth.run([FLAT, MEDIAN], IMAGE, reference=TILES, axes="YX", progress=stop, cancel=token)


def test_a_chain_and_its_recipe_have_the_same_steps() -> None:
    from napari_synth import registry
    from napari_synth.engine import door
    from napari_synth.engine.prepared import Inputs

    two = registry.of_recipe(Recipe.from_dict({"steps": [{"generator": MEDIAN}, {"generator": MEDIAN}]}))
    with pytest.raises(InvalidParameterError, match="number of steps"):
        door.open(two, Recipe(generator=MEDIAN), Inputs(Image(IMAGE, "YX")))


def test_a_denoiser_is_told_by_what_the_light_was_evened_and_does_better_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = TRUTH * 0.15 + 4
    noisy = seen(truth, 5)
    apart = napari_synth.run(
        BLIND, napari_synth.run(FLAT, noisy, reference=TILES, axes="YX", dtype="float32"), axes="YX", dtype="float32"
    )
    run = prepared([FLAT, BLIND], noisy, reference=TILES, dtype="float32")
    assert any("multiplied the noise" in note for note in run.notes)
    # The gain that is reported is that of the camera.
    assert run.recipe.noise[0] is not None
    assert run.recipe.noise[0].gain == pytest.approx(1.0, abs=0.25)
    together = run.compute()
    corner = (SHADING < 0.7) & (np.minimum(Y, X) < 0.5)

    def error(made: Any) -> float:
        return float(np.sqrt(np.mean((np.asarray(made) - truth)[corner] ** 2)))

    assert error(together) < 0.95 * error(apart)
    verdict = judged(run, together)
    assert verdict is not None
    assert verdict.chi2 is not None
    assert 0.75 < verdict.chi2 < 1.25
    # Blocks are told the same as the whole.
    monkeypatch.setattr(chain, "AT_ONCE", 0)
    tiled = prepared([FLAT, BLIND], noisy, reference=TILES, dtype="float32", tile=96).compute()
    assert np.abs(tiled - together).max() < 2e-3 * np.ptp(truth)


@pytest.mark.parametrize(
    ("step", "params", "expected"),
    [
        ("correct/background", {"shape": "smooth surface", "operation": "divide"}, None),
        ("correct/background", {"radius": 30}, 1.0),
        ("correct/stripes", {"law": "offset"}, 1.0),
    ],
)
def test_what_a_correction_says_it_does_to_the_noise_it_does(
    step: str, params: dict[str, Any], expected: float | None
) -> None:
    noisy = 200 * SHADING + np.random.default_rng(0).normal(0, 5, IMAGE.shape)
    first = napari_synth.prepare(step, noisy.astype(np.float32), params, axes="YX", dtype="float32")
    run = first.gains()
    assert run is not None
    gains = run.compute()
    assert gains.min() > 0
    if expected is not None:
        np.testing.assert_allclose(gains, expected, rtol=1e-4)
        return
    made = first.compute()
    for part in (SHADING < 0.8, SHADING > 1.05):
        smooth = np.poly1d(np.polyfit(SHADING[part], made[part], 3))(SHADING[part])
        assert np.std(made[part] - smooth) == pytest.approx(5 * np.sqrt(np.mean(gains[part] ** 2)), rel=0.1)


def test_what_only_takes_away_multiplies_no_noise() -> None:
    noisy = seen(TRUTH * 0.15 + 4, 5)
    run = prepared([(LEVEL, {"operation": "subtract", "level": "keep"}), BLIND], noisy, dtype="float32")
    assert not any("multiplied the noise" in note for note in run.notes)
    flat = napari_synth.run(LEVEL, noisy, operation="subtract", level="keep", dtype="float32", axes="YX")
    apart = napari_synth.run(BLIND, flat, dtype="float32", axes="YX")
    np.testing.assert_allclose(run.compute(), apart, atol=1e-3 * float(np.ptp(apart)))
    divided = prepared([(LEVEL, {"operation": "divide"}), BLIND], noisy, dtype="float32")
    assert any("multiplied the noise" in note for note in divided.notes)


@pytest.mark.parametrize(
    ("step", "settings", "share"),
    [
        ("denoise/non-local-means", {}, 0.95),
        ("denoise/total-variation", {}, 0.95),
        ("denoise/wavelet", {}, 0.95),
        ("deconvolve/richardson-lucy", {"psf_model": "gaussian", "width": 1.0}, 0.95),
        # A linear filter, which gains from the better stop alone.
        ("deconvolve/wiener", {"psf_model": "gaussian", "width": 1.0}, 1.02),
        ("deconvolve/network", {"psf_model": "gaussian", "width": 1.0}, 0.95),
    ],
)
def test_every_method_that_knows_the_noise_is_told_by_what_the_light_was_evened(
    step: str, settings: dict[str, Any], share: float
) -> None:
    truth = TRUTH * 0.15 + 4
    light = gaussian_filter(truth, 1.0) if step.startswith("deconvolve") else truth
    noisy = seen(light, 5)
    flat = napari_synth.run(FLAT, noisy, reference=TILES, axes="YX", dtype="float32")
    apart = napari_synth.run(step, flat, axes="YX", dtype="float32", **settings)
    together = napari_synth.run([FLAT, (step, settings)], noisy, reference={1: TILES}, axes="YX", dtype="float32")
    parts = {"corner": (SHADING < 0.7) & (np.minimum(Y, X) < 0.5), "centre": SHADING > 1.2}
    apart_error, error = (
        {name: float(np.sqrt(np.mean((made - truth)[part] ** 2))) for name, part in parts.items()}
        for made in (apart, together)
    )
    assert error["corner"] < share * apart_error["corner"]
    assert error["centre"] < 1.05 * apart_error["centre"]


@pytest.mark.parametrize("step", ["denoise/wavelet", "deconvolve/richardson-lucy", "deconvolve/network"])
def test_blocks_are_told_the_same_as_the_whole(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {}
    if step.startswith("deconvolve"):
        settings = {"psf_model": "gaussian", "width": 1.0, "iterations": 4}
    given = {"reference": {1: TILES}, "axes": "YX", "dtype": "float32"}
    whole = napari_synth.run([FLAT, (step, settings)], IMAGE, **given)
    tiled = napari_synth.run([FLAT, (step, settings)], IMAGE, tile=96, **given)
    assert np.abs(tiled - whole).max() < 2e-3 * np.ptp(TRUTH)


def test_gains_that_change_from_pixel_to_pixel_are_not_drawn_into_the_image() -> None:
    random = np.random.default_rng(7)
    columns = np.repeat(random.uniform(0.85, 1.15, SIZE)[None], SIZE, 0)
    noisy = random.poisson(TRUTH * columns).astype(np.uint16)
    steps: list[Any] = [("correct/stripes", {"law": "gain"}), "denoise/wavelet"]
    made = napari_synth.run(steps, noisy, axes="YX", dtype="float32")
    alone = napari_synth.run(*steps[0][:1], noisy, axes="YX", dtype="float32", law="gain")

    def stripes(image: Any) -> float:
        return float(np.std(np.diff(np.mean(np.asarray(image) - TRUTH, 0))))

    assert stripes(made) < stripes(alone)
