"""The table of a folder's images: a row each with what was measured of it, alone and beside the others."""

from __future__ import annotations

from napari_synth.imaging.assess import MEASURES

COLUMNS = (
    "source",
    "bytes",
    "time",
    "hash",
    "error",
    "shape",
    "dtype",
    "axes",
    "spacing",
    *MEASURES,
    "drift_y",
    "drift_x",
    "duplicate",
    "duplicate_of",
    "similarity",
    "outlier",
    "outlier_in",
    "deviates",
)
"""Columns of a table, in their order.

``source`` is relative to the folder of the table; ``bytes``, ``time`` and ``hash`` as in a batch's manifest; ``error`` says why an
image cannot be read, and then all measures are empty; ``shape`` is written ``512x512``; the measures are those of
`napari_synth.imaging.assess.Quality`. ``drift_y`` and ``drift_x`` are the shift in pixels against the image before, where the two show the
same field; ``duplicate`` is ``exact``, ``near`` or empty, ``duplicate_of`` the source of the first such image, ``similarity`` the
highest correlation with another image; ``outlier`` is the largest robust z of the measures and ``outlier_in`` the measure that has it;
``deviates`` names in which of shape, dtype, axes and spacing the image differs from most others.
"""
