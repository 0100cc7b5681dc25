from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_synth.core.errors import AxesError, ImageFileError, TrainingDataError
from napari_synth.files import write_image
from napari_synth.imaging.image import Image
from napari_synth.training.dataset import Normalisation, Scaling, gather, read_fields, split_fields
from napari_synth.training.patches import PatchRegion


def ramp(shape: tuple[int, ...], axes: str, dtype: str = "f4") -> Image:
    return Image(np.arange(np.prod(shape)).reshape(shape).astype(dtype), axes)


def fields_of(image: Image, axes: str = "YX", **options: Any) -> list[PatchRegion]:
    return read_fields([image], Normalisation.of([image]), axes, **options)


def test_files_of_pairs_go_together_by_name(tmp_path: Path) -> None:
    for folder, names in (("bad", "ab"), ("good", "ab")):
        (tmp_path / folder).mkdir()
        for number, name in enumerate(names):
            pixels = np.full((16, 16), 10 * number, np.uint16)
            pixels[0] = 7 if folder == "bad" else 8
            write_image(tmp_path / folder / f"{name}.tif", Image(pixels, "YX"))
    (tmp_path / "good" / "b.tif").rename(tmp_path / "good" / "b2.tif")
    images = gather(tmp_path / "bad", str(tmp_path / "good" / "*.tif"), kind="paired")
    assert [image.name for image in images.target] == ["a", "b2"]
    assert images.notes == ("Sources and targets were paired by the common parts of their names: a + a, b + b2.",)
    (tmp_path / "good" / "b2.tif").rename(tmp_path / "good" / "b.tif")
    targets = [tmp_path / "good" / "b.tif", tmp_path / "good" / "a.tif"]
    images = gather(tmp_path / "bad", targets, kind="paired")
    assert [image.name for image in images.target] == ["a", "b"]
    assert images.notes == ()


@pytest.mark.parametrize(
    ("source", "target", "kind", "sentence"),
    [
        (ramp((32, 32), "YX"), None, "paired", "needs a target, which shows the same fields"),
        (ramp((32, 32), "YX"), None, "unpaired", "needs a target, which shows how"),
        (ramp((32, 32), "YX"), ramp((32, 32), "YX"), "one", "leave the target out"),
        (ramp((32, 32), "YX"), ramp((32, 30), "YX"), "paired", "is Y 32 x X 32 and its target 'image' Y 32 x X 30"),
        (ramp((4, 32, 32), "ZYX"), ramp((4, 32, 32), "TYX"), "paired", "same field and size"),
        ([ramp((32, 32), "YX")] * 2, [ramp((32, 32), "YX")], "paired", "2 sources and 1 targets"),
    ],
)
def test_what_does_not_go_together_is_refused(source: Any, target: Any, kind: Any, sentence: str) -> None:
    with pytest.raises(TrainingDataError, match=sentence):
        gather(source, target, kind=kind)


def test_what_is_not_there_or_has_other_axes_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="no file"):
        gather(tmp_path / "none.tif", kind="one")
    with pytest.raises(AxesError):
        gather(np.zeros((32, 32)), kind="one", axes="ZYX")


def test_unpaired_images_may_differ_in_size_and_number() -> None:
    images = gather(ramp((32, 32), "YX"), [ramp((20, 40), "YX"), ramp((9, 9), "YX")], kind="unpaired")
    assert (len(images.source), len(images.target)) == (1, 2)


@pytest.mark.parametrize("region", [np.zeros((32, 32), int), np.zeros((32, 30), bool), [np.ones((32, 32), int)] * 2])
def test_a_region_that_does_not_suit_is_refused(region: Any) -> None:
    with pytest.raises(TrainingDataError, match="region"):
        gather(ramp((32, 32), "YX"), kind="one", region=region)


def test_each_image_is_normalised_by_itself_and_each_channel_of_it() -> None:
    images = [ramp((2, 40, 40), "CYX"), Image(1000 + 5 * ramp((2, 40, 40), "CYX").data, "CYX")]
    own = Normalisation.of(images)
    fields = read_fields(images, own, "YX")
    assert [(field.image, field.apart) for field in fields] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for field in fields:
        assert np.percentile(field.pixels, [0.1, 99.9]) == pytest.approx([0.0, 1.0], abs=1e-3)
    shared = Normalisation.of(images, shared=True)
    assert shared.transforms[0] == shared.transforms[1]
    assert own.record()[0]["scale"] == pytest.approx(shared.transforms[0][0].scale)


