"""Where large results go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from napari_synth.files import create_ome_zarr, read_image
from napari_synth.gui.jobs.result_store import free_path
from napari_synth.imaging.image import Image


def test_two_runs_on_layers_of_one_name_keep_both_results(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: free_path(tmp_path, "cells"), range(8)))
    assert len(set(paths)) == 8
    images = [Image(np.full((20, 30), value, np.uint8), "YX") for value in (1, 2)]
    with create_ome_zarr(paths[0], images[0]) as first, create_ome_zarr(paths[1], images[1]) as second:
        first[:] = images[0].data
        second[:] = images[1].data
    assert [int(read_image(path).read().max()) for path in paths[:2]] == [1, 2]


def test_a_result_that_another_viewer_is_making_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / ".dots.ome.zarr.ffffff-1-1-00112233.part").mkdir()
    assert free_path(tmp_path, "dots").name == "dots-2.ome.zarr"
