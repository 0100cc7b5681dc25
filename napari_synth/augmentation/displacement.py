"""Maps between the pixels of a result and the places in the source that they show.

Places are in pixels of the source or the result, in the order (x, y[, z]) of torch and kornia; whole numbers are pixel centres.
A map is a chain of stages in the order of the transforms. `pull` goes from the result to the source, which is how images are
sampled; `push` goes with the content, which is how points move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_synth.augmentation.geometry import STEEPEST

TOLERANCE = 1e-3
"""Most that a point may lie beside its true place after `push`, in pixels."""
_MOST_ITERATIONS = 120
_HORIZON = 1e-3


class Stage(Protocol):
    """One invertible piece of a map."""

    def pull(self, places: Tensor) -> Tensor:
        """Return where places (B, N, D) after the stage come from."""
        ...

    def push(self, places: Tensor) -> Tensor:
        """Return where places (B, N, D) before the stage go."""
        ...


@dataclass(frozen=True)
class Projective:
    """An affine or projective map.

    Attributes
    ----------
    backward : Tensor (B, D + 1, D + 1), float64, on the CPU
        Homogeneous matrix from the result to the source.
    """

    backward: Tensor

    @property
    def affine(self) -> bool:
        """Whether parallel lines stay parallel."""
        last = self.backward[:, -1]
        return bool((last[:, :-1] == 0).all() and (last[:, -1] == 1).all())

    @property
    def whole(self) -> bool:
        """Whether pixels fall on pixels: flips, quarter turns, whole shifts."""
        matrix = self.backward
        return self.affine and bool((matrix == matrix.round()).all() and (matrix[:, :-1, :-1].abs().sum(2) == 1).all())

    def pull(self, places: Tensor) -> Tensor:
        """See `Stage.pull`; what lies beyond the horizon of a perspective comes from far away."""
        return self._moved(self.backward, places)[0]

    def push(self, places: Tensor) -> Tensor:
        """See `Stage.push`; places beyond the horizon of a perspective go nowhere, and are NaN."""
        moved, depth = self._moved(torch.linalg.inv(self.backward), places)
        # The depths of a map and of its inverse are each other's reciprocals.
        return moved if depth is None else torch.where((depth > 0) & (depth < 1 / _HORIZON), moved, torch.nan)

    def _moved(self, matrix: Tensor, places: Tensor) -> tuple[Tensor, Tensor | None]:
        affine, matrix = self.affine, matrix.to(places)
        moved = torch.baddbmm(matrix[:, None, :-1, -1], places, matrix[:, :-1, :-1].mT)
        if affine:
            return moved, None
        depth = torch.baddbmm(matrix[:, None, -1:, -1], places, matrix[:, -1:, :-1].mT)
        return moved / depth.clamp(min=_HORIZON), depth

    def coordinates(self, sizes: Sequence[int], like: Tensor) -> Tensor:
        """Return `pull` of the pixels of a result (B, *sizes, D), whose axes are in the order ([Z,] Y, X)."""
        ndim = len(sizes)
        steps = [
            torch.arange(size, dtype=torch.float64).view([-1 if i == axis else 1 for i in range(ndim)])
            for axis, size in enumerate(sizes)
        ][::-1]
        shape = (-1, *(1 for _ in sizes))

        def row(index: int) -> Tensor:
            total = self.backward[:, index, -1].view(shape).to(like)
            for axis, step in enumerate(steps):
                total = total + (self.backward[:, index, axis].view(shape) * step).to(like)
            return total.expand(-1, *sizes)

        rows = torch.stack([row(index) for index in range(ndim)], -1)
        return rows if self.affine else rows / row(ndim).clamp(min=_HORIZON)[..., None]


@dataclass(frozen=True)
class Displacement:
    """A displacement field, linear between the nodes of a lattice and constant beyond them.

    Attributes
    ----------
    lattice : Tensor (B, D, *nodes), on the CPU
        Displacements in pixels, components in the order (x, y[, z]); its outer nodes are the outer pixels of the frame. Its
        slope is at most `STEEPEST`, so that it has an inverse.
    sizes : tuple of int
        Of the frame, in the order ([Z,] Y, X).
    """

    lattice: Tensor
    sizes: tuple[int, ...]

    @classmethod
    def unfolded(cls, lattice: Tensor, sizes: tuple[int, ...]) -> Displacement:
        """Return the field, weakened where it would fold."""
        slope = lattice.new_zeros(len(lattice))
        for component in lattice.unbind(1):
            total = torch.zeros_like(slope)
            for axis, size in enumerate(sizes, 1):
                nodes = component.shape[axis]
                if nodes > 1:
                    steep = component.diff(dim=axis).abs().flatten(1).amax(1)
                    total = total + steep * (nodes - 1) / max(size - 1, 1)
            slope = torch.maximum(slope, total)
        factor = (STEEPEST / slope.clamp(min=STEEPEST)).view(-1, *(1 for _ in lattice.shape[1:]))
        return cls(lattice * factor, sizes)

    def pull(self, places: Tensor) -> Tensor:
        """See `Stage.pull`."""
        return places + self._at(places)

    def push(self, places: Tensor) -> Tensor:
        """See `Stage.push`: a fixed-point iteration, which contracts since the field is less steep than 1."""
        with torch.no_grad():
            found = places - self._at(places)
            for _ in range(_MOST_ITERATIONS):
                better = places - self._at(found)
                # An error shrinks by the slope at least: what is left is bounded by the last step.
                left = (better - found).abs().nan_to_num().amax() if found.numel() else found.new_zeros(())
                found = better
                if left * STEEPEST / (1 - STEEPEST) < TOLERANCE:
                    break
        return found

    def coordinates(self, sizes: Sequence[int], like: Tensor) -> Tensor:
        """Return `pull` of the pixels of the frame (B, *sizes, D); see `Projective.coordinates`."""
        return self.dense(self.lattice, sizes, like) + pixels(sizes, like)

    @staticmethod
    def dense(lattice: Tensor, sizes: Sequence[int], like: Tensor) -> Tensor:
        """Return the displacement of every pixel of the frame (B, *sizes, D).

        Parameters
        ----------
        lattice : Tensor
            The displacements at the knots, (B, D, *knots).
        sizes : sequence of int
            Of the frame, along its spatial axes.
        like : Tensor
            Whose dtype and device the result gets.
        """
        flat = len(sizes) == 2
        order = torch.channels_last if flat else torch.channels_last_3d
        nodes = lattice.to(like).contiguous(memory_format=order)
        found = F.interpolate(nodes, tuple(sizes), mode="bilinear" if flat else "trilinear", align_corners=True)
        return found.movedim(1, -1)

    def _at(self, places: Tensor) -> Tensor:
        """Return the displacements (B, N, D) at places."""
        ndim = places.shape[-1]
        last = places.new_tensor([max(size - 1, 1) for size in reversed(self.sizes)])
        grid = (places * (2 / last) - 1).view(len(places), *(1 for _ in range(ndim - 1)), -1, ndim)
        lattice = self.lattice.to(places)
        found = F.grid_sample(lattice, grid, mode="bilinear", padding_mode="border", align_corners=True)
        return found.flatten(2).mT


@dataclass(frozen=True)
class Radial:
    """A radial distortion in the plane that leaves the circle through the frame's corners, and all beyond it, in place.

    Attributes
    ----------
    strength : Tensor (B,)
        Between -0.4 and 0.8, where it rises monotonically; content at the centre is magnified by 1 / (1 - strength).
    centre, scale : Tensor (B, 2)
        Of the frame, in pixels; distances are multiplied with ``scale`` so that the corners are at 1.
    """

    strength: Tensor
    centre: Tensor
    scale: Tensor

    def pull(self, places: Tensor) -> Tensor:
        """See `Stage.pull`."""
        aside = self._aside(places)
        square = (aside * aside).sum(-1, keepdim=True).clamp(max=1.0)
        factor = 1 + self.strength[:, None, None].to(places) * (square - 1)
        return self._placed(places, aside * factor)

    def push(self, places: Tensor) -> Tensor:
        """See `Stage.push`: Newton's method on the radius."""
        with torch.no_grad():
            aside = self._aside(places)
            wanted = aside.norm(dim=-1, keepdim=True)
            k = self.strength[:, None, None].to(places)
            inner = wanted.clamp(max=1.0)
            radius = inner
            for _ in range(30):
                value = radius * (1 + k * (radius * radius - 1)) - inner
                radius = (radius - value / (1 - k + 3 * k * radius * radius)).clamp(0.0, 1.0)
            factor = torch.where((wanted > 0) & (wanted < 1), radius / wanted.clamp(min=1e-12), torch.ones_like(wanted))
            factor = torch.where(wanted == 0, torch.zeros_like(factor), factor)
        return self._placed(places, aside * factor)

    def _aside(self, places: Tensor) -> Tensor:
        return (places[..., :2] - self.centre[:, None].to(places)) * self.scale[:, None].to(places)

    def _placed(self, places: Tensor, aside: Tensor) -> Tensor:
        plane = aside / self.scale[:, None].to(places) + self.centre[:, None].to(places)
        return torch.cat([plane, places[..., 2:]], -1)


