"""New labels are like those that were seen: how many objects, how large, of which shape, and how far apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import ks_2samp

from napari_synth.core.errors import TrainingDataError
from napari_synth.methods.synthesize.objects import HARMONICS, ObjectStatistics, gaps_of, outlined

Labels = npt.NDArray[np.int64]
EDGE = 80


def ellipses(size: int, seed: int, *, gap: float = 3.0, tilt: float | None = None) -> Labels:
    """Ellipses of 30 to 200 pixels, at least a gap apart, in any direction or in one."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    found, number = np.zeros((size, size), np.int64), 0
    for _ in range(size * size // 60):
        middle, radius, ratio = rng.uniform(0, size, 2), rng.uniform(4.5, 9), rng.uniform(0.5, 0.8)
        angle = rng.uniform(0, np.pi) if tilt is None else tilt
        along = (x - middle[1]) * np.cos(angle) + (y - middle[0]) * np.sin(angle)
        across = (y - middle[0]) * np.cos(angle) - (x - middle[1]) * np.sin(angle)
        away = np.hypot(along, across / ratio) - radius
        if not found[away < gap].any():
            number += 1
            found[away < 0] = number
    return found


@cache
def seen() -> tuple[Labels, ...]:
    return tuple(ellipses(160, seed) for seed in range(3))


@cache
def drawn() -> tuple[Labels, ...]:
    statistics = ObjectStatistics.of(seen())
    return tuple(statistics.draw((EDGE, EDGE), np.random.default_rng(seed)) for seed in range(14))


def crops(planes: Sequence[Labels]) -> list[Labels]:
    """What a window of the size of those that are drawn shows of others."""
    return [plane[y : y + EDGE, x : x + EDGE] for plane in planes for y in (0, EDGE) for x in (0, EDGE)]


def figures(planes: Sequence[Labels]) -> dict[str, npt.NDArray[np.float64]]:
    """Areas, elongations and gaps of whole objects."""
    objects = [outlined(plane) for plane in planes]
    whole = [one for some in objects for one in some if one.weight > 0]
    first, back = (np.abs([one.coefficients[at] for one in whole]) for at in (HARMONICS, HARMONICS - 1))
    gaps = np.concatenate([gaps_of(some) for some in objects])
    return {"area": np.array([one.area for one in whole]), "elongation": back / first} | {
        f"gap {nth}": gaps[np.isfinite(gaps[:, nth]), nth] for nth in range(2)
    }


@pytest.mark.parametrize("name", ["area", "elongation", "gap 0", "gap 1"])
def test_objects_are_distributed_like_those_that_were_seen(name: str) -> None:
    real, made = figures(crops(seen()))[name], figures(drawn())[name]
    # Of as many that were seen, 0.2 is exceeded by two samples of the same distribution in one of some hundred trials.
    assert ks_2samp(real, made).statistic < 0.22
    assert np.median(made) == pytest.approx(np.median(real), rel=0.2)


def test_there_are_as_many_and_they_do_not_overlap() -> None:
    real, made = ([len(np.unique(plane)) - 1 for plane in planes] for planes in (crops(seen()), drawn()))
    assert np.mean(made) == pytest.approx(np.mean(real), rel=0.2)
    # What overlaps would be cut, and be smaller than any that was seen.
    whole = [one.area for plane in drawn() for one in outlined(plane) if one.weight > 0]
    assert np.mean(np.array(whole) < 25) < 0.03


def test_shapes_are_new() -> None:
    known = np.concatenate([np.stack([one.coefficients for one in outlined(plane) if one.weight]) for plane in seen()])
    made = [one.coefficients for plane in drawn()[:4] for one in outlined(plane) if one.weight > 0]
    nearest = [np.linalg.norm(known - one, axis=1).min() for one in made]
    among = [np.sort(np.linalg.norm(known - one, axis=1))[1] for one in known]
    assert np.median(nearest) > 0.4 * np.median(among)


def test_the_same_seed_draws_the_same_labels_from_a_card_as_well() -> None:
    statistics = ObjectStatistics.of(seen())
    kept = ObjectStatistics.from_record(json.loads(json.dumps(statistics.record())))
    one, again, other = (kept.draw((48, 64), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (48, 64)
    assert set(np.unique(one)) == set(range(one.max() + 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_objects_lie_as_those_that_were_seen_where_they_are_not_turned() -> None:
    planes = [ellipses(128, seed, tilt=0.4) for seed in (1, 2)]
    made = ObjectStatistics.of(planes, turns=False).draw((96, 96), np.random.default_rng(0))
    angles = np.array([one.angle for one in outlined(made) if one.weight > 0])
    assert np.abs(np.angle(np.exp(2j * (angles - 0.4)))).mean() < 0.4


def test_an_outline_says_area_angle_and_elongation() -> None:
    y, x = np.mgrid[:60, :80]
    plane = (np.hypot((x - 40) / 20, (y - 30) / 10) < 1).astype(np.int64)
    plane[28:32, 38:42] = 0
    (one,) = outlined(plane)
    assert one.area == plane.sum()
    assert one.weight > 1
    first, back = (abs(one.coefficients[at]) for at in (HARMONICS, HARMONICS - 1))
    # Exactly a third where points run with the angle; they run evenly along the outline.
    assert 0.2 < back / first < 0.4
    (disc,) = outlined((np.hypot(x - 40, y - 30) < 12).astype(np.int64))
    assert abs(disc.coefficients[HARMONICS - 1] / disc.coefficients[HARMONICS]) < 0.02
    assert abs(np.sin(one.angle)) < 0.02
    assert gaps_of([one]).tolist() == [[np.inf] * 3]
    apart = np.zeros((40, 60), np.int64)
    apart[10:20, 5:15], apart[10:20, 25:35] = 1, 2
    assert gaps_of(outlined(apart))[0, 0] == pytest.approx(11, abs=1)


def test_too_few_objects_are_refused_and_foreign_records_too() -> None:
    plane = np.zeros((64, 64), np.int64)
    plane[10:20, 10:20] = 1
    with pytest.raises(TrainingDataError, match="Only 1 objects lie wholly inside"):
        ObjectStatistics.of([plane])
    record: dict[str, Any] = ObjectStatistics.of(seen()).record()
    for broken in ({"areas": [1.0]}, {"densities": {}}, {"gaps": [[0.0]]}, {"outlines": []}):
        with pytest.raises(ValueError, match=r"No objects|inhomogeneous"):
            ObjectStatistics.from_record(record | broken)
