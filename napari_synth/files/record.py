"""What a file holds of layers besides their pixels: how they lie and look, and the recipe, as JSON where each format has a place.

In an OME-TIFF that is a comment annotation, in a plain TIFF its description, in an OME-Zarr an attribute of the group.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_synth.core.texts import TextError, read_json
from napari_synth.files.listing import TIFF_SUFFIXES, image_suffix, is_zarr

NAMESPACE = "napari-synth/layers"
KEY = "layers"


def to_text(record: Mapping[str, Any]) -> str:
    """Return a record as JSON of ASCII, which every format takes."""
    return json.dumps(record, ensure_ascii=True)


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record in a file, None where it holds none, or no image at all; no pixel is read.

    Parameters
    ----------
    path : pathlib.Path
        Of a TIFF or an OME-Zarr.
    """
    try:
        text = _of_zarr(path) if is_zarr(path) else _of_tiff(path) if image_suffix(path) in TIFF_SUFFIXES else None
        found = read_json(text) if text else None
    except TextError:
        return None
    except Exception:  # noqa: BLE001 - a file of others may hold anything: it is not claimed then
        return None
    return found if isinstance(found, dict) else None


def _of_tiff(path: Path) -> str | None:
    import tifffile

    with tifffile.TiffFile(path) as file:
        if file.ome_metadata and NAMESPACE in file.ome_metadata:
            notes = tifffile.xml2dict(file.ome_metadata)["OME"]["StructuredAnnotations"]["CommentAnnotation"]
            for one in notes if isinstance(notes, (list, tuple)) else [notes]:
                if one.get("Namespace") == NAMESPACE:
                    return str(one["Value"])
        for facts in file.shaped_metadata or ():
            if KEY in facts:
                return str(facts[KEY])
    return None


def _of_zarr(path: Path) -> str | None:
    import zarr

    node = zarr.open(str(path), mode="r")
    own = node.attrs.get("napari_synth")
    text = own.get(KEY) if isinstance(own, Mapping) else None
    return str(text) if text else None
