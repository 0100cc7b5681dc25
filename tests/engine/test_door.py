"""One door: whatever the kind of method, what comes out can do the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch

import napari_synth
from napari_synth import registry
from napari_synth.contract.generator import BlockSpec, Context, GeneratorInfo, Method, Prepared, Task
from napari_synth.contract.params import NoParams
from napari_synth.contract.synthesis import Sampler, SampleSpec, SynthesisContext, SynthesisParams, Synthesizer
from napari_synth.core.errors import Cancelled, InvalidImageError, InvalidParameterError, UnknownGeneratorError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import CancelToken, Progress, Reporter
from napari_synth.engine import block_run, door, tiling
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.prepared import Inputs, PreparedRun
from napari_synth.engine.recipe import FramesRecord, Recipe
from napari_synth.imaging.image import Image

PIXELS = np.random.default_rng(0).integers(50, 5000, (4, 40, 50)).astype(np.uint16)


class Even(Sampler):
    """Images of one value each."""

    spec = SampleSpec(1, "", "uint8", (8, 8))

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        return (1,)

    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return (100.0 + 10.0 * latents[..., None, None]).expand(-1, 1, *size)


def even(_source: Image | None, _params: SynthesisParams, _context: SynthesisContext) -> Sampler:
    return Even()


EVEN = Synthesizer(
    GeneratorInfo("synthesize/even", "Even", "Fake.", Task.SYNTHESIZE, invents=True), SynthesisParams, even
)


def opened(kind: str) -> PreparedRun:
    """Open one method of each kind."""
    options = RunOptions(device="cpu", seed=3)
    if kind == "image":
        method: Method[Any] = registry.generator("denoise/median")
        return door.open(method, Recipe(generator=method.info.id, params={"radius": 1}), _of("ZYX"), options)
    if kind == "frames":
        method = registry.found(Method, "predict-frames/linear")
        recipe = Recipe(generator=method.info.id, frames=FramesRecord(count=2, fill=(1,)))
        return door.open(method, recipe, _of("TYX"), options)
    return door.open(EVEN, Recipe(generator="synthesize/even", params={"count": 3}), Inputs(), options)


def _of(axes: str) -> Inputs:
    return Inputs(Image(PIXELS, axes, {"Y": 0.5}, {"Y": "um"}))


every_kind = pytest.mark.parametrize("kind", ["image", "frames", "synthesis"])


@every_kind
def test_every_kind_keeps_the_protocol(kind: str) -> None:
    run = opened(kind)
    result = run.compute()
    assert result.shape == run.shape == run.result.shape
    assert result.dtype == run.dtype == run.result.dtype
    assert run.result.axes == run.axes
    assert len(run.chunks) == len(run.axes)
    assert (run.recipe.seed, run.recipe.device) == (3, "cpu")
    assert run.notes == run.recipe.notes
    assert run.method.info.id == run.recipe.generator
    assert not run.needs_store
    np.testing.assert_array_equal(run.lazy().compute(), result)
    out = np.zeros_like(result)
    assert run.compute(out=out) is out
    np.testing.assert_array_equal(out, result)


@every_kind
def test_a_part_is_the_same_as_in_the_whole(kind: str) -> None:
    run = opened(kind)
    first, whole = run.axes[0], run.compute()
    np.testing.assert_array_equal(run.compute(region={first: slice(1, 3)}), whole[1:3])
    np.testing.assert_array_equal(run.compute(region={first: 2}), whole[2])


@every_kind
def test_the_name_of_a_lazy_result_is_that_of_its_run(kind: str) -> None:
    assert opened(kind).lazy().name == opened(kind).lazy().name


def test_large_images_that_differ_where_no_sample_is_have_names_of_their_own() -> None:
    method = registry.generator("translate/gamma")
    names = set()
    images = [np.full((3, 512, 512), 7, np.uint8) for _ in range(2)]
    for image in images:
        image[0, 0, :9] = 1
        run = door.open(method, Recipe(generator=method.info.id), Inputs(Image(image, "ZYX")), RunOptions("cpu"))
        names.add(run.lazy().name)
    assert len(names) == 2


@every_kind
def test_a_run_stops_where_it_is_cancelled(kind: str) -> None:
    token = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.done:
            token.cancel()

    with pytest.raises(Cancelled):
        opened(kind).compute(report=Reporter(stop, token))


def test_only_what_has_an_orientation_has_a_spread() -> None:
    for kind in ("image", "frames"):
        spread = opened(kind).spread()
        assert spread.dtype == np.float32
        assert np.isfinite(spread.compute()).all()
    with pytest.raises(InvalidParameterError, match="no relative confidence"):
        opened("synthesis").spread()


@pytest.mark.parametrize("identifier", ["denoise/median", "predict-frames/linear"])
def test_what_works_on_an_image_asks_for_one(identifier: str) -> None:
    method = registry.found(Method, identifier)
    with pytest.raises(InvalidImageError, match="There is no image"):
        door.open(method, Recipe(generator=identifier), Inputs())


def test_a_method_of_no_kind_is_refused() -> None:
    info = GeneratorInfo("denoise/odd", "Odd", "Fake.", Task.DENOISE)
    with pytest.raises(UnknownGeneratorError, match="of no kind"):
        door.open(Method(info, NoParams, even), Recipe(generator="denoise/odd"), _of("ZYX"))


# The grid of blocks


class AddsOne(Prepared):
    """Adds one, remembers how large its blocks were, and fails on large ones as torch does on a CPU."""

    def __init__(self, seen: list[tuple[int, ...]], most: int) -> None:
        self.spec, self.seen, self.most = BlockSpec.plane(4, multiple=4), seen, most

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        if block.numel() > self.most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried")
        self.seen.append(tuple(block.shape[2:]))
        return block + 1


class Adding:
    info = GeneratorInfo("translate/adding", "Adding", "Adds one.", Task.TRANSLATE)

    def __init__(self, most: int) -> None:
        self.seen: list[tuple[int, ...]] = []
        self.most = most

    def prepare(self, image: Image, params: NoParams, context: Context) -> Prepared:
        return AddsOne(self.seen, self.most)


def adding(
    image: np.ndarray, recipe: Recipe | None = None, most: int = 10**9, **options: Any
) -> tuple[PreparedImage, list[tuple[int, ...]]]:
    fake = Adding(most)
    asked = recipe or Recipe(generator="translate/adding")
    inputs = Inputs(Image(image, "YX"))
    run: Any = door.open(registry.adopted(fake), asked, inputs, RunOptions("cpu", **options))  # type: ignore[arg-type]
    return run, fake.seen


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "MOST_PIXELS", 40 * 40)
    monkeypatch.setattr(block_run, "SMALLEST_CORE", 8)


@pytest.mark.usefixtures("small_blocks")
def test_the_grid_is_in_the_recipe_and_no_memory_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).random((90, 100)).astype(np.float32)
    run, seen = adding(image)
    usual, blocks = run.compute(), list(seen)
    assert set(run.recipe.grid) == {"YX"}
    scarce, smaller = adding(image, memory_budget=20_000)
    assert scarce.recipe.grid == run.recipe.grid
    np.testing.assert_array_equal(scarce.compute(), usual)
    assert max(map(np.prod, smaller)) < max(map(np.prod, blocks))
    monkeypatch.setattr(tiling, "MOST_PIXELS", 10**9)
    again, repeated = adding(image, run.recipe)
    again.compute()
    assert repeated == blocks
    assert again.recipe.grid == run.recipe.grid
    other, _ = adding(image[:80], run.recipe)
    assert other.recipe.grid == {"YX": (80, 100)}


def test_a_tile_that_the_user_set_stands_in_place_of_a_grid() -> None:
    run, _ = adding(np.zeros((90, 100), np.float32) + np.arange(100, dtype=np.float32), tile=32)
    assert run.recipe.grid == {}
    assert run.recipe.tile == 32
    assert run.chunks == (32, 28)


@pytest.mark.usefixtures("small_blocks")
def test_short_memory_of_a_cpu_halves_blocks_within_their_place() -> None:
    image = np.random.default_rng(0).random((90, 100)).astype(np.float32)
    whole = adding(image)[0].compute()
    messages: list[str] = []
    run, seen = adding(image, most=800)
    halved = run.compute(report=Reporter(lambda progress: messages.append(progress.message)))
    np.testing.assert_array_equal(halved, whole)
    assert max(map(np.prod, seen)) <= 800
    # What did not fit once is not tried again and again.
    assert 1 <= sum("smaller blocks" in message for message in messages) <= 8


def test_a_cancel_takes_effect_inside_a_block() -> None:
    token, calls = CancelToken(), []

    class Long(Prepared):
        spec = BlockSpec.plane(0)

        def apply(self, block: torch.Tensor) -> torch.Tensor:
            for step in range(1000):
                calls.append(step)
                if step == 3:
                    token.cancel()
                block = torch.add(block, 1)
            return block

    class Slow:
        info = GeneratorInfo("translate/slow", "Slow", "Takes long.", Task.TRANSLATE)

        def prepare(self, image: Image, params: NoParams, context: Context) -> Prepared:
            return Long()

    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    method: Any = registry.adopted(Slow())
    run = door.open(method, Recipe(generator="translate/slow"), Inputs(Image(image, "YX")), RunOptions("cpu"))
    with pytest.raises(Cancelled):
        run.compute(report=Reporter(None, token))
    assert calls == [0, 1, 2, 3]


# Planning


class Endless:
    """Reads like a huge image of which nothing is stored, and counts what is read of it."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(np.uint16), len(shape)
        self.pixels = self.reads = 0

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        pairs = zip(index, self.shape, strict=True)
        sizes = [len(range(size)[part]) for part, size in pairs if isinstance(part, slice)]
        self.reads += 1
        self.pixels += int(np.prod(sizes))
        return np.random.default_rng(self.reads).integers(90, 110, sizes).astype(np.uint16)


