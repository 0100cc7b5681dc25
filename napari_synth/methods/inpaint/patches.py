"""Fills holes with what the image shows elsewhere: patches of the rim are looked for in the intact part, from coarse to fine.

At the coarsest of several levels the hole is peeled like an onion: the patches at its rim, as far as they are known, are replaced
by the most alike intact ones. Then, level by level, every patch that touches the hole looks for the most alike intact patch, and
every pixel of the hole becomes the weighted mean of what these say. What is looked for are intensities and the strength of the
texture. A last pass hardly listens to any but the best patches, which leaves the result as sharp as the image.

Patches tell texture and edges better than brightness over a distance. Where it is asked for, what varies slowly is therefore taken
out before and put back behind, and the smooth part of the result is mixed with that of a guide: the smooth surface through the
hole, or what a network makes of it.

Arrays are flat: pixels are rows of features, places are positions in the flat image, and the patch around a place is found by
adding offsets. Planes are volumes of one plane; a patch may be flat in a volume, which is then searched in all its planes.

References
----------
Wexler, Shechtman & Irani, "Space-time completion of video", IEEE TPAMI 2007; Newson et al., "Video inpainting of complex scenes",
SIAM J. Imaging Sciences 2014; Barnes et al., "PatchMatch", ACM TOG 2009.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional

Size = tuple[int, int, int]

_TEXTURE_WEIGHT = 10.0
_TEXTURE_WINDOW = 7
_FEWEST_SOURCES = 32
# Multiplications up to which all intact patches are compared: beyond, PatchMatch is faster and nearly as good.
_MOST_EXACT = 3e9
_CHUNK = 2**22
_STEPS = (1, 2, 4)
_SWEEPS = 2
_SETTLED = 1e-3
# Standard deviation in pixels of what is too smooth for patches to tell.
_BASE = 16.0


@dataclass(frozen=True)
class Search:
    """How patches are looked for.

    Attributes
    ----------
    radius : tuple of int
        Of a patch along each axis (A, Y, X); a patch of radius 0 along the first is flat.
    rounds : int
        How often patches are looked for and put together, at each level; fewer at finer levels.
    sharpness : float
        How much more the best patches count in the last pass.
    level : bool
        Whether what varies slowly is taken out before and put back behind.
    """

    radius: Size = (0, 3, 3)
    rounds: int = 10
    sharpness: float = 20.0
    level: bool = False


def copied(
    pixels: Tensor,
    holes: Tensor,
    sources: Tensor,
    search: Search,
    generator: torch.Generator,
    check: Callable[[], None] = lambda: None,
) -> Tensor:
    """Fill the holes of a crop with texture, where they have been filled smoothly before; they stay so where no patch is intact.

    Parameters and result are those of `complete`.

    Parameters
    ----------
    pixels, holes, sources, search, generator, check
        As for `complete`.
    """
    base = _blurred(pixels, _BASE) if search.level else torch.zeros_like(pixels)
    detail = complete(pixels - base, holes, sources, search, generator, check)
    return pixels if detail is None else torch.where(holes, detail + base, pixels)


def levelled(rough: Tensor, guide: Tensor, holes: Tensor, share: float, spread: float) -> Tensor:
    """Return a texture that varies slowly as a guide does.

    Parameters
    ----------
    rough, guide : torch.Tensor, (C, A, Y, X)
        They are the same outside the holes.
    holes : torch.Tensor of bool, (A, Y, X)
    share : float
        Of the guide.
    spread : float
        Standard deviation in pixels of the Gaussian that leaves what varies slowly.
    """
    return torch.where(holes, rough + share * _blurred(guide - rough, spread), rough) if share else rough


def complete(
    pixels: Tensor,
    holes: Tensor,
    sources: Tensor,
    search: Search,
    generator: torch.Generator,
    check: Callable[[], None] = lambda: None,
) -> Tensor | None:
    """Fill the holes of a crop.

    Parameters
    ----------
    pixels : torch.Tensor, (C, A, Y, X), float32
    holes : torch.Tensor of bool, (A, Y, X)
        Pixels to be filled.
    sources : torch.Tensor of bool, (A, Y, X)
        Pixels that may be copied; none of the holes.
    search : Search
    generator : torch.Generator
        On the device of the pixels.
    check : callable
        Called now and then; stops the work where it raises.

    Returns
    -------
    torch.Tensor, (C, A, Y, X), or None
        None where no patch, or hardly any, is intact.
    """
    levels = _pyramid(pixels, holes, sources, search)
    while levels and len(levels[-1].places) < _FEWEST_SOURCES:
        levels.pop()
    if not levels:
        return None
    level = _peeled(levels.pop(), check)
    field, apart = level.compared(level.targets, None, check)
    level = level.voted(field, apart)
    while True:
        for _ in range(search.rounds if levels else max(1, search.rounds // 2)):
            check()
            field, apart = level.searched(field, generator, check)
            before = level.features[level.unknown]
            level = level.voted(field, apart)
            if float((level.features[level.unknown] - before).abs().mean()) < _SETTLED:
                break
        if not levels:
            break
        field, level = _finer(level, levels[-1], field, generator), levels.pop()
        level = level.voted(field, None)
    field, apart = level.searched(field, generator, check)
    return level.voted(field, apart, search.sharpness).image(len(pixels))


@dataclass(frozen=True)
class _Level:
    """A crop at one resolution.

    Attributes
    ----------
    shape, radius : tuple of int
        Of the crop and of a patch along (A, Y, X).
    features : Tensor, (A * Y * X, F)
    unknown : Tensor, (n_unknown,)
        Places that are to be filled.
    targets : Tensor, (n_targets,)
        Centres of the patches that touch a hole.
    number : Tensor, (A * Y * X,)
        The index among the targets of every place, -1 for none.
    places : Tensor, (n_places,)
        Centres of intact patches.
    intact : Tensor of bool, (A * Y * X,)
        Which places are.
    offsets : Tensor, (K,)
        Of the pixels of a patch from its centre.
    voters : Tensor, (n_unknown, K)
        Index of the target whose patch covers an unknown pixel with its k-th pixel, -1 for none.
    """

    shape: Size
    radius: Size
    features: Tensor
    unknown: Tensor
    targets: Tensor
    number: Tensor
    places: Tensor
    intact: Tensor
    offsets: Tensor
    voters: Tensor

    @classmethod
    def of(cls, features: Tensor, holes: Tensor, sources: Tensor, radius: Size) -> _Level:
        """Return the level of an image of features (F, A, Y, X)."""
        shape = (holes.shape[0], holes.shape[1], holes.shape[2])
        inner = torch.zeros_like(holes)
        inner[tuple(slice(r, size - r) for r, size in zip(radius, shape, strict=True))] = True
        intact = (inner & ~_grown(~sources, radius)).reshape(-1)
        targets = (inner & _grown(holes, radius)).reshape(-1).nonzero().squeeze(1)
        number = torch.full((holes.numel(),), -1, dtype=torch.long, device=holes.device)
        number[targets] = torch.arange(len(targets), device=holes.device)
        reach = [torch.arange(-r, r + 1, device=holes.device) for r in radius]
        strides = (shape[1] * shape[2], shape[2], 1)
        offsets = sum(
            (axis * stride for axis, stride in zip(torch.meshgrid(*reach, indexing="ij"), strides, strict=True)),
            torch.zeros((), dtype=torch.long, device=holes.device),
        ).reshape(-1)
        unknown = holes.reshape(-1).nonzero().squeeze(1)
        centres = unknown[:, None] - offsets
        voters = torch.where(
            (centres >= 0) & (centres < holes.numel()), number[centres.clamp(0, holes.numel() - 1)], -1
        )
        return cls(
            shape,
            radius,
            features.flatten(1).T.contiguous(),
            unknown,
            targets,
            number,
            intact.nonzero().squeeze(1),
            intact,
            offsets,
            voters,
        )

    @property
    def axes(self) -> tuple[tuple[int, int, int], ...]:
        """Distance of neighbours in the flat image, size and radius of a patch, along each axis."""
        strides = (self.shape[1] * self.shape[2], self.shape[2], 1)
        return tuple(zip(strides, self.shape, self.radius, strict=True))

    @property
    def _chunk(self) -> int:
        """Patches that are looked at together."""
        return max(1, _CHUNK // (len(self.offsets) * self.features.shape[1]))

    def image(self, channels: int) -> Tensor:
        """Return the first features as an image (C, A, Y, X)."""
        return self.features[:, :channels].T.reshape(channels, *self.shape)

    def patches(self, centres: Tensor) -> Tensor:
        """Return the features (n, K * F) of the patches around centres."""
        found = self.features.index_select(0, (centres[:, None] + self.offsets).reshape(-1))
        return found.reshape(len(centres), -1)

    def distances(self, targets: Tensor, places: Tensor) -> Tensor:
        """Return the mean squared difference (n,) of the patches around targets from those around places."""
        return torch.cat(
            [
                (self.patches(here) - self.patches(there)).square_().mean(1)
                for here, there in zip(torch.split(targets, self._chunk), torch.split(places, self._chunk), strict=True)
            ]
        )

    def searched(self, field: Tensor, generator: torch.Generator, check: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """Return for each target the most alike intact place, and how different it is; ``field`` is what was found before."""
        work = float(len(self.targets)) * len(self.places) * len(self.offsets) * self.features.shape[1]
        if work <= _MOST_EXACT:
            return self.compared(self.targets, None, check)
        return self._matched(field, generator, check)

    def compared(self, centres: Tensor, known: Tensor | None, check: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """Compare patches with all intact ones; where ``known`` (A * Y * X,) is given, by those pixels alone."""
        width = self.features.shape[1]
        wanted = self.patches(centres)
        weight = None
        if known is not None:
            weight = known[(centres[:, None] + self.offsets)].to(wanted.dtype).repeat_interleave(width, 1)
            wanted = wanted * weight
        best = torch.full((len(centres),), torch.inf, device=wanted.device)
        found = torch.zeros(len(centres), dtype=torch.long, device=wanted.device)
        step = max(1, min(_CHUNK // wanted.shape[1], 4 * _CHUNK // max(1, len(centres))))
        for places in torch.split(self.places, step):
            check()
            there = self.patches(places)
            apart = torch.mm(wanted, there.T).mul_(-2.0)
            apart += there.square().sum(1) if weight is None else torch.mm(weight, there.square().T)
            low, at = apart.min(1)
            nearer = low < best
            best = torch.where(nearer, low, best)
            found = torch.where(nearer, places[at], found)
        best = (best + wanted.square().sum(1)).clamp_min(0.0)
        return found, best / (wanted.shape[1] if weight is None else weight.sum(1).clamp_min(1.0))

    def _matched(self, field: Tensor, generator: torch.Generator, check: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """Improve a field by PatchMatch: what neighbours found, moved along, and places drawn ever nearer."""
        limit = len(self.intact) - 1
        best = self.distances(self.targets, field)
        for _ in range(_SWEEPS):
            check()
            for step in _STEPS:
                for move in (sign * step * stride for stride, size, _ in self.axes if size > 1 for sign in (1, -1)):
                    near = self.number[(self.targets - move).clamp(0, limit)]
                    tried = torch.where(near >= 0, field[near.clamp_min(0)] + move, -1)
                    field, best = self._better(field, best, tried)
            reach = max(self.shape)
            while reach >= 1:
                moved = field.clone()
                for stride, size, _ in self.axes:
                    span = min(reach, size - 1)
                    moved += stride * torch.randint(
                        -span, span + 1, field.shape, generator=generator, device=field.device
                    )
                field, best = self._better(field, best, moved)
                reach //= 2
        return field, best

    def _better(self, field: Tensor, best: Tensor, tried: Tensor) -> tuple[Tensor, Tensor]:
        """Take what was tried where it is an intact place and more alike."""
        limit = len(self.intact) - 1
        possible = (tried >= 0) & (tried <= limit) & self.intact[tried.clamp(0, limit)] & (tried != field)
        which = possible.nonzero().squeeze(1)
        if not len(which):
            return field, best
        tried = tried[which]
        apart = self.distances(self.targets[which], tried)
        nearer = apart < best[which]
        changed = which[nearer]
        field, best = field.clone(), best.clone()
        field[changed], best[changed] = tried[nearer], apart[nearer]
        return field, best

    def voted(self, field: Tensor, apart: Tensor | None, sharpness: float = 1.0) -> _Level:
        """Return the level with every unknown pixel put together from what the patches over it say.

        The better ones, by how far ``apart`` they are, count more, and the more so the larger ``sharpness`` is.
        """
        parts = []
        for voters in torch.split(self.voters, self._chunk):
            says = voters >= 0
            index = voters.clamp_min(0)
            votes = self.features[field[index] + self.offsets]
            weight = says.to(votes.dtype)
            if apart is not None:
                distance = torch.where(says, apart[index], torch.inf)
                least = distance.amin(1, keepdim=True)
                scale = _percentile(distance, says, 0.75).clamp_min(1e-8)
                weight = torch.exp(-sharpness * (distance - least) / (2.0 * scale))
            parts.append((votes * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp_min(1e-12))
        features = self.features.clone()
        features[self.unknown] = torch.cat(parts)
        return replace(self, features=features)


def _percentile(distance: Tensor, says: Tensor, share: float) -> Tensor:
    """Return the percentile (n, 1) of the distances (n, K) that count."""
    ordered = distance.sort(1).values
    at = ((says.sum(1, keepdim=True) - 1) * share).long().clamp_min(0)
    return ordered.gather(1, at)


def _peeled(level: _Level, check: Callable[[], None]) -> _Level:
    """Fill a level from the rim inwards, each layer with what fits what is known so far."""
    known = torch.ones(len(level.features), dtype=torch.bool, device=level.features.device)
    known[level.unknown] = False
    while not bool(known.all()):
        check()
        rim = (_grown(known.reshape(level.shape), (1, 1, 1)).reshape(-1) & ~known).nonzero().squeeze(1)
        centres = rim.clone()
        for stride, size, radius in level.axes:
            along = rim // stride % size
            centres += stride * (along.clamp(radius, size - 1 - radius) - along)
        found, _ = level.compared(centres, known, check)
        features = level.features.clone()
        features[rim] = features[found + rim - centres]
        level = replace(level, features=features)
        known[rim] = True
    return level


def _finer(coarse: _Level, fine: _Level, field: Tensor, generator: torch.Generator) -> Tensor:
    """Return a coarse field at the next finer level: a target keeps its distance from what its parent found."""
    parent = torch.zeros_like(fine.targets)
    steps = []
    for (stride, size, _), (coarse_stride, coarse_size, radius) in zip(fine.axes, coarse.axes, strict=True):
        ratio = -(-size // coarse_size)
        along = fine.targets // stride % size
        # The parent of what is near the border has no patch: the nearest that has one stands for it.
        above = (along // ratio).clamp(radius, coarse_size - 1 - radius)
        parent += above * coarse_stride
        steps.append(along - above * ratio)
    number = coarse.number[parent]
    found = field[number.clamp_min(0)]
    place = torch.zeros_like(found)
    for (stride, size, _), (coarse_stride, coarse_size, _), step in zip(fine.axes, coarse.axes, steps, strict=True):
        ratio = -(-size // coarse_size)
        place += stride * (found // coarse_stride % coarse_size * ratio + step).clamp(0, size - 1)
    drawn = fine.places[torch.randint(len(fine.places), place.shape, generator=generator, device=place.device)]
    return torch.where((number >= 0) & fine.intact[place], place, drawn)


def _pyramid(pixels: Tensor, holes: Tensor, sources: Tensor, search: Search) -> list[_Level]:
    """Return the levels, the finest first, down to where the holes are hardly larger than a patch."""
    features = torch.cat((pixels, _texture(pixels, ~holes) * _TEXTURE_WEIGHT**0.5)) * ~holes
    a, y, x = search.radius
    levels = []
    while True:
        levels.append(_Level.of(features, holes, sources, search.radius))
        is_covered = bool(_grown(~holes, (2 * a, 2 * y, 2 * x)).all())
        if is_covered or min(holes.shape[1:]) < 8 * max(y, x):
            return levels
        factor = (2 if a and holes.shape[0] >= 8 * a else 1, 2, 2)
        features, holes, sources = _halved(features, holes, sources, factor)


def _halved(features: Tensor, holes: Tensor, sources: Tensor, factor: Size) -> tuple[Tensor, Tensor, Tensor]:
    """Return everything at half the resolution; the mean is that of the known pixels."""

    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool3d(values, factor, ceil_mode=True, count_include_pad=False)

    share = mean((~holes).to(features.dtype)[None])
    shrunk = mean(features * ~holes) / share.clamp_min(1e-6)
    holes = share[0] < 0.5
    return shrunk * ~holes, holes, (mean(sources.to(features.dtype)[None])[0] > 1.0 - 1e-4) & ~holes


def _texture(pixels: Tensor, known: Tensor) -> Tensor:
    """Return how strong the gradients along Y and X are around each pixel, (2, A, Y, X)."""
    weight = known.to(pixels.dtype)
    found = []
    for axis, pad in ((1, (0, 0, 0, 1)), (2, (0, 1))):
        both = weight.narrow(axis, 1, weight.shape[axis] - 1) * weight.narrow(axis, 0, weight.shape[axis] - 1)
        steps = functional.pad(pixels.diff(dim=axis + 1).abs().mean(0) * both, pad)
        total, share = (
            functional.avg_pool2d(values[:, None], _TEXTURE_WINDOW, stride=1, padding=_TEXTURE_WINDOW // 2)[:, 0]
            for values in (steps, functional.pad(both, pad))
        )
        found.append(total / share.clamp_min(1e-6))
    return torch.stack(found)


def _blurred(pixels: Tensor, sigma: float) -> Tensor:
    """Return planes of pixels (C, A, Y, X) after a Gaussian blur of this standard deviation in pixels."""
    size = 2 * round(3 * sigma) + 1
    return gaussian_blur2d(pixels, (size, size), (sigma, sigma), border_type="replicate")


def _grown(mask: Tensor, radius: Size) -> Tensor:
    """Return the mask with every pixel that has one of it within a box of this radius."""
    grown = mask.to(torch.float32)[None, None]
    size = [2 * r + 1 for r in radius]
    return functional.max_pool3d(grown, size, stride=1, padding=radius)[0, 0] > 0
