from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.restoration import inpaint_biharmonic

import napari_synth
from napari_synth.core import errors
from napari_synth.core.progress import CancelToken, cancellable
from napari_synth.engine.image_run import PreparedImage
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import as_mask
from napari_synth.methods.inpaint import biharmonic as _biharmonic
from napari_synth.methods.inpaint.biharmonic import fill_smoothly
from napari_synth.methods.inpaint.filling import Holes
from napari_synth.methods.inpaint.neighbours import alikeness, between
from napari_synth.methods.inpaint.patches import Search, complete, copied
from napari_synth.networks.gated_inpainter import smooth_fill
from napari_synth.verbs import prepare

ALL = ("auto", "biharmonic", "patches", "network", "adapted")
BRIEF = {"adapted": {"steps": 2, "patch": 32, "batch": 1}}
every_method = pytest.mark.parametrize("method", ALL)


def crop(size: int = 96) -> np.ndarray:
    return data.camera()[100 : 100 + size, 100 : 100 + size]


def disc(shape: tuple[int, int], centre: tuple[int, int], radius: float) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2)


def prepared(
    method: str, pixels: np.ndarray, mask: np.ndarray, axes: str | None = None, **options: Any
) -> PreparedImage:
    image = Image.from_array(pixels, axes)
    seed = options.pop("seed", 0)
    settings = BRIEF.get(method, {}) | options
    return prepare(f"inpaint/{method}", replace(image, mask=as_mask(mask, image)), settings, device="cpu", seed=seed)


def filled(method: str, pixels: np.ndarray, mask: np.ndarray, axes: str | None = None, **options: Any) -> np.ndarray:
    result: np.ndarray = prepared(method, pixels, mask, axes, **options).compute()
    return result


