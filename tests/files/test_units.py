"""Units have one name, however a file spells them."""

from __future__ import annotations

import pytest

from napari_synth.files.units import unit_name, unit_symbol


@pytest.mark.parametrize(
    "spelling", ["um", "µm", "\u03bcm", "micron", "microns", "Micrometer", "micrometre", "\\u00B5m"]
)
def test_micrometers_are_recognised(spelling: str) -> None:
    assert unit_name(spelling) == "micrometer"


@pytest.mark.parametrize(
    ("spelling", "name"), [("sec", "second"), ("s", "second"), ("ms", "millisecond"), ("Å", "angstrom"), ("m", "meter")]
)
def test_other_units_are_recognised(spelling: str, name: str) -> None:
    assert unit_name(spelling) == name


@pytest.mark.parametrize("spelling", [None, "", "pixel", "pixels"])
def test_pixels_are_no_unit(spelling: str | None) -> None:
    assert unit_name(spelling) is None


def test_unknown_units_stay_as_they_are() -> None:
    assert unit_name("furlong") == "furlong"
    assert unit_symbol("furlong") is None
