"""Names of physical units: one spelling inside, the many of the file formats outside."""

from __future__ import annotations

_SYMBOLS = {
    "kilometer": "km",
    "meter": "m",
    "centimeter": "cm",
    "millimeter": "mm",
    "micrometer": "µm",
    "nanometer": "nm",
    "picometer": "pm",
    "angstrom": "Å",
    "inch": "in",
    "foot": "ft",
    "day": "d",
    "hour": "h",
    "minute": "min",
    "second": "s",
    "millisecond": "ms",
    "microsecond": "µs",
    "nanosecond": "ns",
}
_SPELLINGS = {
    "um": "micrometer",
    "μm": "micrometer",
    "\\u00b5m": "micrometer",
    "micron": "micrometer",
    "us": "microsecond",
    "μs": "microsecond",
    "å": "angstrom",
    "sec": "second",
    "msec": "millisecond",
    "hr": "hour",
}
_NAMES = {symbol: name for name, symbol in _SYMBOLS.items()} | _SPELLINGS


def unit_name(text: str | None) -> str | None:
    """Return the name of a unit, e.g. ``"micrometer"`` for ``"µm"``, ``"um"`` or ``"microns"``.

    Returns
    -------
    str or None
        The text itself where it is no known spelling; None where there is no unit, or only pixels.
    """
    if text is None:
        return None
    plain = text.strip()
    if plain.lower() in {"", "pixel", "pixels", "none", "null", "reference frame"}:
        return None
    if plain in _NAMES:
        return _NAMES[plain]
    lower = plain.lower()
    for spelling in (lower, lower.removesuffix("s"), lower.replace("metre", "meter").removesuffix("s")):
        if spelling in _SYMBOLS:
            return spelling
        if spelling in _SPELLINGS:
            return _SPELLINGS[spelling]
    return plain


def unit_symbol(name: str | None) -> str | None:
    """Return the symbol that OME files use for a unit's name, or None where they have none."""
    return _SYMBOLS.get(unit_name(name) or "")
