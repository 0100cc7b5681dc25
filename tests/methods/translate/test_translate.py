"""What the ways to translate promise beyond the contract."""

from __future__ import annotations

from functools import cache
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
from skimage import color, data

import napari_synth
from napari_synth import registry
from napari_synth.contract.generator import Task
from napari_synth.core import errors
from napari_synth.engine.recipe import Recipe
from napari_synth.imaging.image import Image
from napari_synth.methods.patch_distributions import example_plane, patch_distance
from napari_synth.methods.translate.selection import choose
from napari_synth.methods.translate.slides import Slide
from napari_synth.methods.translate.stains import STANDARD, by_extreme_angles, by_sparse_factors, concentrations
from napari_synth.samples import load
from napari_synth.spelling import as_command, as_python
from napari_synth.verbs import prepare

STAINS = ("macenko", "vahadane", "reinhard")
WHITE = 240.0


@cache
def slide() -> np.ndarray:
    return np.asarray(data.immunohistochemistry()[60:220, 200:360])


def drawn(first: float = 1.0, second: float = 0.6, vectors: np.ndarray = STANDARD.vectors, seed: int = 0) -> np.ndarray:
    """A slide of blobs of two stains in known amounts, with a third of it empty."""
    rng = np.random.default_rng(seed)
    amounts = np.zeros((96, 96, 2))
    y, x = np.mgrid[:96, :96]
    for _ in range(60):
        cy, cx = rng.uniform(0, 96), rng.uniform(0, 64)
        near = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / rng.uniform(10, 60))
        amounts[..., rng.integers(2)] += rng.uniform(0.3, 1.0) * near
    amounts[:, 72:] = 0
    density = np.minimum(amounts, 2) * (first, second) @ vectors.T
    return (WHITE * np.exp(-density) + rng.normal(0, 0.5, density.shape)).round().clip(0, 255).astype("u1")


def stronger(image: np.ndarray) -> np.ndarray:
    """The same slide from another laboratory: other stains, other strength."""
    vectors = np.array([[0.65, 0.10], [0.65, 0.95], [0.39, 0.29]])
    found = concentrations(-np.log(np.maximum(image / WHITE, 1e-3)).reshape(-1, 3), STANDARD.vectors)
    return (WHITE * np.exp(-(found * (1.5, 1.3)) @ vectors.T)).reshape(image.shape).round().clip(0, 255).astype("u1")


def tissue_colour(image: np.ndarray) -> np.ndarray:
    tissue = image.mean(-1) < 0.86 * WHITE
    return np.asarray(color.rgb2lab(image.astype(float) / WHITE)[tissue].mean(0))


@pytest.mark.parametrize("name", STAINS)
def test_slides_of_two_laboratories_come_to_look_alike(name: str) -> None:
    reference, other = drawn(seed=1), stronger(drawn(seed=2))
    before = np.linalg.norm(tissue_colour(other) - tissue_colour(reference))
    result = napari_synth.translate(other, reference, name)
    assert np.linalg.norm(tissue_colour(result) - tissue_colour(reference)) < 0.35 * before
    structure = np.corrcoef(color.rgb2gray(other).ravel(), color.rgb2gray(result).ravel())[0, 1]
    assert structure > 0.95


@pytest.mark.parametrize("name", STAINS)
def test_the_empty_slide_stays_bit_identical(name: str) -> None:
    image = stronger(drawn())
    result = napari_synth.translate(image, drawn(seed=1), name)
    np.testing.assert_array_equal(result[:, 76:], image[:, 76:])
    assert (result[:, :60] != image[:, :60]).any()


@pytest.mark.parametrize("name", STAINS)
@pytest.mark.parametrize("kind", ["empty", "black", "constant", "saturated"])
def test_a_slide_without_tissue_stays_as_it_is(name: str, kind: str) -> None:
    empty = np.random.default_rng(0).normal(WHITE, 1, (40, 40, 3)).round().astype("u1")
    image = {"empty": empty, "black": empty * 0, "constant": empty * 0 + 17, "saturated": empty * 0 + 255}[kind]
    run = prepare(f"translate/{name}", Image.from_array(image))
    np.testing.assert_array_equal(run.compute(), image)
    assert any("No tissue" in note for note in run.notes)


