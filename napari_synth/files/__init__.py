"""Images in files: what the command line and the panel read and write."""

from __future__ import annotations

from napari_synth.files.access import check_format, read_image, write_image
from napari_synth.files.atomic import replacing
from napari_synth.files.kinds import READABLE_SUFFIXES, WRITABLE_SUFFIXES, image_suffix, is_folder, is_zarr
from napari_synth.files.listing import find_images
from napari_synth.files.ome_zarr import OmeZarrTarget, create_ome_zarr

__all__ = [
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "OmeZarrTarget",
    "check_format",
    "create_ome_zarr",
    "find_images",
    "image_suffix",
    "is_folder",
    "is_zarr",
    "read_image",
    "replacing",
    "write_image",
]
