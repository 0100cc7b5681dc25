"""Where results are kept: in memory, or as OME-Zarr in the folder of large results, from where they are shown level by level."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, product
from pathlib import Path
from typing import Any

import numpy as np

from napari_synth.core.errors import ImageFileError
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.gui.jobs.requests import LayerRun
from napari_synth.imaging.image import Image


def run_levels(
    run: LayerRun, folder: Path, progress: ProgressCallback, cancel: CancelToken
) -> tuple[tuple[Any, ...], Path | None]:
    """Compute the result of a run, in memory or into a folder where it is larger than the memory budget.

    Parameters
    ----------
    run : PreparedImage or PreparedMovie
    folder : pathlib.Path
        Of large results.
    progress, cancel
        Of the job.

    Returns
    -------
    tuple of array-like
        Along the axes of the result: one numpy array, or dask arrays of the levels on disk, the finest first.
    pathlib.Path or None
        Where it is on disk.

    Raises
    ------
    Cancelled
        The token was set; nothing is left on disk.
    ImageFileError
        The folder cannot be written.
    """
    compute = partial(run.compute, report=Reporter(progress, cancel))
    if not run.needs_store:
        pixels = compute()
        if run.source.origin is not None:
            run.source.origin.check()
        return (pixels,), None
    return computed_into(compute, run.result, run.chunks, folder, cancel)


def computed_into(
    compute: Callable[..., Any], like: Image, blocks: tuple[int, ...], folder: Path, cancel: CancelToken
) -> tuple[tuple[Any, ...], Path]:
    """Let something be computed into an OME-Zarr of the folder of large results.

    Parameters
    ----------
    compute : callable
        Is called with what it shall write to, as ``out``.
    like : Image
        Of the shape, axes, name and spacing of what is computed; its pixels are not read.
    blocks : tuple of int
        The shape of what is written at once.
    folder : pathlib.Path
        Made where it is not there.
    cancel : CancelToken

    Returns
    -------
    tuple of dask.array.Array
        The levels, the finest first.
    pathlib.Path
        Where they are.
    """
    from napari_synth.files import create_ome_zarr

    path = free_path(folder, like.name)
    with create_ome_zarr(path, like, blocks=blocks, cancel=cancel) as target:
        compute(out=target)
    with discarding(path):
        return open_levels(path, like.axes), path


_giving = threading.Lock()
_given: set[Path] = set()


def store(image: Image, folder: Path, stage: str, progress: ProgressCallback, cancel: CancelToken) -> tuple[Any, ...]:
    """Compute a dask image chunk by chunk into an OME-Zarr of the folder.

    Parameters
    ----------
    image : Image
        Around a dask array.
    folder : pathlib.Path
        Made where it is not there.
    stage : str
        What progress calls it.
    progress, cancel
        Of the job.

    Returns
    -------
    tuple of dask.array.Array
        The levels, the finest first, along the axes of the image.

    Raises
    ------
    Cancelled
        The token was set; nothing is left on disk.
    ImageFileError
        The folder cannot be written.
    """
    reporter = Reporter(progress, cancel)
    reporter.start(stage, int(np.prod(image.data.numblocks)))

    def compute(out: Any) -> None:
        edges = [list(zip([0, *ends], ends, strict=False)) for ends in map(list, map(accumulate, image.data.chunks))]
        for corner in product(*edges):
            block = tuple(slice(start, stop) for start, stop in corner)
            out[block] = image.read(**dict(zip(image.axes, block, strict=True)))
            reporter.advance()

    return computed_into(compute, image, image.data.chunksize, folder, cancel)[0]


@contextmanager
def discarding(path: Path | None) -> Iterator[None]:
    """Delete what was stored where the block ends with an error or is cancelled."""
    try:
        yield
    except BaseException:
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
        raise


def open_levels(path: Path, axes: str) -> tuple[Any, ...]:
    """Open the levels of an OME-Zarr of ours as dask arrays in the order of ``axes``, the finest first."""
    import dask.array as da
    import zarr

    group = zarr.open_group(str(path), mode="r")
    datasets: Any = group.attrs["ome"]
    levels = []
    for dataset in datasets["multiscales"][0]["datasets"]:
        array: Any = group[dataset["path"]]
        stored = [str(label).upper() for label in array.metadata.dimension_names]
        # RGB samples are stored as channels: the format has no samples.
        levels.append(da.from_array(array).transpose([stored.index("C" if axis == "S" else axis) for axis in axes]))
    return tuple(levels)


def free_path(folder: Path, name: str) -> Path:
    """Return a path in the folder that does not exist, with a name that every file system takes.

    It is nobody else's either: a result that is still being made has no file of its name yet, and two layers may have one name.

    Raises
    ------
    ImageFileError
        The folder cannot be made or looked into.
    """
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name).strip("._") or "result"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number, path = 1, folder / f"{stem}.ome.zarr"
        with _giving:
            while path.exists() or path in _given or any(folder.glob(f".{path.name}.*.part")):
                number += 1
                path = folder / f"{stem}-{number}.ome.zarr"
            _given.add(path)
    except OSError as error:
        raise ImageFileError(
            f"The folder of large results {str(folder)!r} cannot be used ({error.strerror}):"
            " set another in File > Preferences > napari-synth."
        ) from error
    return path


def free_folder(parent: Path, name: str) -> Path:
    """Return a folder that is not there yet, with a number behind its name where that is taken."""
    plain = plain_name(name)
    path, number = parent / plain, 2
    while path.exists():
        path, number = parent / f"{plain} {number}", number + 1
    return path


def plain_name(name: str) -> str:
    """Return a name without the signs that file systems do not take."""
    return "".join("_" if sign in '/\\:*?"<>|' else sign for sign in name)
