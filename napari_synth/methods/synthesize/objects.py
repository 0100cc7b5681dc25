"""Learns from labels what objects are like and how they lie, and draws new labels.

Shapes are outlines as Fourier series, drawn anew by the smoothed bootstrap: each is like one that was seen, and like none exactly.
Where objects lie is annealed until the gaps to their nearest neighbours are those that were seen.

References
----------
Kuhl and Giardina, "Elliptic Fourier features of a closed contour", Computer Graphics and Image Processing 1982; Silverman, "Density
estimation for statistics and data analysis", 1986, section 6.4 (the smoothed bootstrap); Baddeley and Gill, "Kaplan-Meier
estimators of distance distributions for spatial point processes", Annals of Statistics 1997; Yeong and Torquato, "Reconstructing
random media", Physical Review E 1998 (annealing until statistics are met).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from skimage.draw import polygon
from skimage.measure import find_contours, label, points_in_poly, regionprops

from napari_synth.core.errors import TrainingDataError

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex128]

HARMONICS = 8
NEIGHBOURS = 3
"""How many of the nearest ones are looked at."""
FEWEST = 8
"""Objects that lie wholly inside an image, below which nothing can be learnt of them."""
_MOST_OBJECTS = 256
_SMALLEST = 6
_POINTS = 24
_WINDOWS = (32, 64, 96, 128, 192, 256, 384, 512)
_QUANTILES = 33
# Of the annealing: moves for each object, the share of them that go anywhere, how much worse they may be, and what overlap costs.
_MOVES, _FAR, _WARMTH, _OVERLAP = 50, 0.3, 0.05, 100.0
# How many moves those around get for one of those inside.
_AROUND = 0.2
# How far drawn objects may be from those that were seen, in shares of the spread of all.
_MOST_SMOOTH = 0.4
# Pixels to a neighbour where nobody has one.
_FAR_AWAY = 1e3
# Of the nearest ones, distances are measured from outline to outline.
_NEAR = 8


@dataclass(frozen=True)
class ObjectStatistics:
    """What is known of the objects of labels.

    Attributes
    ----------
    outlines : numpy.ndarray, (N, 2 * HARMONICS), complex128
        Fourier coefficients of the outlines, from ``-HARMONICS`` to ``HARMONICS`` without 0, of area 1, the longer axis along X.
    areas, angles : numpy.ndarray, (N,)
        Pixels; radians from X to Y.
    weights : numpy.ndarray, (N,)
        Sum 1: large objects are cut by the border more often, and so seen more seldom.
    gaps : numpy.ndarray, (NEIGHBOURS, Q)
        Quantiles of the pixels between an object's outline and those of its nearest ones.
    densities : mapping of int to numpy.ndarray, (Q,)
        Quantiles of the number of objects a pixel, in square windows of that edge.
    turns : bool
        Whether objects may lie in any direction, and be mirrored; else as those that were seen.
    """

    outlines: Complexes
    areas: Floats
    angles: Floats
    weights: Floats
    gaps: Floats
    densities: Mapping[int, Floats]
    turns: bool = True

    @classmethod
    def of(cls, planes: Sequence[Labels], *, turns: bool = True) -> ObjectStatistics:
        """Look at planes of labels (Y, X), 0 being the background.

        Parameters
        ----------
        planes : sequence of numpy.ndarray, (Y, X)
        turns : bool
            See `ObjectStatistics`.

        Raises
        ------
        TrainingDataError
            Fewer than `FEWEST` objects lie wholly inside.
        """
        seen = [outlined(plane) for plane in planes]
        whole = [one for objects in seen for one in objects if one.weight > 0]
        if len(whole) < FEWEST:
            raise TrainingDataError(
                f"Only {len(whole)} objects lie wholly inside the labels: new labels are learnt from {FEWEST} at least."
            )
        some = np.linspace(0, len(whole) - 1, min(len(whole), _MOST_OBJECTS)).round().astype(int)
        kept = [whole[i] for i in some]
        weights = np.array([one.weight for one in kept])
        return cls(
            np.stack([one.coefficients for one in kept]),
            np.array([one.area for one in kept]),
            np.array([one.angle for one in kept]),
            weights / weights.sum(),
            _gap_quantiles(seen),
            _densities(planes),
            turns,
        )

    def record(self) -> dict[str, Any]:
        """Return it as plain JSON types, for the card of a model."""
        parts = np.stack((self.outlines.real, self.outlines.imag), -1)
        return {
            "outlines": parts.round(5).tolist(),
            "areas": self.areas.round(2).tolist(),
            "angles": self.angles.round(3).tolist(),
            "weights": self.weights.tolist(),
            "gaps": self.gaps.round(3).tolist(),
            "densities": {str(edge): found.tolist() for edge, found in self.densities.items()},
            "turns": self.turns,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ObjectStatistics:
        """Take up what `record` returned; KeyError, TypeError or ValueError where it is something else."""
        parts = np.array(record["outlines"], float)
        count = len(parts)
        areas, angles, weights = (np.array(record[name], float) for name in ("areas", "angles", "weights"))
        gaps = np.array(record["gaps"], float)
        densities = {int(edge): np.array(found, float) for edge, found in record["densities"].items()}
        if (
            parts.shape != (count, 2 * HARMONICS, 2)
            or not 0 < count <= _MOST_OBJECTS
            or any(one.shape != (count,) for one in (areas, angles, weights))
            or gaps.shape != (NEIGHBOURS, _QUANTILES)
            or not densities
            or any(one.shape != (_QUANTILES,) or one.max() > 1 for one in densities.values())
            or not all(np.isfinite(one).all() for one in (parts, areas, angles, weights, gaps, *densities.values()))
            or not (areas > 0).all()
            or not (weights >= 0).all()
            or not weights.sum() > 0
        ):
            raise ValueError("No objects can be like that.")
        return cls(
            parts[..., 0] + 1j * parts[..., 1],
            areas,
            angles,
            weights / weights.sum(),
            gaps,
            densities,
            bool(record["turns"]),
        )

    def draw(self, size: tuple[int, int], rng: np.random.Generator, check: Callable[[], None] | None = None) -> Labels:
        """Draw new labels.

        Parameters
        ----------
        size : (int, int)
            Height and width in pixels.
        rng : numpy.random.Generator
            The same state gives the same labels.
        check : callable, optional
            Called now and then; may raise.

        Returns
        -------
        numpy.ndarray, (Y, X), int64
            0 for the background, objects from 1; those at the border are cut by it.
        """
        density = self._density(size, rng)
        # What lies around the image reaches into it, and is a neighbour of what lies inside.
        around = int(np.ceil(np.sqrt(self.areas.max()) + min(float(self.gaps[1, _QUANTILES // 2]), max(size))))
        canvas = (size[0] + 2 * around, size[1] + 2 * around)
        inside = _whole(density * size[0] * size[1], rng)
        outside = _whole(density * (canvas[0] * canvas[1] - size[0] * size[1]), rng)
        shapes = self._shapes(inside + outside, rng)
        placed = _Placement(shapes, inside, canvas, around, self.gaps, rng).settled(check)
        drawn = np.zeros(size, np.int64)
        for number in rng.permutation(len(placed)):
            points = placed[number] - around
            rows, columns = polygon(points.imag, points.real, size)
            free = drawn[rows, columns] == 0
            drawn[rows[free], columns[free]] = number + 1
        found, numbers = np.unique(drawn, return_inverse=True)
        return numbers.reshape(size).astype(np.int64) + (0 if 0 in found else 1)

    def _density(self, size: tuple[int, int], rng: np.random.Generator) -> float:
        """Draw how many objects a pixel has: the mean over as many windows as the image is large."""
        fitting = [edge for edge in self.densities if edge <= min(size)]
        edge = max(fitting) if fitting else min(self.densities)
        windows = max(1, round(size[0] * size[1] / edge**2))
        return float(_at(self.densities[edge], rng.random(windows)).mean())

    def _shapes(self, count: int, rng: np.random.Generator) -> list[Complexes]:
        """Draw outlines (P,) about 0, as complex numbers X + iY."""
        smooth = self._smoothness
        known = np.concatenate((np.log(self.areas)[:, None], self.outlines.real, self.outlines.imag), 1)
        middle = self.weights @ known
        apart = known - middle
        shapes = []
        for _ in range(count):
            one = int(rng.choice(len(known), p=self.weights))
            # Of the same covariance as what was seen, so that the sum divided by its length has it, too.
            noise = (rng.normal(size=len(known)) * np.sqrt(self.weights)) @ apart
            for share in (smooth, 0.0):
                found = middle + (apart[one] + share * noise) / np.sqrt(1.0 + share**2)
                real, imaginary = np.split(found[1:], 2)
                outline = _points(real + 1j * imaginary, _POINTS)
                area = _signed_area(outline)
                if area > 0.25:
                    break
            outline = outline * np.sqrt(np.exp(found[0]) / area)
            if self.turns:
                angle = rng.uniform(0, 2 * np.pi)
                outline = outline.conj()[::-1] if rng.random() < 0.5 else outline
            else:
                angle = self.angles[one] + np.pi * rng.integers(2)
            shapes.append(outline * np.exp(1j * angle))
        return shapes

    @property
    def _smoothness(self) -> float:
        """Silverman's rule, of as many dimensions as there are to the covariance."""
        known = np.concatenate((self.outlines.real, self.outlines.imag), 1)
        spread = np.linalg.svd(known - known.mean(0), compute_uv=False) ** 2
        dimensions = spread.sum() ** 2 / max(float((spread**2).sum()), 1e-12)
        return float(min(_MOST_SMOOTH, (4.0 / (len(known) * (dimensions + 2.0))) ** (1.0 / (dimensions + 4.0))))


