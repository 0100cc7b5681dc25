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
        self.upright, self._transposed = prepared, prepared.transposed()
        self._reduce = reduce
        self.spec, self.intensity, self.result = prepared.spec, prepared.intensity, prepared.result
        self.noise, self.notes, self.weights = prepared.noise, prepared.notes, prepared.weights
        self.resolved = prepared.resolved

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        """Restore all eight orientations; see `Prepared.apply`."""
        import torch

        answers = []
        for flipped in (False, True):
            start = block.flip(-1) if flipped else block
            for turns in range(4):
                prepared = self._transposed if turns % 2 else self.upright
                answer = torch.rot90(prepared.apply(torch.rot90(start, turns, (-2, -1))), -turns, (-2, -1))
                answers.append(answer.flip(-1) if flipped else answer)
        stack = torch.stack(answers)
        return stack.mean(0) if self._reduce == "mean" else stack.std(0, correction=0)

    def transposed(self) -> Prepared:
        """Return the ensemble for the image with Y and X swapped."""
        return RotationEnsemble(self._transposed, self._reduce)
