"""Masks from layers of any shape and place: where they lie in the world they lie on the image."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Points, Shapes, Vectors

from napari_synth.core.errors import MaskError
from napari_synth.gui.layers.images import to_image
from napari_synth.gui.layers.masks import layer_request, resampled, world_matrix
from napari_synth.gui.layers.placement import Placement


def mask_of(layer: Any, source: ImageLayer, axes: str | None = None, **options: Any) -> np.ndarray:
    image = to_image(source, axes or "TZYX"[-source.ndim :] + ("S" if source.rgb else ""))
    return np.asarray(layer_request(layer, source, image, **options).mask().data)


def picture(*shape: int, **kwargs: Any) -> ImageLayer:
    return ImageLayer(np.zeros(shape, np.uint8), **kwargs)


def brute_force(labels: Labels, source: ImageLayer) -> np.ndarray:
    """Look up every pixel of the image through napari's own transforms."""
    found = np.zeros(source.data.shape, bool)
    for at in np.ndindex(found.shape):
        position = np.floor(np.asarray(labels.world_to_data(source.data_to_world(at))) + 0.5).astype(int)
        if (position >= 0).all() and (position < labels.data.shape).all():
            found[at] = labels.data[tuple(position)] != 0
    return found


PLACES: dict[str, dict[str, Any]] = {
    "same": {},
    "finer": {"scale": (0.5, 0.25), "translate": (2.2, -3.1)},
    "rotated": {"scale": (0.9, 1.3), "translate": (4, 3), "rotate": 33},
    "sheared": {"shear": [0.4], "scale": (1.1, 0.8), "rotate": -20, "translate": (-3, 5)},
    "affine": {"affine": [[0.813, 0.317, 2.13], [-0.411, 1.207, 5.31], [0, 0, 1]]},
    "flipped": {"scale": (1, -1), "translate": (0, 29)},
}


@pytest.mark.parametrize("of_source", list(PLACES))
@pytest.mark.parametrize("of_labels", list(PLACES))
def test_labels_lie_where_napari_shows_them(of_source: str, of_labels: str) -> None:
    drawn = (np.random.default_rng(0).random((24, 31)) < 0.4).astype(np.int32) * 5
    labels, source = Labels(drawn, **PLACES[of_labels]), picture(22, 30, **PLACES[of_source])
    found = mask_of(labels, source)
    expected = brute_force(labels, source)
    # Where a centre lies on an edge between two labels, rounding decides.
    assert np.mean(found != expected) < 0.005
    assert expected.any()


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_a_volume_through_a_rotated_one() -> None:
    drawn = (np.random.default_rng(0).random((6, 12, 11)) < 0.4).astype(np.int32)
    labels = Labels(drawn, scale=(2, 1, 1), rotate=(20, 0, 10), translate=(0, 1, 2))
    source = picture(7, 12, 10, scale=(1.5, 1, 1), shear=[0.1, 0, 0.2])
    assert np.mean(mask_of(labels, source) != brute_force(labels, source)) < 0.01


def test_a_plane_holds_over_all_planes_of_a_stack_and_over_colours() -> None:
    labels = Labels(np.eye(12, dtype=int))
    stack = picture(3, 12, 12)
    request = layer_request(labels, stack, to_image(stack, "ZYX"))
    assert request.mask().axes == "YX"
    assert np.array_equal(request.mask().data, np.eye(12))
    assert np.array_equal(mask_of(labels, picture(12, 12, 3, rgb=True)), np.eye(12))


def test_all_planes_of_a_stack_count_on_a_plane() -> None:
    drawn = np.zeros((3, 12, 12), int)
    drawn[0, 1, 1], drawn[2, 5, 5] = 1, 2
    assert np.array_equal(np.argwhere(mask_of(Labels(drawn), picture(12, 12))), [[1, 1], [5, 5]])
    assert np.array_equal(np.argwhere(mask_of(Labels(drawn), picture(12, 12), ids=[2])), [[5, 5]])


def test_lazy_and_multiscale_labels() -> None:
    drawn = np.zeros((3, 40, 40), np.uint16)
    drawn[1, 5:9, 5:9] = 3
    source = picture(3, 40, 40)
    assert np.array_equal(mask_of(Labels(da.from_array(drawn, chunks=(1, 16, 16))), source, ids=[3]), drawn == 3)
    pyramid = Labels([drawn, drawn[:, ::2, ::2]], multiscale=True)
    assert np.array_equal(mask_of(pyramid, source), drawn == 3)
    shifted = Labels(da.from_array(drawn, chunks=(1, 16, 16)), translate=(0, 2, 0))
    assert np.array_equal(mask_of(shifted, source), np.roll(drawn, 2, 1) == 3)


def test_units_count_where_the_canvas_shows_them() -> None:
    drawn = np.zeros((20, 20), int)
    drawn[4:8, 4:8] = 1
    source = picture(20, 20, scale=(0.5, 0.5), units=("um", "um"))
    labels = Labels(drawn, scale=(500, 500), units=("nm", "nm"))
    assert np.array_equal(mask_of(labels, source, units=source.units), drawn)
    assert np.allclose(world_matrix(Placement.of(labels), source.units), world_matrix(Placement.of(source)))