@dataclass(frozen=True)
class Outlined:
    """One object of labels.

    Attributes
    ----------
    coefficients : numpy.ndarray, (2 * HARMONICS,), complex128
    area, angle : float
    points : numpy.ndarray, (P,), complex128
        Of its outline, in pixels: X + iY.
    border : float
        Pixels from its outline to the border of the image.
    weight : float
        How many such objects it stands for, since the border cuts others; 0 for one that it cuts.
    """

    coefficients: Complexes
    area: float
    angle: float
    points: Complexes
    border: float
    weight: float


def outlined(plane: Labels) -> list[Outlined]:
    """Return the objects of a plane of labels (Y, X): of each label its largest region, without holes, small ones left out."""
    height, width = plane.shape
    found = []
    for region in regionprops(plane):
        mask = region.image
        pieces = label(mask, connectivity=1)
        if pieces.max() > 1:
            mask = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
        if int(mask.sum()) < _SMALLEST:
            continue
        contour = max(find_contours(np.pad(mask, 1).astype(float), 0.5), key=len)
        top, left, bottom, right = region.bbox
        outline = _evenly(contour[:-1, 1] + left - 1 + 1j * (contour[:-1, 0] + top - 1), 4 * HARMONICS)
        outline = outline if _signed_area(outline) > 0 else outline[::-1]
        coefficients, angle = _normal(outline)
        points = _evenly(outline, _POINTS)
        border = float(
            min(points.real.min(), points.imag.min(), width - 1 - points.real.max(), height - 1 - points.imag.max())
        )
        cut = top == 0 or left == 0 or bottom == height or right == width
        free = max((height - (bottom - top)) * (width - (right - left)), 1)
        # Its pixels, since the polygon through their middles cuts the corners.
        found.append(
            Outlined(
                coefficients,
                float(mask.sum()),
                angle,
                points,
                max(border, 0.0),
                0.0 if cut else height * width / free,
            )
        )
    return found


