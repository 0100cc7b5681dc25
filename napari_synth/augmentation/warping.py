"""What the transforms of `napari_synth.augmentation.geometry` do: a stage of the map for each kind.

Matrices are kornia's. Kornia has no joint warp of points, no inverse of elastic and thin-plate warps, and neither in 3D; those
are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from kornia.geometry.conversions import axis_angle_to_rotation_matrix
from kornia.geometry.transform import (
    get_rotation_matrix2d,
    get_shear_matrix2d,
    get_shear_matrix3d,
    get_tps_transform,
    warp_points_tps,
)
from torch import Tensor

from napari_synth.augmentation.displacement import Displacement, Projective, Radial, Stage, pixels

_NODES = 4
"""Nodes of a displacement field a control point: between nodes it is linear."""


@dataclass(frozen=True)
class Room:
    """What a stage must know of the frames it works in; matrices and lattices are small, and made on the CPU in float64.

    Attributes
    ----------
    sizes : Tensor (B, D), float64
        In the order (x, y[, z]).
    spacing : Tensor (B, D), float64
        Relative to that of X.
    active : Tensor (B,), bool
        Which items the transform is applied to.
    seeds : tuple of int
        One an item, for what is drawn at random on the way.
    """

    sizes: Tensor
    spacing: Tensor
    active: Tensor
    seeds: tuple[int, ...]

    @property
    def batch(self) -> int:
        """Number of items."""
        return len(self.sizes)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.sizes.shape[1]

    @property
    def centre(self) -> Tensor:
        """Centre of each frame in pixels, (B, D)."""
        return (self.sizes - 1) / 2

    def common_sizes(self) -> tuple[int, ...]:
        """Return the sizes ([Z,] Y, X), which must be the same for all items where a field is made."""
        if not bool((self.sizes == self.sizes[:1]).all()):
            raise ValueError("Fields are made for frames of one size.")
        return tuple(int(size) for size in self.sizes[0].flip(0))

    def eye(self) -> Tensor:
        """Return identity matrices (B, D + 1, D + 1)."""
        return torch.eye(self.ndim + 1, dtype=torch.float64).repeat(self.batch, 1, 1)

    def projective(self, backward: Tensor) -> Projective:
        """Return the stage of a matrix, the identity for items that are not active."""
        return Projective(torch.where(self.active[:, None, None], backward, self.eye()))

    def centred(self, linear: Tensor) -> Projective:
        """Return the stage of a linear map (B, D, D), in units of distance, of content about the centre."""
        pixel = linear * (self.spacing[:, None, :] / self.spacing[:, :, None])
        matrix = self.eye()
        inverse = torch.linalg.inv(pixel)
        matrix[:, :-1, :-1] = inverse
        matrix[:, :-1, -1] = self.centre - (inverse @ self.centre[..., None])[..., 0]
        return self.projective(matrix)

    def displacement(self, lattice: Tensor) -> Displacement:
        """Return the stage of a field (B, D, *nodes), nothing for items that are not active."""
        chosen = torch.where(self.active.view(-1, *(1 for _ in lattice.shape[1:])), lattice, torch.zeros_like(lattice))
        return Displacement.unfolded(chosen, self.common_sizes())


def stage(kind: str, values: Mapping[str, Tensor], room: Room) -> Stage:
    """Return the stage of a map for the drawn values, (B, ...) each.

    Parameters
    ----------
    kind : str
        Of the transform.
    values : mapping of str to Tensor
        What was drawn, (B, ...) each.
    room : Room
        The frame in which things move.
    """
    return _STAGES[kind](values, room)


def moves(kind: str) -> bool:
    """Whether a transform is one of geometry."""
    return kind in _STAGES


def _flip(values: Mapping[str, Tensor], room: Room) -> Stage:
    signs = values["signs"].flip(1)
    matrix = room.eye()
    matrix[:, :-1, :-1] = torch.diag_embed(signs)
    matrix[:, :-1, -1] = torch.where(signs < 0, room.sizes - 1, torch.zeros_like(room.sizes))
    return room.projective(matrix)


def _quarter_turn(values: Mapping[str, Tensor], room: Room) -> Stage:
    turns = values["turns"].long() % 4
    table = torch.tensor(
        [[[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]]], dtype=torch.float64
    )
    linear = room.eye()[:, :-1, :-1]
    linear[:, :2, :2] = table[turns]
    matrix = room.eye()
    matrix[:, :-1, :-1] = linear
    matrix[:, :-1, -1] = room.centre - (linear @ room.centre[..., None])[..., 0]
    return room.projective(matrix)


def _rotate(values: Mapping[str, Tensor], room: Room) -> Stage:
    nothing = torch.zeros(room.batch, 2, dtype=torch.float64)
    plane = get_rotation_matrix2d(nothing, values["degrees"], torch.ones_like(nothing))[:, :, :2]
    if room.ndim == 2:
        return room.centred(plane)
    linear = torch.cat([plane, torch.zeros_like(plane[:, :1])], 1)
    linear = torch.cat([linear, room.eye()[:, :3, 2:3]], 2)
    if bool((values["tilt"] != 0).any()):
        axis = torch.cat([values["tilt"].flip(1), nothing[:, :1]], 1)
        linear = axis_angle_to_rotation_matrix(torch.deg2rad(axis)) @ linear
    return room.centred(linear)


def _scale(values: Mapping[str, Tensor], room: Room) -> Stage:
    return room.centred(torch.diag_embed(values["factors"].flip(1)))


def _shear(values: Mapping[str, Tensor], room: Room) -> Stage:
    radians = torch.deg2rad(values["degrees"])
    nothing = torch.zeros(room.batch, room.ndim, dtype=torch.float64)
    none = nothing[:, 0]
    if room.ndim == 2:
        return room.centred(get_shear_matrix2d(nothing, radians[:, 0], none)[:, :2, :2])
    plane, x, y = radians.unbind(1)
    sheared = get_shear_matrix3d(nothing, syx=plane)
    between = get_shear_matrix3d(nothing, szx=x, szy=y)
    return room.centred((between @ sheared)[:, :3, :3])


def _translate(values: Mapping[str, Tensor], room: Room) -> Stage:
    matrix = room.eye()
    matrix[:, :-1, -1] = -values["pixels"].flip(1)
    return room.projective(matrix)


def _perspective(values: Mapping[str, Tensor], room: Room) -> Stage:
    to_unit, matrix = room.eye(), room.eye()
    half = (room.sizes / 2).clamp(min=0.5)
    to_unit[:, :-1, :-1] = torch.diag_embed(1 / half)
    to_unit[:, :-1, -1] = -room.centre / half
    matrix[:, -1, :-1] = values["tilts"].flip(1)
    return room.projective(torch.linalg.inv(to_unit) @ matrix @ to_unit)


def _crop(values: Mapping[str, Tensor], room: Room) -> Stage:
    matrix = room.eye()
    matrix[:, :-1, -1] = values["starts"].flip(1)
    return room.projective(matrix)


def _resize(values: Mapping[str, Tensor], room: Room) -> Stage:
    # The outer edges of the first and last pixels stay where they are.
    step = room.sizes / values["sizes"].flip(1)
    matrix = room.eye()
    matrix[:, :-1, :-1] = torch.diag_embed(step)
    matrix[:, :-1, -1] = (step - 1) / 2
    return room.projective(matrix)


def _fisheye(values: Mapping[str, Tensor], room: Room) -> Stage:
    spacing = room.spacing[:, :2]
    corner = (room.centre[:, :2] * spacing).norm(dim=1, keepdim=True).clamp(min=0.5)
    strength = torch.where(room.active, values["strength"], torch.zeros_like(values["strength"]))
    return Radial(strength, room.centre[:, :2], spacing / corner)


def _elastic(values: Mapping[str, Tensor], room: Room) -> Stage:
    """Displace control points at random; cubic B-splines between them, evaluated axis by axis on a lattice."""
    sizes = room.common_sizes()
    grid = float(values["grid"][0])
    deep = room.ndim == 3 and bool(values["depth"][0])
    spacing = [float(step) for step in room.spacing[0].flip(0)]
    splines, counts = [], []
    for axis, size in enumerate(sizes):
        if room.ndim == 3 and axis == 0 and not deep:
            splines.append(torch.ones(1, 1, dtype=torch.float64))
        else:
            splines.append(_spline(size, grid / spacing[axis]))
        counts.append(splines[-1].shape[1])
    control = _uniform(room, counts)
    if room.ndim == 3 and not deep:
        control = control * control.new_tensor([1.0, 1.0, 0.0]).view(1, 3, 1, 1, 1)
    amplitude = values["pixels"][:, None] / room.spacing
    lattice = control * amplitude.view(room.batch, room.ndim, *(1 for _ in sizes))
    for axis, spline in enumerate(splines, 2):
        lattice = torch.movedim(torch.movedim(lattice, axis, -1) @ spline.to(lattice).mT, -1, axis)
    return room.displacement(lattice)


def _thin_plate(values: Mapping[str, Tensor], room: Room) -> Stage:
    """Shift landmarks at random, and solve for the thin-plate spline that takes each to its place."""
    sizes = room.common_sizes()
    count = int(values["landmarks"][0])
    deep = room.ndim == 3 and bool(values["depth"][0])
    ndim = 3 if deep else 2
    moved = sizes[-ndim:]
    extent = room.sizes[:, :ndim] * room.spacing[:, :ndim]
    shifts = (
        _uniform(room, [count] * ndim)[:, :ndim].flatten(2).mT * values["fraction"][:, None, None] * extent[:, None]
    )
    # Landmarks at the middles of equal parts of the frame, in units of distance over the largest extent.
    unit = extent.amax(1)[:, None, None]
    middles = (pixels([count] * ndim, shifts).reshape(-1, ndim) + 0.5) / count
    landmarks = middles * extent[:, None] / unit
    places = landmarks + shifts / unit
    nodes = [max(2, min(size, _NODES * 4 * count)) if size > 1 else 1 for size in moved]
    steps = pixels(nodes, shifts).reshape(-1, ndim)
    last = torch.tensor([max(n - 1, 1) for n in reversed(nodes)], dtype=torch.float64)
    plane_sizes, plane_spacing = room.sizes[:, :ndim], room.spacing[:, :ndim]
    at = steps[None] / last * (plane_sizes - 1)[:, None]
    scaled = (at + 0.5) * plane_spacing[:, None] / unit
    # The spline runs from the result to the source, where images are sampled.
    if ndim == 2:
        weights, affine = get_tps_transform(places, landmarks)
        sampled = warp_points_tps(scaled, landmarks, weights, affine)
    else:
        sampled = _solid_spline(places, landmarks, scaled)
    lattice = ((sampled - scaled) * unit / plane_spacing[:, None]).mT.reshape(room.batch, ndim, *nodes)
    if ndim < room.ndim:
        lattice = torch.cat([lattice, torch.zeros_like(lattice[:, :1])], 1)[:, :, None]
    return room.displacement(lattice)


def _solid_spline(sources: Tensor, targets: Tensor, places: Tensor) -> Tensor:
    """Return where a spline that takes ``sources`` (B, K, 3) to ``targets`` takes places: the kernel is the distance in 3D."""
    batch, count = sources.shape[:2]
    system = sources.new_zeros(batch, count + 4, count + 4)
    system[:, :count, :count] = torch.cdist(sources, sources)
    ones = sources.new_ones(batch, count, 1)
    system[:, :count, count:] = torch.cat([ones, sources], 2)
    system[:, count:, :count] = torch.cat([ones, sources], 2).mT
    wanted = torch.cat([targets, targets.new_zeros(batch, 4, 3)], 1)
    weights = torch.linalg.solve(system, wanted)
    kernel = torch.cdist(places, sources)
    moved: Tensor = kernel @ weights[:, :count] + weights[:, count : count + 1] + places @ weights[:, count + 1 :]
    return moved


def _spline(size: int, grid: float) -> Tensor:
    """Return cubic B-spline weights (nodes, control points) over an axis whose control points are ``grid`` pixels apart."""
    grid = max(grid, 2.0)
    nodes = min(size, ceil((size - 1) / grid * _NODES) + 1) if size > 1 else 1
    at = torch.linspace(0, size - 1, nodes, dtype=torch.float64) / grid
    points = torch.arange(-1, ceil((size - 1) / grid) + 2, dtype=torch.float64)
    distance = (at[:, None] - points[None]).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance) ** 3 / 6
    return torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


def _uniform(room: Room, counts: Sequence[int]) -> Tensor:
    """Draw from -1 to 1, (B, D, *counts)."""
    drawn = [np.random.default_rng(seed).uniform(-1.0, 1.0, (room.ndim, *counts)) for seed in room.seeds]
    return torch.from_numpy(np.stack(drawn))


_STAGES: dict[str, Callable[[Mapping[str, Tensor], Room], Stage]] = {
    "flip": _flip,
    "quarter-turn": _quarter_turn,
    "rotate": _rotate,
    "scale": _scale,
    "shear": _shear,
    "translate": _translate,
    "perspective": _perspective,
    "crop": _crop,
    "resize": _resize,
    "fisheye": _fisheye,
    "elastic": _elastic,
    "thin-plate": _thin_plate,
}
