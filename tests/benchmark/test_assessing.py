"""The benchmark of what is judged without truth says figures that mean what their rows say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark import assessing
from benchmark.assessing import auc, bench_assess


def test_auc_is_one_where_all_are_above_and_half_where_they_are_alike() -> None:
    assert auc([3, 4], [1, 2]) == 1
    assert auc([1, 2], [3, 4]) == 0
    assert auc([1, 2], [1, 2]) == 0.5
    assert auc([3, float("nan")], [1, 2]) == 1


def test_a_few_crops_are_judged_right(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    from scipy.ndimage import gaussian_filter

    crops = [255 * (gaussian_filter(rng.random((128, 128)), 1.5) > 0.5).astype(float) for _ in range(6)]
    monkeypatch.setattr(assessing, "_crops", lambda quick: crops)
    rows = dict(bench_assess(quick=True, say=lambda _: None).tables[0].rows)
    assert rows["crops, each sharp and blurred"] == 6
    assert rows["AUC of sharp against blurred at unknown noise"] >= 0.9
    assert rows["recall of near duplicates, moved by a pixel and of other noise"] == 1
    assert rows["precision of near duplicates"] == 1
