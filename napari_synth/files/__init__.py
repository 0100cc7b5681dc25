"""Images in files: what the command line and the panel read and write."""

from __future__ import annotations

from napari_synth.files.access import check_format, read_image, write_image
from napari_synth.files.atomic import check_place, clear_leftovers, naming_the_cause, replacing
from napari_synth.files.choosing import Series, parse_series
from napari_synth.files.listing import (
    DICOM_SUFFIXES,
    PICTURE_SUFFIXES,
    READABLE_SUFFIXES,
    TIFF_SUFFIXES,
    WRITABLE_SUFFIXES,
    ZARR_SUFFIXES,
    find_images,
    holds_dicom,
    image_suffix,
    is_folder,
    is_zarr,
    natural_key,
)
from napari_synth.files.ome_zarr import OmeZarrTarget, create_ome_zarr
from napari_synth.files.pairs import Pairing, belonging, paired, pairs_in_words
from napari_synth.files.work_units import Resume, clear_abandoned

__all__ = [
    "DICOM_SUFFIXES",
    "PICTURE_SUFFIXES",
    "READABLE_SUFFIXES",
    "TIFF_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "ZARR_SUFFIXES",
    "OmeZarrTarget",
    "Pairing",
    "Resume",
    "Series",
    "belonging",
    "check_format",
    "check_place",
    "clear_abandoned",
    "clear_leftovers",
    "create_ome_zarr",
    "find_images",
    "holds_dicom",
    "image_suffix",
    "is_folder",
    "is_zarr",
    "naming_the_cause",
    "natural_key",
    "paired",
    "pairs_in_words",
    "parse_series",
    "read_image",
    "replacing",
    "write_image",
]
