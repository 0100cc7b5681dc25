from __future__ import annotations

import pytest

from benchmark import starting
from benchmark.starting import bench_start
from napari_synth.core.errors import GeneratorError


def test_starts_are_measured_with_what_they_load(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ("an empty interpreter", "napari-synth list")
    starts = {name: starting.STARTS[name] for name in wanted} | {"scipy": "import scipy"}
    monkeypatch.setattr(starting, "STARTS", starts)
    rows = {row[0]: row[1:] for row in bench_start(1).tables[0].rows}
    assert rows["an empty interpreter"][1] == rows["napari-synth list"][1] == "none"
    assert rows["scipy"][1] == "scipy"
    listing, empty = (rows[name][0] for name in reversed(wanted))
    assert isinstance(listing, float)
    assert isinstance(empty, float)
    assert listing > empty > 0


def test_failed_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "STARTS", {"import nothing": "import nothing_of_the_kind"})
    with pytest.raises(GeneratorError, match="nothing_of_the_kind"):
        bench_start(1)