def gaps_of(objects: Sequence[Outlined]) -> Floats:
    """Return the pixels (N, NEIGHBOURS) from each object's outline to those of its nearest ones; infinite where there are fewer."""
    apart = _apart([one.points for one in objects])
    count = len(objects)
    padded = np.concatenate((apart, np.full((count, NEIGHBOURS), np.inf)), 1)
    found: Floats = np.sort(padded, axis=1)[:, :NEIGHBOURS]
    return found


def _gap_quantiles(seen: Sequence[Sequence[Outlined]]) -> Floats:
    """Return quantiles of the gaps: an object nearer to the border than to its neighbour may have one that is nearer still."""
    gaps, borders = [], []
    for objects in seen:
        gaps.append(gaps_of(objects))
        borders += [one.border if one.weight > 0 else 0.0 for one in objects]
    every, limit = np.concatenate(gaps), np.array(borders)
    found = []
    for nth in range(NEIGHBOURS):
        known = np.minimum(every[:, nth], limit)
        order = np.argsort(known, kind="stable")
        events = (every[:, nth] <= limit)[order]
        survival = np.cumprod(np.where(events, 1.0 - 1.0 / np.arange(len(known), 0, -1), 1.0))
        if not events.any():
            finite = every[np.isfinite(every[:, nth]), nth]
            found.append(np.full(_QUANTILES, np.median(finite) if len(finite) else _FAR_AWAY))
            continue
        # What is never seen to have a neighbour is taken to have the farthest one that was seen.
        found.append(np.interp(np.linspace(0, 1, _QUANTILES), 1.0 - survival[events], known[order][events]))
    return np.stack(found)


