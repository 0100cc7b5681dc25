"""Numbers in sentences: three digits, no powers of ten where none are needed, and the unit of the image."""

from __future__ import annotations

import numpy as np
import pytest

from napari_synth.core.texts import three_digits, unit_of


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2440.4, "2440"),
        (65535, "65535"),
        (12.345, "12.3"),
        (102.2, "102"),
        (0.0041234, "0.00412"),
        (1.0, "1"),
        (0.5, "0.5"),
        (999.96, "1000"),
        (0, "0"),
        (-2.377, "-2.38"),
        (3.21e7, "3.21·10⁷"),
        (1.5e-5, "1.50·10⁻⁵"),
        (float("inf"), "inf"),
    ],
)
def test_three_digits_as_a_reader_wants_them(value: float, said: str) -> None:
    assert three_digits(value) == said


def test_only_whole_numbers_are_counts() -> None:
    assert [unit_of(dtype) for dtype in (np.uint16, "int32", np.float32)] == ["counts", "counts", "grey values"]
