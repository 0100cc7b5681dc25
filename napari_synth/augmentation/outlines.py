"""Shapes as their vertices, which a warp can move."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_ELLIPSE = 48
_OPEN = frozenset({"line", "path"})


def outline(vertices: Any, shape: str) -> npt.NDArray[np.float64]:
    """Return the vertices of a shape; an ellipse, which has a box, becomes a polygon: it need not be one after it was bent."""
    rows = np.asarray(vertices, dtype=np.float64)
    if shape != "ellipse":
        return rows
    centre, first, second = rows.mean(0), (rows[1] - rows[0]) / 2, (rows[3] - rows[0]) / 2
    angles = np.linspace(0.0, 2 * np.pi, _ELLIPSE, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angles) * first + np.sin(angles) * second)


def bent_type(shape: str) -> str:
    """Return what a shape of this type is after it was bent."""
    return "path" if shape in _OPEN else "polygon"