@pytest.mark.parametrize("name", ["macenko", "vahadane"])
@pytest.mark.parametrize("which", [0, 1])
def test_one_stain_alone_is_told_of_and_no_second_is_made_up(name: str, which: int) -> None:
    image = drawn(**{["second", "first"][which]: 0.0})
    run = prepare(f"translate/{name}", Image.from_array(image))
    assert any("One stain alone" in note for note in run.notes)
    other = napari_synth.translate(image, generator=name, show=["eosin", "haematoxylin"][which])
    own = napari_synth.translate(image, generator=name, show=["haematoxylin", "eosin"][which])
    assert (WHITE - other[:, :60]).mean() < 0.15 * (WHITE - own[:, :60]).mean()


@pytest.mark.parametrize("separate", [by_extreme_angles, by_sparse_factors])
def test_the_directions_of_the_stains_are_found(separate: Any) -> None:
    found = separate(Slide.of(Image.from_array(drawn())).tissue)
    found = found if found[0, 0] > found[0, 1] else found[:, ::-1]
    angles = np.degrees(np.arccos((found * STANDARD.vectors).sum(0).clip(-1, 1)))
    assert angles.max() < 4.0


@pytest.mark.parametrize("name", STAINS)
def test_a_reference_without_tissue_is_refused(name: str) -> None:
    with pytest.raises(errors.ReferenceImageError, match="No tissue"):
        napari_synth.translate(slide(), np.full((32, 32, 3), 240, "u1"), name)


def test_the_stains_and_the_residual_add_up_to_the_slide() -> None:
    image, density = slide().astype("f4"), {}
    for show in ("normalised", "haematoxylin", "eosin", "residual"):
        result = napari_synth.translate(image, generator="macenko", show=show, white=240.0)
        density[show] = -np.log(np.maximum(result / 240.0, 1e-3))
    tissue = -np.log(image.clip(1) / 240).mean(-1) > 0.3
    total = density["haematoxylin"] + density["eosin"] + density["residual"]
    np.testing.assert_allclose(total[tissue], density["normalised"][tissue], atol=2e-2)
    assert np.abs(density["residual"][tissue]).mean() < 0.2 * density["normalised"][tissue].mean()


@pytest.mark.parametrize("dtype", ["u2", "f4", "f8"])
def test_slides_of_any_range_give_the_same(dtype: str) -> None:
    image, reference = slide(), drawn(seed=1)
    usual = napari_synth.translate(image.astype("f8"), reference, "macenko") / 255
    scale = {"u2": 200.0, "f4": 1 / 255, "f8": 1e6}[dtype]
    other = napari_synth.translate((image * scale).astype(dtype), reference, "macenko") / (255 * scale)
    np.testing.assert_allclose(other, usual, atol=2e-3)


@pytest.mark.parametrize("name", [*STAINS, "quantile-matching"])
def test_a_recipe_needs_no_reference_again(name: str) -> None:
    run = prepare(f"translate/{name}", Image.from_array(slide()), reference=Image.from_array(drawn(seed=1)))
    recipe = Recipe.from_yaml(run.recipe.to_yaml())
    assert recipe.params["fitted"]
    np.testing.assert_array_equal(napari_synth.run(recipe, slide()), run.compute())
    assert "reference=reference" in as_python(recipe)
    assert "fitted" not in as_python(recipe)
    assert "--reference REFERENCE.tif" in as_command(recipe)
    other = stronger(drawn(seed=3))
    np.testing.assert_array_equal(napari_synth.run(recipe, other), napari_synth.translate(other, drawn(seed=1), name))


