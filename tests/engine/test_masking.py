"""Masks from what is given or by a rule, chosen labels, growth; and what a recipe keeps of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_synth.core.errors import MaskError, RecipeError
from napari_synth.engine.masking import grown, make_mask, with_mask
from napari_synth.engine.recipe import MaskRecord, Recipe
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import Mask, as_mask
from napari_synth.spelling import as_command, as_python

IMAGE = Image(np.random.default_rng(0).poisson(90, (3, 40, 50)).astype(np.uint16), "ZYX")


def labels() -> np.ndarray:
    drawn = np.zeros((3, 40, 50), np.int32)
    drawn[0, 5:8, 5:9], drawn[1, 20, 20], drawn[1, 30:33, 30] = 1, 2, 7
    return drawn


@pytest.mark.parametrize("store", [np.asarray, da.from_array, zarr.array])
def test_chosen_labels(store: Any) -> None:
    mask = make_mask(IMAGE, store(labels()), ids=[1, 7])
    assert np.array_equal(np.asarray(mask.data), np.isin(labels(), [1, 7]))
    assert mask.ids == (1, 7)


def test_a_label_that_is_not_there_is_told() -> None:
    with pytest.raises(MaskError, match="no label 4: it has 1, 2, 7"):
        make_mask(IMAGE, labels(), ids=[4])
    with pytest.raises(MaskError, match="has no labels"):
        make_mask(IMAGE, rule="nan", ids=[1])


def test_a_mask_grows_as_a_disc_in_its_plane() -> None:
    drawn = np.zeros((3, 40, 50), np.uint8)
    drawn[1, 20, 20] = drawn[1, 0, 49] = 1
    y, x = np.mgrid[:40, :50]
    disc = np.minimum((y - 20) ** 2 + (x - 20) ** 2, y**2 + (x - 49) ** 2) <= 9
    found = make_mask(IMAGE, drawn, grow=3)
    assert np.array_equal(found.data, np.stack([0 * disc, disc, 0 * disc]))
    assert found.grow == 3
    assert drawn.sum() == 2


@pytest.mark.parametrize("axes", ["ZYX", "YXZ", "XYZ"])
def test_lazy_masks_grow_over_the_edges_of_chunks(axes: str) -> None:
    drawn = (np.random.default_rng(0).random((30, 33, 36)) < 0.001).astype(np.uint8)
    expected = grown(Mask(drawn, axes), 5)
    lazy = grown(Mask(da.from_array(drawn, chunks=7), axes), 5)
    assert lazy.is_lazy
    assert np.array_equal(np.asarray(lazy.data), expected.data)


@pytest.mark.parametrize("grow", [-1, 257])
def test_growth_out_of_bounds_is_told(grow: int) -> None:
    with pytest.raises(MaskError, match="from 0 to 256"):
        make_mask(IMAGE, labels(), grow=grow)


def test_no_mask_and_two_masks_are_told() -> None:
    with pytest.raises(MaskError, match="There is no mask"):
        make_mask(IMAGE)
    with pytest.raises(MaskError, match="give one of them"):
        make_mask(IMAGE, labels(), rule="hot")


def test_a_mask_remembers_how_it_was_made() -> None:
    mask = make_mask(IMAGE, labels(), ids=[2], grow=1)
    again = as_mask(mask.select(Z=1), IMAGE)
    assert (again.ids, again.grow, again.rule) == ((2,), 1, None)
    record = MaskRecord.of(mask)
    assert (record.ids, record.grow, record.pixels, record.rule) == ((2,), 1, 5, None)
    assert record.share == pytest.approx(5 / mask.n_pixels)
    assert record.sentences() == ("The mask marks 5 pixels, 0.0833 % of the image.",)
    assert record.fingerprint != MaskRecord.of(make_mask(IMAGE, labels(), ids=[1])).fingerprint


def recipe_of(mask: Mask) -> Recipe:
    return Recipe(generator="inpaint/fake", mask=MaskRecord.of(mask))


def test_a_recipe_makes_its_mask_by_a_rule_on_another_image() -> None:
    image = Image(np.ones((20, 20), np.float32), "YX")
    image.data[4, 4] = np.nan
    recipe = Recipe.from_yaml(recipe_of(make_mask(image, rule="nan", grow=1)).to_yaml())
    other = Image(np.ones((30, 10), np.float32), "YX")
    other.data[20, 2] = np.nan
    mask = with_mask(other, recipe).mask
    assert isinstance(mask, Mask)
    assert (int(mask.data.sum()), mask.rule, mask.grow) == (5, "nan", 1)


def test_a_drawn_mask_has_to_be_given_again_and_keeps_labels_and_growth() -> None:
    recipe = recipe_of(make_mask(IMAGE, labels(), ids=[2], grow=1))
    with pytest.raises(MaskError, match="was drawn: give the mask"):
        with_mask(IMAGE, recipe)
    again = with_mask(IMAGE, recipe, labels()).mask
    assert again is not None
    assert again.data.sum() == 5
    other = with_mask(IMAGE, recipe, labels(), ids=[1], grow=0).mask
    assert other is not None
    assert other.data.sum() == 12
    ruled = with_mask(IMAGE, recipe, rule="zero").mask
    assert isinstance(ruled, Mask)
    assert (ruled.rule, ruled.ids) == ("zero", ())


def test_the_mask_of_an_image_is_taken_and_can_be_grown() -> None:
    image = replace(IMAGE, mask=as_mask(labels() == 2, IMAGE))
    plain = Recipe(generator="inpaint/fake")
    assert with_mask(IMAGE, plain) is IMAGE
    kept, wider = with_mask(image, plain).mask, with_mask(image, plain, grow=1).mask
    assert kept is not None
    assert wider is not None
    assert (kept.data.sum(), wider.data.sum()) == (1, 5)


def test_recipes_are_spelled_with_their_masks() -> None:
    drawn = recipe_of(make_mask(IMAGE, labels(), ids=[1, 7], grow=2))
    assert "run('inpaint/fake', image, mask=mask, mask_ids=[1, 7], grow=2)" in as_python(drawn)
    words = as_command(drawn)
    assert words.endswith("--mask MASK.tif --mask-ids 1 --mask-ids 7 --grow 2")
    ruled = recipe_of(make_mask(IMAGE, rule="hot", grow=1))
    assert "run('inpaint/fake', image, mask_from='hot', grow=1)" in as_python(ruled)
    assert as_command(ruled).endswith("--mask-from hot --grow 1")


def test_a_recipe_with_an_unknown_rule_is_refused() -> None:
    with pytest.raises(RecipeError, match="no rule 'bright'"):
        Recipe.from_yaml("generator: inpaint/fake\nmask: {rule: bright}\n")
