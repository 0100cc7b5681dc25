"""Runs a prepared generator on the eight flips and rotations of a block, and takes the mean or the spread of its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_synth.contract.generator import Prepared

if TYPE_CHECKING:
    import torch


class RotationEnsemble(Prepared):
    """The mean or the standard deviation of a generator over the eight symmetries of the (Y, X) plane.

    The spread ranks where the result is unsure; it is a relative confidence and no error bar, since what all eight have in
    common goes unseen.

    Parameters
    ----------
    prepared : Prepared
        Kept as ``upright``.
    reduce : {"mean", "std"}
    """

    def __init__(self, prepared: Prepared, reduce: Literal["mean", "std"]) -> None:
        self.upright, self._turned = prepared, _turned(prepared)
        self._reduce = reduce
        self.spec, self.intensity, self.result = prepared.spec, prepared.intensity, prepared.result
        self.noise, self.notes, self.weights = prepared.noise, prepared.notes, prepared.weights
        self.resolved, self.wants_gains = prepared.resolved, prepared.wants_gains

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        """Restore all eight orientations; see `Prepared.apply`."""
        import torch

        answers = []
        for flipped in (False, True):
            start = block.flip(-1) if flipped else block
            for turns in range(4):
                prepared = self._turned[turns, flipped]
                answer = torch.rot90(prepared.apply(torch.rot90(start, turns, (-2, -1))), -turns, (-2, -1))
                answers.append(answer.flip(-1) if flipped else answer)
        stack = torch.stack(answers)
        return stack.mean(0) if self._reduce == "mean" else stack.std(0, correction=0)

    def with_gains(self, gains: torch.Tensor) -> Prepared:
        """Return the ensemble of what is told by what the noise was multiplied."""
        return RotationEnsemble(self.upright.with_gains(gains), self._reduce)

    def transposed(self) -> Prepared:
        """Return the ensemble for the image with Y and X swapped."""
        return RotationEnsemble(self.upright.transposed(), self._reduce)

    def flipped(self, y: bool, x: bool) -> Prepared:
        """Return the ensemble for the image flipped along Y or X."""
        return RotationEnsemble(self.upright.flipped(y, x), self._reduce)


def _turned(prepared: Prepared) -> dict[tuple[int, bool], Prepared]:
    """Return a generator prepared for each of the eight orientations, by quarter turns after a flip along X."""
    found = {}
    for flipped in (False, True):
        start = prepared.flipped(False, True) if flipped else prepared
        # A quarter turn swaps Y and X, and flips what is Y then.
        found[0, flipped] = start
        found[1, flipped] = start.transposed().flipped(True, False)
        found[2, flipped] = start.flipped(True, True)
        found[3, flipped] = start.transposed().flipped(False, True)
    return found