def test_what_was_learnt_belongs_to_its_channel() -> None:
    image = np.stack([data.camera()[:64, :64], data.coins()[:64, :64]]).astype("u2")
    reference = np.stack([data.coins()[100:150, :80] * 3, data.camera()[200:250, :80] * 2.0]).astype("u2")
    run = prepare("translate/quantile-matching", Image(image, "CYX"), reference=Image(reference, "CYX"))
    assert len(run.recipe.params["fitted"]) == 2
    np.testing.assert_array_equal(napari_synth.run(run.recipe, image), run.compute())
    again = napari_synth.run(run.recipe, image, reference=reference[:1])
    np.testing.assert_allclose(again[1].mean(), reference[0].mean(), rtol=0.05)
    three = np.concatenate([image, image[:1]])
    with pytest.raises(errors.InvalidParameterError, match="2 channels"):
        napari_synth.run(run.recipe, three, axes="CYX")


@pytest.mark.parametrize(
    "fitted", [[{"stains": [1.0] * 5, "maxima": [1.0, 1.0]}], [{}], [{"levels": [0.0] * 257}], "nonsense"]
)
def test_a_damaged_fit_is_refused(fitted: Any) -> None:
    with pytest.raises(errors.InvalidParameterError, match="fitted"):
        napari_synth.translate(slide(), generator="macenko", fitted=fitted)


@pytest.mark.parametrize("name", [*STAINS, "colour-transfer", "colour-balance"])
def test_gray_images_are_refused_where_colours_are_needed(name: str) -> None:
    with pytest.raises(errors.AxesError, match="colours"):
        napari_synth.translate(data.camera()[:32, :32], generator=name)
    pair = slide()[..., :2]
    reference = pair if name == "colour-transfer" else None
    with pytest.raises(errors.InvalidImageError, match="no three colours"):
        napari_synth.translate(pair, reference, name, axes="YXS")


@pytest.mark.parametrize("name", ["quantile-matching", "colour-transfer", "patch-style"])
def test_a_reference_of_another_number_of_colours_is_refused(name: str) -> None:
    with pytest.raises(errors.ReferenceImageError, match="colours"):
        napari_synth.translate(slide(), data.camera()[:32, :32], name)


@pytest.mark.parametrize("name", ["colour-transfer", "patch-style"])
def test_a_reference_is_asked_for(name: str) -> None:
    with pytest.raises(errors.ReferenceImageError, match="needs a reference"):
        napari_synth.translate(slide(), generator=name)


def test_no_reference_is_taken_for_a_change_of_tone() -> None:
    with pytest.raises(errors.ReferenceImageError, match="takes no reference"):
        napari_synth.translate(slide(), slide(), "gamma")


@pytest.mark.parametrize("name", ["macenko", "quantile-matching", "colour-transfer", "patch-style"])
def test_nan_in_a_reference_does_no_harm(name: str) -> None:
    reference = drawn(seed=1).astype("f4")
    reference[:9, :9] = np.nan
    result = napari_synth.translate(slide().astype("f4"), reference, name)
    assert np.isfinite(result).all()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_quantiles_become_those_of_the_reference(dtype: str) -> None:
    image, reference = data.camera()[:200, :200].astype(dtype), (data.coins()[:150] * 0.8 + 40).astype(dtype)
    result = napari_synth.translate(image, reference, "quantile-matching")
    shares = np.linspace(0.02, 0.98, 25)
    np.testing.assert_allclose(np.quantile(result, shares), np.quantile(reference, shares), atol=3.0)
    order = np.argsort(image, axis=None, kind="stable")
    assert (np.diff(result.ravel()[order].astype(float)) >= 0).all()


def test_planes_that_bleach_are_evened_out() -> None:
    plane = data.camera()[100:164, 100:164].astype("f4")
    stack = np.stack([plane * 0.8**i for i in range(5)])
    result = napari_synth.translate(stack, generator="quantile-matching", axes="TYX")
    means = result.mean(axis=(1, 2))
    assert np.ptp(means) < 0.02 * means.mean()
    np.testing.assert_allclose(np.quantile(result, 0.5), np.quantile(stack, 0.5), rtol=0.1)
    one = napari_synth.translate(stack, plane, "quantile-matching", axes="TYX", match="each plane")
    np.testing.assert_allclose(one, np.broadcast_to(plane, one.shape), atol=2.0)


