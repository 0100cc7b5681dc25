"""The order that people give to numbered names: 2 before 10."""

from __future__ import annotations

import re
from pathlib import Path

_DIGITS = re.compile(r"(\d+)")


def natural_key(name: str | Path) -> tuple[list[tuple[int, int, str]], str]:
    """Return what sorts a name or a path naturally: its numbers as numbers, the rest without regard to case.

    Names that differ by leading zeros or by case alone keep a fixed order among themselves.
    """
    text = name.as_posix() if isinstance(name, Path) else name
    parts = _DIGITS.split(text)
    key = [(1, int(part), "") if index % 2 else (0, 0, part.casefold()) for index, part in enumerate(parts)]
    return key, text
