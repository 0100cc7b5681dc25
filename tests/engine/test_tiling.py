from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_synth.contract.generator import BlockSpec
from napari_synth.engine.tiling import MOST_PIXELS, Grid, default_edges, make_block, split_core

sizes = st.integers(1, 200)


@given(
    st.tuples(sizes, sizes),
    st.sampled_from([1, 2, 8]),
    st.integers(0, 20),
    st.integers(20, 100),
    st.sampled_from([1, 2]),
)
def test_cores_cover_the_image_once_and_blocks_fit_the_network(
    shape: tuple[int, int], multiple: int, halo: int, edge: int, scale: int
) -> None:
    spec = BlockSpec("YX", (halo,) * 2, (multiple,) * 2, (scale,) * 2)
    covered = np.zeros(shape, int)
    sizes = dict(zip("YX", shape, strict=True))
    grid = Grid.of(spec, sizes, (edge, edge))
    assert grid.count({}) == len(list(grid.cores({})))
    for core in grid.cores({}):
        covered[core] += 1
        block = make_block(core, sizes, spec)
        for span, size in zip(block.spans, shape, strict=True):
            assert span.size % multiple == 0
            assert span.read.start % multiple == 0
            assert span.read.start <= max(0, span.core.start - halo)
            assert span.read.stop >= min(size, span.core.stop + halo)
            assert span.pad == 0 or span.read.stop == size
            assert span.sampling.count == (span.core.stop - span.core.start) * scale
    assert (covered == 1).all()


@given(st.integers(0, 100), st.integers(1, 100), st.sampled_from([1, 8]))
def test_a_region_is_covered_once_by_parts_of_the_same_blocks(start: int, length: int, multiple: int) -> None:
    grid = Grid.of(BlockSpec("YX", (4, 4), (multiple,) * 2, (1, 1)), {"Y": 200, "X": 10}, (16, 16))
    region = {"Y": slice(start, start + length), "X": slice(0, 10)}
    covered = np.zeros((200, 10), int)
    whole = list(grid.cores({}))
    for core in grid.cores(region):
        covered[core] += 1
        assert any(core[0].start >= block[0].start and core[0].stop <= block[0].stop for block in whole)
    assert grid.count(region) == len(list(grid.cores(region)))
    assert (covered[region["Y"]] == 1).all()
    assert covered.sum() == covered[region["Y"]].sum()


@given(st.tuples(st.integers(1, 50_000), st.integers(1, 50_000)), st.integers(0, 64), st.sampled_from([16, 4096]))
def test_default_blocks_are_small_enough_and_the_same_everywhere(
    shape: tuple[int, int], halo: int, bytes_per_pixel: int
) -> None:
    spec, sizes = BlockSpec.plane(halo, bytes_per_pixel=bytes_per_pixel), dict(zip("YX", shape, strict=True))
    edges = default_edges(spec, sizes)
    assert Grid.of(spec, sizes).edges == edges
    assert Grid.of(spec, sizes, edges) == Grid.of(spec, sizes)
    largest = max(Grid.of(spec, sizes).cores({}), key=lambda core: core[0].stop - core[0].start)
    assert np.prod(make_block(largest, sizes, spec).shape) <= MOST_PIXELS


@given(st.integers(1, 90), st.integers(1, 300), st.integers(0, 12), st.integers(1, 40), st.sampled_from([1, 2, 4]))
def test_blocks_of_any_ratio_give_every_pixel_of_the_result_once(
    size: int, result: int, halo: int, edge: int, scale: int
) -> None:
    spec = BlockSpec("X", (halo,), (2,), (scale,), result=(result,))
    given = []
    for core in Grid.of(spec, {"X": size}, (edge,)).cores({}):
        (span,) = make_block(core, {"X": size}, spec).spans
        given += range(span.target.start, span.target.stop)
        assert span.sampling.count == len(span.origins)
        assert all(span.core.start <= span.read.start + origin < span.core.stop for origin in span.origins)
    assert given == list(range(result))


def test_splitting_keeps_every_pixel_and_stops_at_the_floor() -> None:
    spec = BlockSpec.plane(4, multiple=8)
    core = (slice(0, 300), slice(0, 130))
    pieces = split_core(core, spec, 64)
    covered = np.zeros((300, 130), int)
    for piece in pieces:
        covered[piece] += 1
    assert (covered == 1).all()
    assert len(pieces) == 2
    assert split_core((slice(0, 100), slice(0, 100)), spec, 64) == [(slice(0, 100), slice(0, 100))]


def test_global_methods_get_the_whole_field() -> None:
    spec = BlockSpec.plane(0, whole=True)
    grid = Grid.of(spec, {"Y": 5000, "X": 5000})
    assert list(grid.cores({})) == [(slice(0, 5000), slice(0, 5000))]
    assert list(grid.cores({"Y": slice(3, 9)})) == [(slice(3, 9), slice(0, 5000))]