def test_colours_become_channels_and_alpha_is_left_out() -> None:
    image = Image(np.random.default_rng(0).integers(0, 255, (40, 50, 4), dtype=np.uint8), "YXS")
    images = gather(image, kind="one")
    (field,) = read_fields(images.source, Normalisation.of(images.source), "YX")
    assert field.pixels.shape == (3, 40, 50)


def test_channels_can_be_seen_together() -> None:
    (field,) = fields_of(ramp((5, 3, 20, 24), "TCYX").select(T=0), joint="CS")
    assert field.pixels.shape == (3, 20, 24)


def test_the_order_of_axes_does_not_matter() -> None:
    image = ramp((6, 20, 24), "ZYX")
    swapped = Image(image.data.transpose(2, 1, 0), "XYZ")
    np.testing.assert_array_equal(fields_of(image, "ZYX")[0].pixels, fields_of(swapped, "ZYX")[0].pixels)


def test_pixels_that_are_not_finite_do_not_spread() -> None:
    pixels = ramp((20, 20), "YX").data.copy()
    pixels[3, 4], pixels[5, 6] = np.nan, np.inf
    (field,) = fields_of(Image(pixels, "YX"))
    assert np.isfinite(field.pixels).all()
    assert field.pixels[0, 3, 4] == pytest.approx(field.pixels[0, 5, 6])


def test_a_huge_lazy_image_is_read_in_windows_spread_over_it() -> None:
    source = da.random.default_rng(0).random((4, 2000, 3000), chunks=(1, 500, 500)).astype("f4")
    image = Image(source, "ZYX")
    fields = fields_of(image, most_pixels=2**20)
    assert sum(field.pixels.size for field in fields) <= 2**20
    assert {field.spatial for field in fields} == {(512, 512)}
    assert len({field.place for field in fields}) == len(fields) == 4


def places(fields: list[PatchRegion]) -> set[tuple[int, int, int, int]]:
    """Every pixel's image, row and column, and that of its frame."""
    return {
        (field.image, field.frame or 0, field.place[-2] + y, field.place[-1] + x)
        for field in fields
        for y in range(field.spatial[-2])
        for x in range(field.spatial[-1])
    }


@pytest.mark.parametrize(
    ("shape", "axes"), [((64, 40), "YX"), ((3, 64, 40), "ZYX"), ((5, 64, 40), "TYX"), ((2, 64, 40), "CYX")]
)
def test_a_band_is_held_out_of_all_planes_alike(shape: tuple[int, ...], axes: str) -> None:
    training, held_out = split_fields(fields_of(ramp(shape, axes)))
    rows = [{(f.place[-2], f.place[-2] + f.spatial[-2]) for f in part} for part in (training, held_out)]
    assert rows == [{(0, 48)}, {(48, 64)}]


def test_windows_of_a_huge_image_are_split_by_where_they_lie() -> None:
    image = Image(da.zeros((2, 1300, 1100), chunks=500, dtype="f4") + da.arange(1100), "ZYX")
    training, held_out = split_fields(fields_of(image, most_pixels=2**21))
    assert max(f.place[0] + f.spatial[0] for f in training) <= min(f.place[0] for f in held_out)


def test_a_movie_is_split_by_time() -> None:
    training, held_out = split_fields(fields_of(ramp((16, 20, 24), "TYX")))
    assert [field.frame for field in held_out] == [14, 15]
    assert not places(training) & places(held_out)


def test_many_images_are_split_among_each_other() -> None:
    images = [ramp((20, 24), "YX") for _ in range(10)]
    training, held_out = split_fields(read_fields(images, Normalisation.of(images), "YX"))
    assert {field.image for field in held_out} == {9}
    assert {field.image for field in training} == set(range(9))