def test_a_single_plane_without_a_reference_stays_as_it_is() -> None:
    run = prepare("translate/quantile-matching", Image.from_array(data.camera()[:64, :64]))
    np.testing.assert_array_equal(run.compute(), data.camera()[:64, :64])
    assert "stays as it is" in run.notes[0]


def test_intensities_that_the_dtype_cannot_hold_are_refused() -> None:
    with pytest.raises(errors.ReferenceImageError, match="cannot hold"):
        napari_synth.translate(data.camera()[:32, :32], data.camera()[:32, :32].astype("u2") * 9, "quantile-matching")


def sliced(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of colours along random directions."""
    rng, found = np.random.default_rng(5), []
    for _ in range(30):
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        shares = np.linspace(0, 1, 401)
        found.append(
            np.abs(np.subtract(*(np.quantile(c.reshape(-1, 3) @ axis, shares) for c in (first, second)))).mean()
        )
    return float(np.mean(found))


def test_all_colours_of_the_reference_move_over() -> None:
    image, reference = data.astronaut()[:200, :200].astype("f4"), data.coffee()[:200, :300].astype("f4")
    result = napari_synth.translate(image, reference, "colour-transfer")
    assert sliced(result, reference) < 0.05 * sliced(image, reference)
    half = napari_synth.translate(image, reference, "colour-transfer", strength=0.5)
    np.testing.assert_allclose(half, (image + result) / 2, atol=1e-2)


def test_colours_of_another_dtype_are_those_of_its_range() -> None:
    image, reference = data.astronaut()[:96, :96], data.coffee()[:96, :96]
    same = napari_synth.translate(image, reference, "colour-transfer")
    fine = napari_synth.translate(image, reference.astype("u2") * 257, "colour-transfer")
    unit = napari_synth.translate(image, reference / np.float32(255), "colour-transfer")
    np.testing.assert_array_equal(fine, same)
    assert np.abs(same.astype(int) - unit).mean() < 0.5


def test_alpha_is_left_alone() -> None:
    image = np.concatenate([slide(), np.full((*slide().shape[:2], 1), 77, "u1")], -1)
    result = napari_synth.translate(image, drawn(), "macenko")
    assert (result[..., 3] == 77).all()
    assert (result[..., :3] != image[..., :3]).any()


@pytest.mark.parametrize("style", ["brick", "gravel"])
def test_patches_come_to_be_those_of_the_style_and_the_layout_stays(style: str) -> None:
    content, reference = data.coins()[:96, :96].astype("u2") * 100, getattr(data, style)()[:128, :128]
    result = napari_synth.translate(content, reference, "patch-style")
    plane = example_plane(Image.from_array(reference))[0]

    def distance(image: np.ndarray) -> float:
        return patch_distance(example_plane(Image.from_array(image))[0], plane, 7, torch.Generator().manual_seed(9))

    assert distance(result) < 0.5 * distance(content)
    assert np.corrcoef(content.ravel(), result.ravel())[0, 1] > 0.4
    low, high = np.percentile(result, [1, 99])
    assert content.min() - 2000 < low < high < content.max() + 6000


def test_no_strength_no_style() -> None:
    content = data.coins()[:48, :48]
    result = napari_synth.translate(content, data.brick()[:64, :64], "patch-style", strength=0.0)
    np.testing.assert_array_equal(result, content)


def test_only_a_style_is_invented() -> None:
    invented = {found.info.name for found in registry.generators(Task.TRANSLATE) if found.info.invents}
    assert invented == {"patch-style"}


def test_contrast_stretches_the_percentiles_over_the_range() -> None:
    image = data.camera()[:128, :128].astype("f4") + 1000
    result = napari_synth.translate(image, generator="contrast", low=5, high=95)
    np.testing.assert_allclose(np.percentile(result, [5, 95]), [image.min(), image.max()], rtol=1e-3)
    assert result.min() < image.min()
    assert result.max() > image.max()
    full = napari_synth.translate(image.astype("u2"), generator="contrast", over="dtype")
    assert full.min() == 0
    assert full.max() == 65535
    flat = prepare("translate/contrast", Image.from_array(np.where(np.eye(64) * (np.arange(64) == 3), 9, 5)))
    assert any("nothing between" in note for note in flat.notes)


def test_gamma_keeps_the_ends_and_what_lies_beyond() -> None:
    image = data.camera()[:64, :64].astype("f4") * 10 - 300
    result = napari_synth.translate(image, generator="gamma", gamma=0.5)
    np.testing.assert_allclose([result.min(), result.max()], [image.min(), image.max()], rtol=1e-3)
    along = (image - image.min()) / np.ptp(image)
    np.testing.assert_allclose(result, np.sqrt(along) * np.ptp(image) + image.min(), atol=0.5)


def test_local_contrast_has_more_than_256_levels_and_stays_in_the_range() -> None:
    smooth = np.sort(np.random.default_rng(0).integers(1000, 4000, (128, 128)), axis=1).astype("u2")
    result = napari_synth.translate(smooth, generator="clahe", parts=4)
    assert len(np.unique(result)) > 1000
    assert result.min() >= smooth.min()
    assert result.max() <= smooth.max()
    dim = data.grass()[:128, :128].astype("f4") * 0.1 + np.linspace(0, 200, 128, dtype="f4")
    clear = napari_synth.translate(dim, generator="clahe")
    assert np.diff(clear, axis=0).std() > 1.8 * np.diff(dim, axis=0).std()
    np.testing.assert_allclose(napari_synth.translate(dim, generator="clahe", clip=1.0), dim, atol=1.5)


def test_unsharp_raises_edges_by_what_a_blur_takes_away() -> None:
    step = np.full((32, 64), 100.0, "f4")
    step[:, 32:] = 200
    result = napari_synth.translate(step, generator="unsharp", radius=2.0)
    assert result.max() > 230
    assert result.min() < 70
    np.testing.assert_allclose(result[:, [0, -1]], step[:, [0, -1]], atol=1e-2)


def test_a_tint_is_taken_out() -> None:
    gray = data.camera()[:64, :64, None].repeat(3, -1).astype("f4")
    tinted = gray * np.array([1.0, 0.8, 0.5], "f4") + 0
    result = napari_synth.translate(tinted, generator="colour-balance")
    assert np.ptp(result, axis=-1).max() < 0.02 * result.max()
    plain = napari_synth.translate(slide(), generator="colour-balance", gray="as it is")
    np.testing.assert_array_equal(plain, slide())
    assert (
        np.ptp(napari_synth.translate(slide(), generator="colour-balance", saturation=0.0).astype(int), axis=-1).max()
        <= 1
    )
    warm = napari_synth.translate(slide(), generator="colour-balance", gray="as it is", warmth=0.5).mean((0, 1))
    assert warm[0] > plain[..., 0].mean()
    assert warm[2] < plain[..., 2].mean()


def test_the_automatic_choice_follows_the_image_and_the_reference() -> None:
    stained, other, photo, gray = (
        Image.from_array(found) for found in (slide(), drawn(), data.astronaut()[:128, :128], data.camera()[:64, :64])
    )
    assert choose(stained, None) == choose(stained, other) == "macenko"
    # The reference decides alone: tiles of one slide, with tissue or without, go the same way.
    glass = Image.from_array(np.random.default_rng(0).normal(242, 1.7, (64, 64, 3)).round().astype("u1"))
    assert choose(stained, photo) == choose(glass, photo) == "colour-transfer"
    assert choose(photo, other) == choose(glass, other) == "macenko"
    assert choose(gray, gray) == "quantile-matching"
    assert choose(gray, None) == choose(photo, None) == "contrast"
    assert choose(load("tissue"), None) == "macenko"


def test_what_was_chosen_is_told_and_repeated() -> None:
    run = prepare("translate/auto", Image.from_array(slide()), reference=Image.from_array(drawn()))
    assert run.recipe.params["method"] == "macenko"
    assert run.notes[0].startswith("Done by Stains (Macenko)")
    np.testing.assert_array_equal(run.compute(), napari_synth.translate(slide(), drawn(), "macenko"))
    np.testing.assert_array_equal(napari_synth.run(run.recipe, slide()), run.compute())


@pytest.mark.parametrize("name", ["auto", "macenko", "colour-transfer"])
def test_lazy_images_give_the_same(name: str) -> None:
    lazy = napari_synth.translate(da.from_array(slide(), chunks=(50, 60, 3)), da.from_array(drawn()), name)
    np.testing.assert_array_equal(lazy.compute(), napari_synth.translate(slide(), drawn(), name))


def test_a_stack_of_slides_shares_one_fit() -> None:
    stack = np.stack([slide(), slide()[::-1]])
    result = napari_synth.translate(stack, drawn(), "vahadane", axes="ZYXS")
    np.testing.assert_array_equal(result[0], result[1][::-1])


def glass(shape: tuple[int, ...] = (64, 64, 3)) -> np.ndarray:
    return np.random.default_rng(0).normal(242, 1.7, shape).round().astype("u1")


@pytest.mark.parametrize("reference", ["slide", "photo", None])
def test_blank_glass_stays_as_it_is_whatever_it_should_look_like(reference: str | None) -> None:
    given = {"slide": drawn(), "photo": data.astronaut()[:128, :128], None: None}[reference]
    np.testing.assert_array_equal(napari_synth.translate(glass(), given), glass())


@pytest.mark.parametrize("name", ["quantile-matching", "colour-transfer"])
def test_noise_is_not_matched_to_a_signal(name: str) -> None:
    image, reference = glass(), data.astronaut()[:128, :128]
    if name == "quantile-matching":
        image, reference = image[..., 0], data.camera()[:128, :128]
    run = prepare(f"translate/{name}", Image.from_array(image), reference=Image.from_array(reference))
    np.testing.assert_array_equal(run.compute(), image)
    assert any("nothing but noise" in note for note in run.notes)


@pytest.mark.parametrize("name", STAINS)
def test_marks_of_a_pen_are_left_out_and_named(name: str) -> None:
    plain, reference = np.asarray(load("tissue").data), np.asarray(load("restained").data)
    marked = plain.copy()
    marked[:, 128:155] = (40, 60, 170)
    marked[192:219] = (40, 140, 80)
    pen = (marked != plain).any(-1)
    clean = napari_synth.translate(plain, reference, name)
    run = prepare(f"translate/{name}", Image.from_array(marked), reference=Image.from_array(reference))
    result = run.compute()
    np.testing.assert_array_equal(result[pen], marked[pen])
    difference = color.deltaE_cie76(color.rgb2lab(clean), color.rgb2lab(result))
    assert difference[~pen].mean() < 4
    assert any("pen" in note and "green" in note and "blue" in note for note in run.notes)
    assert not any("pen" in note for note in prepare(f"translate/{name}", load("tissue")).notes)


@pytest.mark.parametrize("value", [0, 200])
def test_a_reference_that_shows_nothing_is_refused(value: int) -> None:
    with pytest.raises(errors.ReferenceImageError, match="equal"):
        napari_synth.translate(data.camera()[:64, :64], np.full((32, 32), value, "u1"), "quantile-matching")


def test_the_image_itself_as_its_reference_is_told() -> None:
    image = Image.from_array(data.camera()[:64, :64])
    run = prepare("translate/quantile-matching", image, reference=image)
    assert "the image itself" in run.notes[0]
