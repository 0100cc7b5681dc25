"""Generators that see channels together, and make others of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
import zarr

import napari_synth
from napari_synth import verbs
from napari_synth.batches.jobs import Job, run_job
from napari_synth.contract.generator import BlockSpec, Context, Generator, GeneratorInfo, Prepared, ResultSpec, Task
from napari_synth.contract.params import Params
from napari_synth.core import errors
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import Reporter
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.recipe import Recipe
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform

AsItIs = IntensityTransform(0.0, 1.0)


class Mixed(Prepared):
    """Gives as many channels as it has weights (one row a channel) of what it sees, box-filtered."""

    def __init__(self, weights: np.ndarray, spec: BlockSpec, **more: Any) -> None:
        self.matrix, self.spec = torch.tensor(weights, dtype=torch.float32), spec
        for name, value in more.items():
            setattr(self, name, value)

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        smooth = sum(torch.roll(block, shift, -1) for shift in (-1, 0, 1)) / 3
        return torch.einsum("rc,nc...->nr...", self.matrix, smooth)


class Mixing:
    """Mixes by a matrix, in counts."""

    info = GeneratorInfo(
        "translate/mixing", "Mixing", "Mixes channels.", Task.TRANSLATE, channels="joint", colour="joint", invents=True
    )

    def __init__(
        self,
        weights: list[list[float]],
        axis: str,
        dtype: str = "f4",
        spec: BlockSpec | None = None,
        back: tuple[IntensityTransform, ...] | None = None,
    ) -> None:
        self.weights, self.axis, self.dtype, self.spec, self.back = np.array(weights), axis, dtype, spec, back

    def prepare(self, image: Image, params: Params, context: Context) -> Prepared:
        seen = image.sizes.get("C", 1) * image.sizes.get("S", 1)
        assert seen == self.weights.shape[1]
        back = self.back or (AsItIs,) * len(self.weights)
        return Mixed(
            self.weights,
            self.spec or BlockSpec.plane(2, multiple=2),
            intensity=(AsItIs,) * seen,
            result=ResultSpec(self.axis, back, self.dtype),
        )


def scene(shape: tuple[int, ...], dtype: str = "f4") -> np.ndarray:
    return (np.random.default_rng(0).random(shape) * 200).astype(dtype)


def box(image: np.ndarray) -> np.ndarray:
    """What `Mixed` makes of the inside of planes, before it mixes."""
    wide = image.astype(np.float64)
    return sum(np.roll(wide, shift, -1) for shift in (-1, 0, 1)) / 3


@pytest.fixture
def mixing(fakes: Callable[[Generator[Params]], None]) -> Callable[..., Callable[..., PreparedImage]]:
    def make(*args: Any, **kwargs: Any) -> Callable[..., PreparedImage]:
        fakes(Mixing(*args, **kwargs))

        def prepared(image: Any, axes: str | None = None, **options: Any) -> PreparedImage:
            return verbs.prepare("translate/mixing", Image.from_array(image, axes), **options)

        return prepared

    return make


@pytest.mark.parametrize(
    ("axes", "shape", "axis", "rows", "result_axes"),
    [
        ("CYX", (2, 40, 44), "C", 3, "CYX"),
        ("CYX", (2, 40, 44), "S", 3, "YXS"),
        ("CYX", (2, 40, 44), "", 1, "YX"),
        ("TCYX", (3, 2, 40, 44), "C", 1, "TCYX"),
        ("TZCYX", (2, 3, 2, 20, 24), "S", 3, "TZYXS"),
        ("ZCYX", (3, 2, 40, 44), "C", 4, "ZCYX"),
        ("YXC", (40, 44, 2), "C", 3, "YXC"),
        ("TYX", (3, 40, 44), "C", 2, "TCYX"),
        ("YX", (40, 44), "S", 3, "YXS"),
        ("YXS", (40, 44, 3), "C", 2, "CYX"),
        ("YXS", (40, 44, 3), "", 1, "YX"),
        ("YXS", (40, 44, 4), "S", 3, "YXS"),
        ("CYXS", (2, 40, 44, 3), "C", 2, "CYX"),
    ],
)
def test_results_have_their_own_channels_in_eager_lazy_and_tiles(mixing, axes, shape, axis, rows, result_axes) -> None:
    sizes = dict(zip(axes, shape, strict=True))
    seen = sizes.get("C", 1) * min(sizes.get("S", 1), 3)
    weights = (1.0 + np.arange(rows * seen).reshape(rows, seen)) / 10
    prepared = mixing(weights.tolist(), axis)
    image = scene(shape, "u2")
    whole = prepared(image, axes)
    assert whole.axes == result_axes
    pixels = whole.compute()
    assert pixels.shape == whole.shape == whole.result.shape
    assert pixels.dtype == whole.dtype == np.float32

    # Channels first, colours behind them, then X last: what the mix is made of.
    kept = [a for a in axes if a in "TZ"] + [a for a in "CS" if a in axes] + ["Y", "X"]
    ordered = image.transpose([axes.index(a) for a in kept])
    if "S" in axes:
        ordered = np.take(ordered, range(3), kept.index("S"))
    lead = ordered.shape[: sum(a in "TZ" for a in kept)]
    ordered = ordered.reshape(*lead, seen, *ordered.shape[-2:])
    expected = np.einsum("rc,...cyx->...ryx", weights, box(ordered))
    made = pixels.transpose(
        [result_axes.index(a) for a in [a for a in result_axes if a in "TZ"] + list(axis) + ["Y", "X"]]
    )
    made = made if axis else np.expand_dims(made, -3)
    inside = (..., slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(made[inside], expected[inside], rtol=1e-4)

    tiles = prepared(image, axes, tile=16)
    eager = tiles.compute()
    at = tuple(slice(2, -2) if a in "YX" else slice(None) for a in result_axes)
    np.testing.assert_allclose(eager[at], pixels[at], rtol=1e-5)
    lazy = tiles.lazy()
    assert isinstance(lazy, da.Array)
    assert tiles.chunks == lazy.chunksize
    np.testing.assert_array_equal(lazy.compute(), eager)
    out = zarr.zeros(tiles.shape, dtype="f4", chunks=tiles.chunks)
    np.testing.assert_array_equal(tiles.compute(out=out)[:], eager)


def test_counts_and_dtype_are_those_that_the_generator_says(mixing) -> None:
    back = (IntensityTransform(100.0, 2.0), IntensityTransform(0.0, 1e4))
    image = np.stack([np.full((16, 20), 7.0), np.full((16, 20), -3.0)])
    result = mixing([[1, 0], [0, 1]], "C", back=back)(image, "CYX").compute()
    np.testing.assert_allclose(result[0], 114)
    np.testing.assert_allclose(result[1], -3e4)
    colours = mixing([[1, 0], [0, 1], [9, 9]], "S", "uint8", back=(IntensityTransform(0.4, 10.0),) * 3)
    np.testing.assert_array_equal(colours(image, "CYX").compute()[3, 4], [70, 0, 255])


def test_a_spread_has_the_channels_and_the_scale_of_the_result(mixing) -> None:
    prepared = mixing([[1, 0], [1, 0], [0, 2]], "S", "uint8", back=(IntensityTransform(50.0, 1.0),) * 2 + (AsItIs,))
    spread = prepared(scene((2, 24, 24)), "CYX").spread()
    pixels = spread.compute()
    assert pixels.dtype == np.float32
    assert spread.axes == "YXS"
    assert pixels.shape == (24, 24, 3)
    np.testing.assert_allclose(pixels[..., 0], pixels[..., 1], rtol=1e-5)
    # The box lies along X alone, so that turned blocks differ.
    assert pixels[..., 2].max() > 5


def test_a_result_is_nan_where_any_channel_is_lost(mixing) -> None:
    image = scene((2, 24, 24))
    image[0, 5, 6], image[1, 10, 11] = np.nan, np.inf
    result = mixing([[1, 0], [0, 1], [1, 1]], "C")(image, "CYX").compute()
    lost = np.zeros((24, 24), bool)
    lost[5, 6] = lost[10, 11] = True
    np.testing.assert_array_equal(np.isnan(result), np.broadcast_to(lost, (3, 24, 24)))


def test_volumes_and_finer_results(mixing) -> None:
    image = scene((2, 6, 20, 24))
    deep = mixing([[1, 1]], "", spec=BlockSpec.volume("ZYX", (1, 2, 2)))(image, "CZYX", tile=8)
    assert deep.axes == "ZYX"
    np.testing.assert_allclose(deep.compute()[:, 2:-2, 2:-2], box(image.sum(0))[:, 2:-2, 2:-2], rtol=1e-4)


def test_spacing_and_units_stay_with_the_axes_that_stay(mixing) -> None:
    source = Image(scene((2, 20, 24)), "CYX", {"Y": 0.5, "X": 0.25}, {"Y": "micrometer", "X": "micrometer"})
    result = mixing([[1, 1]] * 3, "S")(source).result
    assert (result.axes, result.spacing) == ("YXS", {"Y": 0.5, "X": 0.25})
    assert napari_synth.run("translate/mixing", source).axes == "YXS"


def test_a_region_has_all_channels(mixing) -> None:
    prepared = mixing([[1, 0], [0, 1], [1, 1]], "C")(scene((3, 2, 40, 40)), "TCYX")
    assert prepared.joint_axes == "C"
    part = prepared.compute(region={"T": 1, "Y": slice(8, 20), "X": slice(4, 30)})
    np.testing.assert_allclose(part, prepared.compute()[1, :, 8:20, 4:30], rtol=1e-5, atol=1e-4)
    for wrong in (0, slice(0, 1)):
        with pytest.raises(errors.AxesError, match="channels are restored together"):
            prepared.compute(region={"C": wrong})


def test_64_bit_counts_are_normalised_channel_by_channel(mixing) -> None:
    image = np.stack([np.full((16, 20), 2**40), np.full((16, 20), 3)]).astype("i8")
    result = mixing([[1, 0], [0, 1]], "C", "int64")(image, "CYX").compute()
    assert result.dtype == np.int64
    np.testing.assert_array_equal(result[:, 5, 5], [2**40, 3])


@pytest.mark.parametrize("name", ["out.png", "out.ome.zarr", "out.ome.tif"])
def test_files_hold_what_the_generator_makes(mixing, tmp_path: Path, name: str) -> None:
    prepared = mixing([[1, 0], [0, 1], [1, 1]], "S", "uint8")
    image = Image(scene((2, 20, 24)), "CYX")
    write_image(tmp_path / "in.ome.tif", image)
    job = Job(tmp_path / "in.ome.tif", tmp_path / name)
    run_job(job, Recipe(generator="translate/mixing"), RunOptions(), Reporter(), overwrite=False, write_recipe=False)
    written = read_image(tmp_path / name)
    assert written.axes == "YXS"
    np.testing.assert_array_equal(written.read(), prepared(image).compute())


def test_a_file_that_cannot_hold_the_result_is_refused(mixing, tmp_path: Path) -> None:
    mixing([[1, 0], [0, 1]], "C")
    write_image(tmp_path / "in.ome.tif", Image(scene((2, 20, 24)), "CYX"))
    job = Job(tmp_path / "in.ome.tif", tmp_path / "out.png")
    with pytest.raises(errors.ImageFileError, match="CYX"):
        run_job(
            job, Recipe(generator="translate/mixing"), RunOptions(), Reporter(), overwrite=False, write_recipe=False
        )