def test_a_region_is_split_where_it_lies() -> None:
    region = np.zeros((400, 40), int)
    region[100:180] = 3
    images = gather(ramp((400, 40), "YX"), kind="one", region=region)
    training, held_out = split_fields(read_fields(images.source, Normalisation.of(images.source), "YX"))
    inside = [
        sum(int(field.inside.sum()) for field in part if field.inside is not None) for part in (training, held_out)
    ]
    assert inside[0] + inside[1] == 80 * 40
    assert 0.1 < inside[1] / (80 * 40) < 0.25
    assert not places(training) & places(held_out)


def test_too_little_to_hold_something_out_is_a_clear_error() -> None:
    with pytest.raises(TrainingDataError, match="at least 32 rows"):
        split_fields(fields_of(ramp((20, 400), "YX")))


@pytest.mark.parametrize("noisy_target", [False, True])
def test_the_target_is_brought_to_the_counts_of_the_source(noisy_target: bool) -> None:
    random = np.random.default_rng(0)
    clean = np.kron(random.random((24, 24)), np.ones((8, 8))) * 100
    source = Image(clean + random.normal(0, 20, clean.shape), "YX")
    noise = 200 if noisy_target else 0
    target = Image(50 + 10 * clean + random.normal(0, noise, clean.shape), "YX")
    scaling = Scaling.between([source], [target], noisy_target=noisy_target)
    assert scaling.gain == pytest.approx(0.1, rel=0.03)
    assert scaling.offset == pytest.approx(-5.0, abs=1.5)
    of_source = Normalisation.of([source]).transforms[0][0]
    assert scaling.applied(of_source).forward(target.data).mean() == pytest.approx(
        of_source.forward(source.data).mean(), abs=0.01
    )


def test_images_that_have_nothing_in_common_are_told_of() -> None:
    random = np.random.default_rng(0)
    one, other = (Image(random.random((200, 200)), "YX") for _ in range(2))
    assert Scaling.between([one], [other], noisy_target=True).is_doubtful
    assert Scaling.between([one], [Image(-one.data, "YX")], noisy_target=True).is_doubtful
    assert not Scaling.between([one], [one], noisy_target=True).is_doubtful


def test_a_bad_file_of_many_is_named_and_left_out_with_its_partner(tmp_path: Path) -> None:
    for folder in ("bad", "good"):
        (tmp_path / folder).mkdir()
        for name in "abcd":
            pixels = ramp((16, 16), "YX")
            write_image(tmp_path / folder / f"{name}.tif", replace(pixels, data=pixels.data * (1 + (folder == "good"))))
    (tmp_path / "bad" / "b.tif").write_bytes(b"II*\0 nothing")
    write_image(tmp_path / "good" / "c.tif", ramp((16, 18), "YX"), overwrite=True)
    nothing = Image(np.full((16, 16), np.nan, "f4"), "YX")
    write_image(tmp_path / "good" / "d.tif", nothing, overwrite=True)
    images = gather(tmp_path / "bad", tmp_path / "good", kind="paired")
    assert [(one.name, other.name) for one, other in zip(images.source, images.target, strict=True)] == [("a", "a")]
    (note,) = images.notes
    assert note.startswith("3 of 4 sources cannot be learnt from and are left out: b (")
    assert "16 x X 18" in note
    assert "no finite pixel" in note
    alone = gather(tmp_path / "bad", kind="one", region=[np.ones((16, 16), int)] * 4)
    assert [image.name for image in alone.source] == ["a", "c", "d"]
    assert "1 of 4 sources" in alone.notes[0]
    with pytest.raises(ImageFileError):
        gather(tmp_path / "bad" / "b.tif", kind="one")
    for name in "acd":
        (tmp_path / "bad" / f"{name}.tif").write_bytes(b"II*\0 nothing")
    with pytest.raises(TrainingDataError, match="None of the 4 images can be learnt from; the first"):
        gather(tmp_path / "bad", kind="one")


def test_targets_that_teach_nothing_are_refused() -> None:
    source = np.random.default_rng(0).integers(0, 200, (40, 40)).astype(np.uint8)
    for empty in (0, 117):
        with pytest.raises(TrainingDataError, match="same in all pixels"):
            gather([source, source], [np.full_like(source, empty)] * 2, kind="paired")
    with pytest.raises(TrainingDataError, match="equals its source"):
        gather([source], [source.copy()], kind="paired")
    # A blank field among others is one to learn from.
    assert len(gather([source, source], [source[::-1], np.zeros_like(source)], kind="paired").target) == 2