def test_planning_a_huge_image_neither_reads_it_nor_goes_through_its_positions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[int] = []
    whole = np.ndindex

    def counting(*shape: Any) -> Any:
        counted.append(int(np.prod(shape)))
        return whole(*shape)

    monkeypatch.setattr(np, "ndindex", counting)
    data = Endless((100_000, 4096, 4096))
    method = registry.generator("translate/gamma")
    run = door.open(method, Recipe(generator=method.info.id), Inputs(Image(data, "TYX")), RunOptions("cpu"))
    planned, read = data.reads, data.pixels
    lazy = run.lazy()
    assert isinstance(lazy, da.Array)
    assert lazy.shape == (100_000, 4096, 4096)
    assert data.reads == planned < 1000
    assert read < 2**26
    assert max(counted, default=0) < 1000
    part = lazy[77_777, :64, :64].compute()
    assert part.shape == (64, 64)
    assert data.pixels - read <= 2 * int(np.prod(run.chunks))


def test_a_chunk_of_a_lazy_image_is_read_once_to_be_measured_and_once_to_be_shown() -> None:
    read: Counter[tuple[int, ...]] = Counter()
    noise = np.random.default_rng(0).poisson(100, (1000, 1000)).astype(np.uint16)

    def load(block_info: Any = None) -> np.ndarray:
        read[block_info[None]["chunk-location"]] += 1
        return noise

    chunks = ((1000,) * 8, (1000,) * 8)
    lazy = da.map_blocks(load, chunks=chunks, dtype="u2", meta=np.empty((0, 0), "u2"))
    run = napari_synth.prepare("denoise/blind", Image(lazy, "YX"))
    assert set(read.values()) == {1}
    assert len(read) < 40
    read.clear()
    shown = run.compute(region={"Y": slice(3100, 3330), "X": slice(4100, 4320)})
    assert shown.shape == (230, 220)
    assert read == {(3, 4): 1}
