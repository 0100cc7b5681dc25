"""The curves that a correction found over frames or tiles, as tables: by what frames were multiplied, where they lay."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ImageFileError
from napari_synth.imaging.image import SPATIAL_AXES


@dataclass(frozen=True)
class Curves:
    """What a correction found, over frames, tiles or channels.

    Attributes
    ----------
    title : str
        What the values are, with their unit.
    over : str
        What they are counted over: ``"frame"``, ``"tile"`` or ``"channel"``.
    columns : mapping of str to tuple of float
        The values by name, all of one length.
    """

    title: str
    over: str
    columns: Mapping[str, tuple[float, ...]]

    def to_csv(self) -> str:
        """Return the table as CSV: a row a frame, tile or channel, counted from 0."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([self.over, *self.columns])
        for index, row in enumerate(zip(*self.columns.values(), strict=True)):
            writer.writerow([index, *(f"{value:.7g}" for value in row)])
        return text.getvalue()

    def write(self, path: Path) -> None:
        """Write the table.

        Raises
        ------
        ImageFileError
            It cannot be written.
        """
        try:
            path.write_text(self.to_csv(), encoding="utf-8")
        except OSError as error:
            raise ImageFileError(
                f"The table {str(path)!r} cannot be written ({error.strerror}): choose another place."
            ) from error


def curves_of(generator: str, params: Mapping[str, Any]) -> Curves | None:
    """Return the curves that a recipe of a correction holds; None where it holds none.

    Parameters
    ----------
    generator : str
        The id of the method, such as ``"correct/bleaching"``.
    params : mapping
        Its settings as the recipe of a run holds them.
    """
    fitted = params.get("fitted") or ()
    if generator == "correct/bleaching" and fitted:
        return Curves("By what each frame was multiplied", "frame", _of_channels(fitted, "gains"))
    if generator == "correct/flat-field" and fitted and all(one.get("baseline") for one in fitted):
        return Curves("Brightness of the background of each tile, in counts", "tile", _of_channels(fitted, "baseline"))
    if generator == "correct/drift" and params.get("shifts"):
        along = zip(*params["shifts"], strict=True)
        names = SPATIAL_AXES[-len(params["shifts"][0]) :].lower()
        columns = {name: tuple(float(one) for one in values) for name, values in zip(names, along, strict=True)}
        return Curves("Where the scene lay in each frame, in pixels", "frame", columns)
    if generator == "correct/chromatic-shift" and fitted:
        names = SPATIAL_AXES[-len(fitted[0]["shift"]) :].lower()
        columns = {name: tuple(float(one["shift"][i]) for one in fitted) for i, name in enumerate(names)}
        slopes = {f"d{a}_d{b}": tuple(float(one["slope"][i]) for one in fitted) for i, (a, b) in enumerate(_SLOPES)}
        return Curves("Where channels lay, in pixels, and how that changes over the field", "channel", columns | slopes)
    return None


_SLOPES = (("y", "y"), ("y", "x"), ("x", "y"), ("x", "x"))


def _of_channels(fitted: Any, name: str) -> dict[str, tuple[float, ...]]:
    many = len(fitted) > 1
    return {
        f"{name}_{index}" if many else name: tuple(float(value) for value in one[name])
        for index, one in enumerate(fitted)
    }
