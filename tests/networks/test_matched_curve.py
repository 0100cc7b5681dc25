from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_synth.networks.curves import MatchedCurve

RANDOM = np.random.default_rng(0)


def test_intensities_go_where_those_of_the_same_rank_lie() -> None:
    own, target = RANDOM.random(5000), 0.2 + 0.5 * RANDOM.random(5000) ** 2
    mapped = MatchedCurve.between([own], [target])(torch.from_numpy(own)[None, None].float())
    assert np.abs(np.sort(mapped.numpy().ravel()) - np.sort(target)).mean() < 0.01


def test_it_rises_and_has_an_inverse_beyond_its_ends_too() -> None:
    curve = MatchedCurve.between([RANDOM.random(500), RANDOM.normal(size=500)], [RANDOM.normal(size=500)] * 2)
    x = torch.linspace(-2, 3, 101).expand(1, 2, -1).contiguous()
    y = curve(x)
    assert (y.diff(dim=-1) > 0).all()
    assert torch.allclose(curve.inverse(y), x, atol=1e-5)
    assert torch.equal(MatchedCurve(**curve.config)(x), y)


def test_nothing_is_lost_where_most_of_the_target_is_black() -> None:
    own = np.linspace(0, 1, 1000)
    target = np.maximum(own - 0.45, 0)
    curve = MatchedCurve.between([own], [target])
    y = curve(torch.tensor([[[0.1, 0.2, 0.3]]]))
    assert (y.diff(dim=-1) > 1e-3).all()


@pytest.mark.parametrize(("own", "target"), [(np.full(50, 0.3), RANDOM.random(50)), (RANDOM.random(50), np.ones(50))])
def test_flat_images_are_left_as_they_are(own: np.ndarray, target: np.ndarray) -> None:
    x = torch.rand(1, 1, 4)
    assert torch.allclose(MatchedCurve.between([own], [target])(x), x)


def test_a_curve_that_falls_is_refused() -> None:
    with pytest.raises(ValueError, match="rises"):
        MatchedCurve([[0.0, 1.0]], [[1.0, 0.0]])