def test_growth_and_labels_are_recorded() -> None:
    drawn = np.zeros((20, 20), int)
    drawn[4, 4], drawn[15, 15] = 1, 2
    source = picture(20, 20)
    mask = layer_request(Labels(drawn), source, to_image(source, "YX"), ids=[2], grow=2).mask()
    assert (mask.ids, mask.grow, mask.rule) == ((2,), 2, None)
    assert mask.data.sum() == 13


@pytest.mark.parametrize("kind", ["rectangle", "polygon", "ellipse"])
def test_closed_shapes_are_filled_through_a_rotation(kind: str) -> None:
    corners = np.array([[10, 10], [10, 30], [20, 30], [20, 10]], float)
    layer = Shapes([corners], shape_type=kind, rotate=25, translate=(3, -2), scale=(1.5, 1))
    source = picture(64, 64, scale=(0.8, 0.9))
    centres = [layer.world_to_data(source.data_to_world(at)) for at in np.ndindex(64, 64)]
    y, x = (np.array(centres).reshape(64, 64, 2) - (15, 20)).transpose(2, 0, 1) / np.array([5, 10])[:, None, None]
    expected = y**2 + x**2 <= 1 if kind == "ellipse" else np.maximum(abs(y), abs(x)) <= 1
    assert np.mean((mask_of(layer, source) != 0) != expected) < 0.001
    assert expected.sum() > 200


def test_lines_are_as_wide_as_they_are_drawn() -> None:
    line = Shapes([np.array([[10, 5], [10, 25]], float)], shape_type="line", edge_width=4)
    found = mask_of(line, picture(30, 30))
    assert found[8:13, 15].all()
    assert found.sum(axis=0)[15] == 5
    path = Shapes([np.array([[2, 2], [20, 8], [25, 28]], float)], shape_type="path", edge_width=1)
    steps = mask_of(path, picture(30, 30))
    assert steps.any(axis=0)[2:29].all()
    finer = mask_of(line, picture(60, 60, scale=(0.5, 0.5)))
    assert finer.sum(axis=0)[30] == 9


def test_shapes_in_a_stack_lie_in_their_plane() -> None:
    square = np.array([[1, 2, 2], [1, 2, 6], [1, 6, 6], [1, 6, 2]], float)
    found = mask_of(Shapes([square], shape_type="polygon"), picture(3, 10, 10))
    assert found[1].sum() == 25
    assert found[[0, 2]].sum() == 0


def test_points_are_discs() -> None:
    points = Points(np.array([[1, 10.2, 10.0], [0, 3, 3], [2, 200, 3]]), size=6)
    found = mask_of(points, picture(3, 24, 24), radius=2)
    y, x = np.mgrid[:24, :24]
    assert np.array_equal(found[1] != 0, (y - 10.2) ** 2 + (x - 10) ** 2 <= 4)
    assert found[2].sum() == 0
    by_size = mask_of(points, picture(3, 48, 48, scale=(1, 0.5, 0.5)))
    assert by_size[1].any(axis=0).sum() == 11
    assert mask_of(Points([[4.2, 4.3]]), picture(9, 9), radius=0.1).sum() == 1


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (Labels(np.zeros((20, 20), int), name="mine"), "'mine' is empty"),
        (Shapes(ndim=2, name="mine"), "'mine' is empty"),
        (Points(ndim=2, name="mine"), "'mine' is empty"),
        (Labels(np.ones((20, 20), int), translate=(100, 0), name="mine"), "'mine' marks no pixel of 'cells'"),
        (Shapes([[[50, 50], [60, 60]]], shape_type="line", name="mine"), "marks no pixel"),
        (Points([[-9, -9]], size=2, name="mine"), "marks no pixel"),
        (Vectors(np.zeros((1, 2, 2)), name="mine"), "Vectors layer"),
    ],
)
def test_what_cannot_be_a_mask_is_told(layer: Any, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        mask_of(layer, picture(20, 20, name="cells"))


def test_labels_that_are_not_there_are_told() -> None:
    with pytest.raises(MaskError, match="no label 9: it has 1"):
        mask_of(Labels(np.eye(8, dtype=int)), picture(8, 8), ids=[9])


def test_a_mask_is_made_once() -> None:
    drawn = np.eye(8, dtype=int)
    source = picture(8, 8)
    request = layer_request(Labels(drawn), source, to_image(source, "YX"))
    assert request.mask() is request.mask()


def test_a_small_step_of_the_grid_adds_up_over_a_large_image() -> None:
    labels = np.zeros((1, 1000), bool)
    labels[0, 800] = True
    found = resampled(labels, np.diag([1.0, 1.001, 1.0]), (1, 1000))
    assert np.flatnonzero(found[0]).tolist() == [799]