def stripes(shape: tuple[int, int] = (96, 96), period: int = 8) -> np.ndarray:
    """A texture that only a copy can continue."""
    y, x = np.indices(shape)
    return (100 + 60 * ((x + y // 2) % period < period // 2)).astype("f4")


class TestBiharmonic:
    @pytest.mark.parametrize("solver", ["direct", "iterated"])
    @pytest.mark.parametrize("where", ["inside", "at the border"])
    def test_it_is_what_scikit_image_finds(self, solver: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if solver == "iterated":
            monkeypatch.setattr(_biharmonic, "_MOST_DIRECT", {2: 0, 3: 0})
        image = crop(64) / 255.0
        mask = disc((64, 64), (30, 30), 5) if where == "inside" else disc((64, 64), (1, 60), 6)
        mask[45:48, 5:60] = True
        expected = inpaint_biharmonic(image, mask)
        pixels, holes = torch.from_numpy(image)[None].float(), torch.from_numpy(mask)
        found = fill_smoothly(pixels, holes)[0].numpy().clip(image[~mask].min(), image[~mask].max())
        np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_it_is_what_scikit_image_finds_in_volumes(self) -> None:
        volume = gaussian_filter(np.random.default_rng(0).random((10, 12, 14)), 1.5)
        mask = np.zeros(volume.shape, bool)
        mask[4:7, 5:8, 5:9] = True
        found = fill_smoothly(torch.from_numpy(volume)[None], torch.from_numpy(mask))[0].numpy()
        np.testing.assert_allclose(found, inpaint_biharmonic(volume, mask), atol=1e-6)

    def test_planes_that_have_nothing_in_common_are_filled_apart(self) -> None:
        volume = torch.rand(1, 4, 20, 20, generator=torch.Generator().manual_seed(0))
        holes = torch.zeros(4, 20, 20, dtype=torch.bool)
        holes[1:3, 8:11, 8:11] = True
        together = fill_smoothly(volume, holes, (0.0, 1.0, 1.0))
        for plane in range(4):
            torch.testing.assert_close(together[:, plane], fill_smoothly(volume[:, plane], holes[plane]))

    def test_many_dead_pixels_of_a_large_plane(self) -> None:
        random = np.random.default_rng(0)
        smooth = gaussian_filter(random.random((512, 512)).astype("f4"), 6) * 1e4
        mask = random.random(smooth.shape) < 0.01
        found = filled("auto", np.where(mask, 6e4, smooth).astype("f4"), mask)
        assert np.abs(found - smooth)[mask].max() < 0.02 * np.ptp(smooth)

    def test_a_cancel_stops_the_solver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_biharmonic, "_MOST_DIRECT", {2: 0, 3: 0})
        run = prepared("biharmonic", crop(), disc((96, 96), (48, 48), 20))
        token = CancelToken()
        token.cancel()
        block = torch.zeros(1, 2, 96, 96)
        block[0, 1, 30:60, 30:60] = 1.0
        with cancellable(token), pytest.raises(errors.Cancelled):
            run.channels[0].prepared.apply(block)


class TestPatches:
    def test_a_texture_is_continued(self) -> None:
        image = stripes()
        mask = disc(image.shape, (48, 48), 13)
        found = filled("patches", np.where(mask, 0, image), mask)
        smooth = filled("biharmonic", np.where(mask, 0, image), mask)
        assert np.abs(found - image)[mask].mean() < 3.0
        assert np.abs(smooth - image)[mask].mean() > 20.0

    def test_colours_stay_together(self) -> None:
        coloured = np.stack([stripes(), 260 - stripes(), stripes() * 0.5], -1).astype("u1")
        mask = disc((96, 96), (40, 50), 11)
        found = filled("patches", np.where(mask[..., None], 0, coloured), mask, "YXS").astype(float)
        assert np.abs(found[..., 0] + found[..., 1] - 260)[mask].max() <= 3.0
        assert np.abs(found - coloured)[mask].mean() < 3.0

    def test_a_texture_in_a_volume_is_continued(self) -> None:
        z, y, x = np.indices((14, 36, 36))
        volume = (100 + 60 * ((x + z) % 8 < 4)).astype("f4")
        mask = ((z - 7) ** 2 + (y - 18) ** 2 + (x - 18) ** 2) < 6**2
        found = filled("patches", np.where(mask, 0, volume), mask, "ZYX")
        assert np.abs(found - volume)[mask].mean() < 6.0

    def test_texture_is_taken_from_other_planes_where_its_own_has_none(self) -> None:
        stack = np.stack([stripes((48, 48))] * 3)
        mask = np.zeros(stack.shape, bool)
        mask[1, 4:44, 4:44] = True
        found = filled("patches", np.where(mask, 0, stack), mask, "ZYX")
        assert np.abs(found - stack)[mask].mean() < 3.0

    def test_search_by_patchmatch_finds_what_comparing_all_finds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        image, mask = stripes(), disc((96, 96), (48, 48), 10)
        monkeypatch.setattr("napari_synth.methods.inpaint.patches._MOST_EXACT", 1e8)
        found = filled("patches", np.where(mask, 0, image), mask)
        assert np.abs(found - image)[mask].mean() < 6.0

    def test_holes_at_the_border_and_in_corners(self) -> None:
        image = stripes()
        mask = disc(image.shape, (0, 0), 16) | disc(image.shape, (50, 95), 12)
        found = filled("patches", np.where(mask, 0, image), mask)
        assert np.abs(found - image)[mask].mean() < 12.0

    def test_nothing_intact_is_none(self) -> None:
        holes = torch.zeros(1, 20, 20, dtype=torch.bool)
        holes[:, ::4, ::4] = True
        pixels = torch.rand(1, 1, 20, 20)
        assert complete(pixels, holes, ~holes, Search(), torch.Generator().manual_seed(0)) is None

    def test_seeds_differ_and_repeat(self) -> None:
        image = np.random.default_rng(0).integers(0, 255, (80, 80)).astype("u1")
        mask = disc(image.shape, (40, 40), 12)
        first, again = (filled("patches", image, mask, seed=4) for _ in range(2))
        np.testing.assert_array_equal(first, again)


class TestAuto:
    def test_each_hole_gets_what_suits_it(self) -> None:
        image = np.stack([crop(128)] * 3)
        mask = np.zeros(image.shape, bool)
        mask[0, 20:23] = True
        mask[0] |= disc((128, 128), (80, 60), 12)
        mask[2] = True
        notes = " ".join(prepared("auto", image, mask, "ZYX").notes)
        assert "1 thin hole is filled smoothly" in notes
        assert "1 thick hole is filled" in notes
        assert "1 missing plane is interpolated" in notes

    def test_thin_holes_are_those_of_biharmonic_and_thick_ones_have_texture(self) -> None:
        image, scratch = crop(), np.zeros((96, 96), bool)
        scratch[40:43, 10:90] = True
        np.testing.assert_array_equal(filled("auto", image, scratch), filled("biharmonic", image, scratch))
        texture, mask = stripes(), disc((96, 96), (48, 48), 12)
        assert np.abs(filled("auto", texture, mask) - texture)[mask].mean() < 10.0

    def test_neighbouring_planes_tell_what_is_missing(self) -> None:
        base = crop().astype("f4")
        stack = np.stack([base + 4 * plane for plane in range(5)])
        mask = np.zeros(stack.shape, bool)
        mask[2] = disc((96, 96), (40, 40), 14)
        bad = np.where(mask, 0, stack)
        assert np.abs(filled("auto", bad, mask, "ZYX") - stack)[mask].max() < 1.0
        assert np.abs(filled("auto", bad, mask, "ZYX", neighbours=False) - stack)[mask].mean() > 3.0

    def test_neighbours_with_nothing_in_common_are_not_asked(self) -> None:
        stack = np.stack([stripes(), np.random.default_rng(0).uniform(0, 255, (96, 96)).astype("f4"), stripes().T])
        mask = np.zeros(stack.shape, bool)
        mask[0] = disc((96, 96), (48, 48), 12)
        found = filled("auto", np.where(mask, 0, stack), mask, "ZYX")
        assert np.abs(found - stack)[mask].mean() < 10.0

    def test_missing_frames_lie_between_their_neighbours(self) -> None:
        movie = np.stack([np.full((16, 16), 10.0 * t, "f4") for t in range(6)])
        mask = np.zeros(movie.shape, bool)
        mask[[0, 2, 3]] = True
        for method in ALL:
            found = filled(method, np.where(mask, 99, movie), mask, "TYX")
            np.testing.assert_allclose(found[:, 0, 0], [10, 10, 20, 30, 40, 50], atol=1e-3)

    def test_a_missing_volume_of_a_movie_is_taken_from_other_times(self) -> None:
        movie = np.stack([np.full((3, 16, 16), 10.0 * t, "f4") for t in range(4)])
        mask = np.zeros(movie.shape, bool)
        mask[1] = True
        np.testing.assert_allclose(filled("auto", movie, mask, "TZYX")[1], 10.0, atol=1e-3)

    def test_crops_keep_a_large_plane_quick(self) -> None:
        image = np.tile(crop(128), (8, 8))
        mask = disc(image.shape, (500, 450), 8)
        seen = []
        real = copied

        def watched(pixels: torch.Tensor, *rest: Any) -> Any:
            seen.append(pixels.shape)
            return real(pixels, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("napari_synth.methods.inpaint.filling.copied", watched)
            filled("auto", image, mask)
        # The hole, and the one that is tried beside it.
        assert len(seen) == 2
        assert max(max(shape) for shape in seen) < 200


@every_method
def test_a_whole_plane_without_neighbours_is_refused(method: str) -> None:
    stack = np.stack([crop(32)] * 3)
    mask = np.zeros(stack.shape, bool)
    mask[1] = True
    with pytest.raises(errors.MaskError, match=r"covers a whole plane.*let neighbouring planes"):
        filled(method, stack, mask, "ZYX", neighbours=False)


@every_method
def test_a_whole_plane_that_nothing_lies_beside_is_refused(method: str) -> None:
    channels = np.stack([crop(32)] * 2)[:, None]
    mask = np.ones(channels.shape, bool)
    mask[0] = False
    with pytest.raises(errors.MaskError, match="no pixel to learn from"):
        filled(method, channels, mask, "CZYX")


@every_method
@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (3, 3), (1, 40), (7, 9)])
def test_tiny_images(method: str, shape: tuple[int, int]) -> None:
    image = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    mask = np.ones(shape, bool)
    mask[0, 0] = False
    found = filled(method, image, mask)
    assert np.isfinite(found).all()
    assert (found == 0.0).all()


@every_method
def test_constant_images_stay_as_they_are(method: str) -> None:
    image = np.full((64, 64), 7, "u2")
    np.testing.assert_array_equal(filled(method, image, disc((64, 64), (30, 30), 12)), image)


@every_method
def test_what_is_filled_stays_in_the_range_of_the_image(method: str) -> None:
    image = np.linspace(0, 1, 64, dtype="f4")[None].repeat(64, 0)
    mask = np.zeros(image.shape, bool)
    mask[:, 50:] = True
    found = filled(method, image, mask)
    assert found.max() <= image[~mask].max() + 1e-6


class TestNetwork:
    def test_an_edge_is_continued(self) -> None:
        y, x = np.indices((96, 96))
        image = gaussian_filter(np.where(x + 0.5 * y < 70, 40.0, 180.0), 0.7).astype("f4")
        mask = disc(image.shape, (48, 46), 12)
        found = filled("network", np.where(mask, 0, image), mask)
        pixels, holes = (torch.from_numpy(part.astype("f4"))[None, None] for part in (image, mask))
        start = smooth_fill(pixels, holes)[0, 0].numpy()
        error, before = (np.abs(result - image)[mask].mean() for result in (found, start))
        assert error < 0.9 * before

    def test_counts_and_their_offset_do_not_matter(self) -> None:
        image = crop().astype("f4")
        mask = disc(image.shape, (40, 50), 9)
        found = filled("network", np.where(mask, 0, image), mask)
        moved = filled("network", np.where(mask, 0, 200 * image + 9000), mask)
        np.testing.assert_allclose((moved - 9000) / 200, found, atol=0.2)

    def test_each_plane_of_a_stack_is_filled_alone_where_planes_are_unlike(self) -> None:
        stack = np.stack([crop(64), crop(64)[::-1], crop(64).T])
        mask = np.zeros(stack.shape, bool)
        mask[:, 20:40, 20:40] = True
        found = filled("network", np.where(mask, 0, stack), mask, "ZYX", neighbours=False)
        for plane, hole, result in zip(stack, mask, found, strict=True):
            alone = filled("network", np.where(hole, 0, plane), hole)
            assert np.abs(alone.astype(float) - result)[hole].mean() < 3.0


class TestAdapted:
    def test_what_is_learnt_of_a_texture_is_kept(self) -> None:
        image = stripes()
        mask = disc(image.shape, (48, 48), 7)
        run = prepared("adapted", np.where(mask, 0, image), mask, steps=60, patch=48, batch=2)
        assert "so it is used" in " ".join(run.notes)
        plain = filled("network", np.where(mask, 0, image), mask)
        error, before = (np.abs(found - image)[mask].mean() for found in (run.compute(), plain))
        assert error < 0.9 * before

    def test_what_does_not_help_is_dropped(self) -> None:
        image = np.random.default_rng(0).uniform(0, 255, (96, 96)).astype("f4")
        mask = disc(image.shape, (48, 48), 7)
        run = prepared("adapted", image, mask)
        assert "the bundled network is used" in " ".join(run.notes)
        np.testing.assert_array_equal(run.compute(), filled("network", image, mask))

    def test_what_lies_in_the_holes_is_not_learnt(self) -> None:
        image, mask = crop(), disc((96, 96), (48, 48), 7)
        first, second = (filled("adapted", np.where(mask, value, image), mask) for value in (0, 255))
        np.testing.assert_array_equal(first, second)

    def test_too_small_images(self) -> None:
        mask = disc((20, 20), (10, 10), 5)
        assert "too small" in " ".join(prepared("adapted", crop(20), mask).notes)


class TestMissingPlanes:
    @staticmethod
    def movie(step: int) -> np.ndarray:
        """A view that moves over a picture."""
        picture = gaussian_filter(data.camera().astype("f4"), 1.0)
        return np.stack([picture[100:164, 60 + step * t : 132 + step * t] for t in range(7)])

    def test_what_moves_is_moved(self) -> None:
        movie = self.movie(3)
        mask = np.zeros(movie.shape, bool)
        mask[3] = True
        found = filled("auto", np.where(mask, 0, movie), mask, "TYX")
        faded = (movie[2] + movie[4]) / 2
        inner = (slice(8, -8), slice(8, -8))
        error = np.abs(found[3] - movie[3])[inner].mean()
        assert error < 0.5 * np.abs(faded - movie[3])[inner].mean()

    def test_noise_is_not_moved(self) -> None:
        movie = np.random.default_rng(0).uniform(0, 255, (7, 48, 48)).astype("f4")
        mask = np.zeros(movie.shape, bool)
        mask[3] = True
        found = filled("auto", np.where(mask, 0, movie), mask, "TYX")
        np.testing.assert_allclose(found[3], (movie[2] + movie[4]) / 2, atol=1e-3)

    def test_longer_gaps_and_the_ends(self) -> None:
        movie = self.movie(2)
        mask = np.zeros(movie.shape, bool)
        mask[[2, 3, 6]] = True
        found = filled("auto", np.where(mask, 0, movie), mask, "TYX")
        np.testing.assert_array_equal(found[~mask.any((1, 2))], movie[~mask.any((1, 2))])
        np.testing.assert_allclose(found[6], movie[5], atol=1e-3)


def test_kinds_of_holes() -> None:
    mask = np.zeros((3, 60, 60), bool)
    mask[0, 10:12] = True
    mask[0, 30:50, 30:50] = True
    mask[0, 30:50, 53:58] = True
    mask[1] = True
    found = Holes.of(mask, 2.0, 7)
    assert found.missing.tolist() == [False, True, False]
    assert (found.thin, found.thick) == (1, 2)
    assert found.boxes == ((slice(0, 1), slice(30, 50), slice(30, 58)),)
    assert found.is_thick.sum() == 400 + 100


def test_alike_planes_count_and_others_do_not() -> None:
    generator = torch.Generator().manual_seed(0)
    plane = torch.rand(1, 1, 32, 32, generator=generator)
    known = torch.ones(4, 32, 32, dtype=torch.bool)
    assert alikeness(plane.expand(-1, 4, -1, -1), known) == 1.0
    smooth = torch.linspace(0, 0.3, 32).expand(1, 4, 32, 32) + torch.tensor([0.0, 5.0, 1.0, 9.0])[:, None, None]
    assert alikeness(smooth, known) == 0.0


def test_planes_between_others() -> None:
    planes = torch.tensor([0.0, 9.0, 9.0, 3.0]).reshape(1, 4, 1, 1)
    assert between(planes, torch.tensor([False, True, True, False])).flatten().tolist() == [0.0, 1.0, 2.0, 3.0]


def test_sharp_details_beside_a_hole_are_no_outliers() -> None:
    truth = data.astronaut()[20:150, 160:290]
    y, x = np.mgrid[:130, :130]
    holes = (abs(np.sin(0.3) * x + np.cos(0.3) * y - 70) < 1.5) | (abs(np.cos(0.5) * x - np.sin(0.5) * y - 30) < 1.5)
    damaged = np.where(holes[..., None], 0, truth).astype(np.float32)
    found = napari_synth.inpaint(damaged, holes, "biharmonic", axes="YXS")
    wanted = 255 * inpaint_biharmonic(damaged / 255, holes, channel_axis=2)
    assert float(abs(np.asarray(found) - wanted)[holes].max()) < 2
    # A hot pixel beside a hole is one, and fills nothing.
    damaged[66:68, 50] = 60_000
    beside = napari_synth.inpaint(damaged, holes, "biharmonic", axes="YXS")
    assert float(abs(np.asarray(beside) - wanted)[holes].max()) < 60