def _densities(planes: Sequence[Labels]) -> dict[int, Floats]:
    """Return quantiles of the number of objects a pixel, for each edge of a window that all planes hold."""
    least = min(min(plane.shape) for plane in planes)
    found = {}
    for edge in sorted({*(one for one in _WINDOWS if one <= least), least}):
        counts: list[Floats] = []
        for plane in planes:
            middles = np.zeros(plane.shape)
            for region in regionprops(plane):
                if region.area >= _SMALLEST:
                    middles[tuple(round(at) for at in region.centroid)] += 1
            total = np.pad(middles, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
            sums = total[edge:, edge:] - total[:-edge, edge:] - total[edge:, :-edge] + total[:-edge, :-edge]
            counts.append(sums.ravel() / edge**2)
        every = np.concatenate(counts)
        # Means of equal shares of the windows, so that the mean over quantiles is that over windows.
        ranks = np.sort(every)[np.linspace(0, len(every) - 1, 64 * _QUANTILES).round().astype(int)]
        found[edge] = ranks.reshape(_QUANTILES, -1).mean(1)
    return found


class _Placement:
    """Moves objects until their gaps are those that are wanted.

    Parameters
    ----------
    shapes : list of numpy.ndarray, (P,)
        Outlines about 0.
    inside : int
        How many of them, the first ones, lie in the image; the others lie around it.
    canvas : (int, int)
        Height and width of both together.
    around : int
        Pixels from the border of the canvas to the image.
    gaps : numpy.ndarray, (NEIGHBOURS, Q)
    rng : numpy.random.Generator
    """

    def __init__(
        self,
        shapes: list[Complexes],
        inside: int,
        canvas: tuple[int, int],
        around: int,
        gaps: Floats,
        rng: np.random.Generator,
    ) -> None:
        self.shapes, self.inside, self.canvas, self.around, self.rng = shapes, inside, canvas, around, rng
        self.places = np.array([self._anywhere(number) for number in range(len(shapes))], complex)
        shares = np.sort(rng.random(inside))
        self.wanted = [np.sort(_at(one, shares)) for one in gaps]
        self.outlines = np.stack(shapes) if shapes else np.empty((0, _POINTS), complex)
        self.reach = np.array([np.abs(one).max() for one in shapes])

    def settled(self, check: Callable[[], None] | None = None) -> list[Complexes]:
        """Return the outlines where they lie at the end; ``check`` is called now and then, and may raise."""
        count = len(self.shapes)
        if count < 2:
            return [one + at for one, at in zip(self.shapes, self.places, strict=True)]
        apart = np.stack([self._row(number, at) for number, at in enumerate(self.places)])
        apart = np.minimum(apart, apart.T)
        overlap = -float(np.minimum(apart, 0.0).sum()) / 2.0
        energy = self._energy(apart, overlap)
        step = float(np.median(self.reach))
        # What lies around is in nobody's sight, but must not overlap.
        share = self.inside / max(self.inside + _AROUND * (count - self.inside), 1e-9)
        moves = round(_MOVES * (self.inside + _AROUND * (count - self.inside)))
        for move in range(moves):
            if check is not None and move % 64 == 0:
                check()
            within = self.rng.random() < share
            number = int(self.rng.integers(self.inside) if within else self.rng.integers(self.inside, count))
            left = 1.0 - move / moves
            if self.rng.random() < _FAR:
                at = self._anywhere(number)
            else:
                at = self.places[number] + step * (0.2 + 2.0 * left) * complex(*self.rng.normal(size=2))
                if not self._belongs(number, at):
                    continue
            before = apart[number].copy()
            row = self._row(number, at)
            apart[number] = apart[:, number] = row
            less = overlap + float(np.minimum(before, 0.0).sum() - np.minimum(row, 0.0).sum())
            then = self._energy(apart, less)
            # A little worse is allowed at first, so that they do not lock.
            if then < energy + left**2 * self.rng.exponential() * _WARMTH:
                energy, overlap, self.places[number] = then, less, at
            else:
                apart[number] = apart[:, number] = before
        return [one + at for one, at in zip(self.shapes, self.places, strict=True)]

    def _anywhere(self, number: int) -> complex:
        """Draw a place in the image, or around it."""
        while True:
            x, y = self.rng.random(2) * (self.canvas[1], self.canvas[0]) - 0.5
            if self._belongs(number, complex(x, y)):
                return complex(x, y)

    def _belongs(self, number: int, at: complex) -> bool:
        """Return whether a place is in the image for one that lies in it, and around it for one that lies there."""
        height, width = self.canvas
        if not (-0.5 <= at.real < width - 0.5 and -0.5 <= at.imag < height - 0.5):
            return False
        within = (
            self.around - 0.5 <= at.real < width - self.around - 0.5
            and self.around - 0.5 <= at.imag < height - self.around - 0.5
        )
        return within == (number < self.inside)

    def _row(self, number: int, at: complex) -> Floats:
        """Return how far an object at a place is from every other; below 0 by as much as they overlap, infinite from itself."""
        middles = np.abs(self.places - at)
        # By circles, which only the nearest ones need more exactly than.
        row: Floats = np.maximum(middles - self.reach - self.reach[number], 0.0)
        row[number] = np.inf
        near = np.argsort(row, kind="stable")[: min(_NEAR, len(row) - 1)]
        own = self.shapes[number] + at
        theirs = self.outlines[near] + self.places[near, None]
        distance = cdist(_flat(own), _flat(theirs.ravel())).reshape(len(own), len(near), -1)
        least = distance.min((0, 2))
        for index, other in enumerate(near):
            touching = middles[other] < self.reach[other] + self.reach[number]
            row[other] = -_overlap(own, theirs[index], distance[:, index]) if touching else least[index]
            row[other] = row[other] or least[index]
        return row

    def _energy(self, apart: Floats, overlap: float) -> float:
        """Return how far gaps are from those that are wanted, and how much overlaps."""
        energy = _OVERLAP * overlap / len(apart)
        if not self.inside:
            return energy
        nearest = np.sort(apart[: self.inside], axis=1)[:, :NEIGHBOURS]
        for nth, wanted in enumerate(self.wanted):
            own = np.sort(nearest[: self.inside, nth]) if nth < nearest.shape[1] else np.empty(0)
            finite = np.isfinite(own)
            if finite.any():
                # The logarithm, since small gaps are seen most.
                energy += float(np.abs(np.log1p(np.maximum(own[finite], 0.0)) - np.log1p(wanted[finite])).mean())
        return float(energy)


def _apart(outlines: Sequence[Complexes]) -> Floats:
    """Return the distances (N, N) between outlines, infinite from themselves and where enough others are nearer."""
    count = len(outlines)
    found = np.full((count, count), np.inf)
    if count < 2:
        return found
    points = np.stack(outlines)
    middles = points.mean(1)
    for number, own in enumerate(points):
        near = np.argsort(np.abs(middles - middles[number]), kind="stable")[1 : _NEAR + 1]
        distance = cdist(_flat(own), _flat(points[near].ravel()))
        found[number, near] = distance.reshape(len(own), len(near), -1).min((0, 2))
    nearest: Floats = np.minimum(found, found.T)
    return nearest


def _overlap(own: Complexes, other: Complexes, distance: Floats) -> float:
    """Return how deep two outlines (P,), whose points are a distance (P, P) apart, reach into each other; 0 where they do not."""
    one, two = _flat(own), _flat(other)
    within, also = points_in_poly(one, two), points_in_poly(two, one)
    if not (within.any() or also.any()):
        return 0.0
    deep = [distance[within].min(1).max()] if within.any() else []
    deep += [distance[:, also].min(0).max()] if also.any() else []
    return float(max(*deep, 1e-3)) if len(deep) > 1 else float(max(deep[0], 1e-3))


def _flat(points: Complexes) -> Floats:
    """Return points (P, 2) as X and Y."""
    found: Floats = np.stack((points.real, points.imag), -1)
    return found


def _at(quantiles: Floats, shares: Floats) -> Floats:
    """Return the values at shares from 0 to 1."""
    found: Floats = np.interp(shares, np.linspace(0, 1, len(quantiles)), quantiles)
    return found


def _whole(count: float, rng: np.random.Generator) -> int:
    """Round up or down, so that the mean is the same."""
    return int(np.floor(count + rng.random()))


def _evenly(points: Complexes, count: int) -> Complexes:
    """Return points of a closed line (P,) that lie evenly along it."""
    closed = np.append(points, points[0])
    along = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(closed)))))
    wanted = np.arange(count) / count * along[-1]
    found: Complexes = np.interp(wanted, along, closed.real) + 1j * np.interp(wanted, along, closed.imag)
    return found


