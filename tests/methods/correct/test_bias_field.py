from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import napari_synth
from napari_synth import verbs
from napari_synth.core.errors import Cancelled, InvalidParameterError, MissingExtraError
from napari_synth.core.progress import CancelToken, Progress
from napari_synth.imaging.image import Image

pytest.importorskip("SimpleITK")
SHAPE = (12, 40, 44)


def body(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Two tissues in an ellipsoid, noise all over."""
    rng = np.random.default_rng(0)
    at = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    inside = sum(one**2 for one in at) < 0.9
    tissue = gaussian_filter(rng.normal(size=shape), 2.0) > 0
    return np.asarray(inside * (400 + 200 * tissue) + rng.normal(0, 8, shape)).clip(0)


def bias(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    *_, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    return np.asarray(np.exp(0.4 * x - 0.25 * y * y + 0.15 * x * y))


def left(result: np.ndarray, clean: np.ndarray) -> float:
    """The relative spread of what is left of the field in the body."""
    ratio = (np.asarray(result, "f8") / np.maximum(clean, 1))[clean > 200]
    return float(ratio.std() / ratio.mean())


@pytest.mark.parametrize("shape", [SHAPE, (72, 80)])
def test_the_field_goes_and_the_mean_of_the_signal_stays(shape: tuple[int, ...]) -> None:
    clean = body(shape)
    seen = (clean * bias(shape)).astype("f4")
    run = verbs.prepare("correct/bias-field", Image(seen, "ZYX"[-len(shape) :]))
    result = run.compute()
    assert left(seen, clean) > 0.15
    assert left(result, clean) < 0.04
    signal = clean > 200
    assert result[signal].mean() == pytest.approx(seen[signal].mean(), rel=0.01)
    assert "The field goes from 0." in run.notes[0]
    again = verbs.prepare(run.recipe, Image(seen, "ZYX"[-len(shape) :]), tile=24).compute()
    np.testing.assert_allclose(again, result, atol=1e-3 * seen.max())
    with pytest.raises(InvalidParameterError, match="and the image has"):
        napari_synth.run(run.recipe, seen[..., 1:], axes="ZYX"[-len(shape) :])


def test_pixels_without_a_value_are_not_taken_for_shade() -> None:
    clean = body((72, 80))
    seen = (clean * bias((72, 80))).astype("f4")
    seen[np.random.default_rng(0).random(seen.shape) < 0.15] = np.nan
    seen[30:40, 20:30][::2] = np.nan
    result = napari_synth.correct(seen, "bias-field")
    known = np.isfinite(seen)
    np.testing.assert_array_equal(np.isfinite(result), known)
    assert left(result[known], clean[known]) < 0.03


def test_channels_have_fields_of_their_own_and_frames_share_one() -> None:
    clean = body((48, 56))
    field = bias((48, 56))
    channels = np.stack([clean * field, clean * field[:, ::-1]]).astype("f4")
    run = verbs.prepare("correct/bias-field", Image(channels, "CYX"))
    first, second = run.recipe.params["fitted"]
    assert first["field"] != second["field"]
    assert all(left(one, clean) < 0.04 for one in run.compute())
    movie = np.stack([clean * field, 1.2 * clean * field]).astype("f4")
    found = napari_synth.correct(movie, "bias-field", axes="TYX")
    assert (found[1] / np.maximum(found[0], 1))[clean > 200].std() < 0.02


def test_what_holds_no_field_stays_and_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = np.zeros((32, 32), "f4")
    flat[8:12, 8:12] = 7.0
    run = verbs.prepare("correct/bias-field", Image(flat, "YX"))
    np.testing.assert_allclose(run.compute(), flat, atol=1e-5)
    assert "hardly any signal" in run.notes[-1]
    token = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.stage == "Finding the field" and progress.done:
            token.cancel()

    with pytest.raises(Cancelled):
        napari_synth.correct(body().astype("f4"), "bias-field", axes="ZYX", progress=stop, cancel=token)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(MissingExtraError, match=r"need the extra 'medical'"):
        napari_synth.correct(body((40, 40)).astype("f4"), "bias-field")
