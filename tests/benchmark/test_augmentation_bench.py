from __future__ import annotations

import numpy as np
import pytest

from benchmark import augmentation, augmenters, main
from benchmark.augmentation import agreement, bench_augment
from benchmark.augmenters import Augmenter, Load, Moved, typical
from napari_synth.augmentation import Flip, Rotate
from napari_synth.core.errors import InvalidParameterError


def doing_nothing(load: Load, **_: object) -> list[Augmenter]:
    return [Augmenter("nothing", lambda given: Moved(given.images[0], given.points[0] if given.points else None), True)]


def test_the_report_has_agreement_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "PLANES", {"flip": (Flip(),), "rotate": (Rotate(),)})
    monkeypatch.setattr(augmentation, "VOLUMES", {"flip": (Flip(depth=True),)})
    monkeypatch.setattr(augmentation, "augmenters", doing_nothing)
    report = bench_augment(quick=True)
    first, *speeds, last = report.tables
    assert [row[0] for row in first.rows] == ["2D flip", "2D rotate", "3D flip"]
    assert all(row[4] == "yes" for row in first.rows)
    assert len(speeds) == 4
    assert all(row[1] > 0 and row[2] > 0 for table in speeds for row in table.rows)
    assert last.rows[0][1] < 0.05
    assert "keep exactly their ids" in " ".join(report.remarks)


def test_points_that_stay_behind_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = [Augmenter("shifted", lambda given: Moved(np.roll(given.images[0], 2, 0), given.points[0]))]
    monkeypatch.setattr(augmentation, "augmenters", lambda load, **_: shifted)
    assert augmentation._peers_agreement(1).rows[0][1] == pytest.approx(2.0, abs=0.1)


def test_the_agreement_of_a_rotation() -> None:
    worst, count, kept = agreement((140, 150), (Rotate(),), 0)
    assert worst < 0.5
    assert count > 20
    assert kept


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("sizes", [(32, 40), (8, 20, 24)])
def test_our_own_row_moves_all_there_is(batch: int, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 1, (batch, *sizes)).astype(np.float32)
    load = Load(
        images, rng.integers(0, 5, images.shape, dtype=np.int32), [np.array([[4.0, 9.0, 9.0][-len(sizes) :]])] * batch
    )
    moved = augmenters.ours(deep=len(sizes) == 3).run(load)
    assert moved.image.shape == sizes
    assert not np.array_equal(moved.image, images[0])
    assert moved.points is not None


def test_the_pipeline_of_volumes_turns_out_of_the_plane() -> None:
    assert typical(deep=True).moved_axes("ZYX") == "ZYX"
    assert typical().moved_axes("ZYX") == "YX"


def test_turns_are_at_least_one() -> None:
    with pytest.raises(InvalidParameterError, match="at least 1"):
        main(["augment", "--rounds", "0"])