@dataclass(frozen=True)
class SamplingMap:
    """A chain of stages between a source and a result.

    Attributes
    ----------
    stages : tuple of Stage
        In the order of the transforms.
    sizes, result : tuple of int
        Pixels of source and result along ([Z,] Y, X). The sources of a batch may differ in size where ``sizes`` is not needed.
    inverted : bool
        Whether source and result have changed places.
    """

    stages: tuple[Stage, ...]
    sizes: tuple[int, ...]
    result: tuple[int, ...]
    batch: int = 1
    inverted: bool = False

    @classmethod
    def of(cls, stages: Sequence[Stage], sizes: tuple[int, ...], result: tuple[int, ...], batch: int) -> SamplingMap:
        """Return the map of these stages, neighbouring matrices multiplied into one.

        Parameters
        ----------
        stages : sequence of Stage
            In the order in which they are applied.
        sizes : tuple of int
            Of the source, along its spatial axes.
        result : tuple of int
            Of the result.
        batch : int
            Items of the batch.
        """
        fused: list[Stage] = []
        for stage in stages:
            last = fused[-1] if fused else None
            if isinstance(stage, Projective) and isinstance(last, Projective):
                fused[-1] = Projective(last.backward @ stage.backward)
            else:
                fused.append(stage)
        return cls(tuple(fused), sizes, result, batch)

    def inverse(self) -> SamplingMap:
        """Return the map from the result back to the source."""
        return SamplingMap(self.stages, self.result, self.sizes, self.batch, not self.inverted)

    @property
    def whole(self) -> bool:
        """Whether pixels fall on pixels."""
        if not self.stages:
            return True
        only = self.stages[0]
        return len(self.stages) == 1 and isinstance(only, Projective) and only.whole

    @property
    def straight(self) -> bool:
        """Whether straight lines stay straight."""
        return all(isinstance(stage, Projective) for stage in self.stages)

    def pull(self, places: Tensor) -> Tensor:
        """Return where places (B, N, D) of the result come from."""
        return self._forth(places) if self.inverted else self._back(places)

    def push(self, places: Tensor) -> Tensor:
        """Return where places (B, N, D) of the source go; NaN for what goes nowhere."""
        return self._back(places) if self.inverted else self._forth(places)

    def _back(self, places: Tensor) -> Tensor:
        for stage in reversed(self.stages):
            places = stage.pull(places)
        return places

    def _forth(self, places: Tensor) -> Tensor:
        for stage in self.stages:
            places = stage.push(places)
        return places

    def coordinates(self, like: Tensor) -> Tensor:
        """Return where every pixel of the result comes from, (B, *result, D), on the device and of the dtype of ``like``."""
        if self.inverted or not self.stages:
            plain = pixels(self.result, like)
            flat = self.pull(plain.view(1, -1, plain.shape[-1]).expand(self.batch, -1, -1))
            return flat.view(self.batch, *self.result, len(self.result))
        *rest, last = self.stages
        before = rest[-1] if rest else None
        if isinstance(last, Displacement) and isinstance(before, Projective) and before.affine:
            # A matrix after a field is the matrix of the pixels plus that of the nodes, of which there are few.
            turned = torch.einsum("bij,bj...->bi...", before.backward[:, :-1, :-1].to(last.lattice), last.lattice)
            grid = before.coordinates(self.result, like) + last.dense(turned, self.result, like)
            rest.pop()
        elif isinstance(last, (Projective, Displacement)):
            grid = last.coordinates(self.result, like)
        else:
            plain = pixels(self.result, like)
            grid = plain.expand(self.batch, *plain.shape)
            rest.append(last)
        flat = grid.reshape(self.batch, -1, grid.shape[-1])
        for stage in reversed(rest):
            flat = stage.pull(flat)
        return flat.view(grid.shape)


def pixels(sizes: Sequence[int], like: Tensor) -> Tensor:
    """Return the places of all pixels, (*sizes, D) in the order (x, y[, z])."""
    axes = [torch.arange(size, dtype=like.dtype, device=like.device) for size in sizes]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)