def _signed_area(points: Complexes) -> float:
    """Return the area inside a closed line (P,), above 0 where it runs from X to Y."""
    return float(0.5 * (points.conj() * np.roll(points, -1)).imag.sum())


def _normal(outline: Complexes) -> tuple[Complexes, float]:
    """Return the coefficients of an outline, of area 1 and with the longer axis along X, and the angle of that axis."""
    spectrum = np.fft.fft(outline) / len(outline)
    harmonics = np.r_[-HARMONICS:0, 1 : HARMONICS + 1]
    found = spectrum[harmonics]
    first, back = found[harmonics == 1][0], found[harmonics == -1][0]
    # The first harmonic there and back is an ellipse: its axis is at the mean of their angles, its end at half the difference.
    angle = 0.5 * (np.angle(first) + np.angle(back))
    start = 0.5 * (np.angle(first) - np.angle(back))
    found = found * np.exp(-1j * (angle + harmonics * start))
    area = _signed_area(_points(found, _POINTS))
    return found / np.sqrt(max(area, 1e-6)), float(angle)


def _points(coefficients: Complexes, count: int) -> Complexes:
    """Return points (count,) of the outline of coefficients."""
    harmonics = np.r_[-HARMONICS:0, 1 : HARMONICS + 1]
    turns = np.exp(2j * np.pi * np.outer(np.arange(count) / count, harmonics))
    found: Complexes = turns @ coefficients
    return found
