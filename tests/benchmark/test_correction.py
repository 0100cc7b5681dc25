"""The benchmark of corrections says figures that mean what their rows say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark import correction
from benchmark.correction import bench_correct


@pytest.mark.slow
def test_corrections_are_better_than_none_and_than_simple_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correction, "_stripes", lambda *_: correction.Table("", ("",), ()))
    light, _, bleaching, channels, seconds = bench_correct(quick=True, device="cpu").tables
    for name, none, blur, quantile, ours, _ in light.rows:
        assert ours < min(none, blur, quantile), name
        assert ours < 1.0
    assert all(curve < 8 for _, curve, _ in bleaching.rows)
    assert all(after < 0.1 * before for _, before, after in channels.rows)
    assert seconds.rows[0][1] > 0


def test_stripes_of_parts_begin_and_end_in_the_plane() -> None:
    whole, parts = (correction._stripe_gains((60, 40), kind) for kind in (True, False))
    assert (whole == whole[:1]).all()
    assert ((parts == 0) | (parts == whole)).all()
    assert 0.2 < np.mean(parts != 0) < 0.6
