"""The contract between what predicts the frames of a time-lapse and everything that runs it.

A `FramePredictor` says what it is and what can be set, and looks at a movie once. What it returns, `PreparedFrames`, makes frames
behind others, or between them, and is pure: the same frames give the same answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_synth.contract.generator import BlockSpec, Context, Method, P, resolved
from napari_synth.imaging.image import Image, guess_movie_axes

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class FrameSpec:
    """What the frames must be like that a predictor is given.

    Attributes
    ----------
    history : int
        Frames before (and after) the invented ones that it looks at; it is given fewer where there are fewer, at least one.
    divides : bool
        Whether it can make frames at any time between two neighbours, rather than at whole steps of the movie alone.
    halo : int
        Pixels of context on each side of a block that its answer depends on.
    multiple : int
        Sizes and positions of blocks are multiples of this.
    whole : bool
        Whether it must see the whole plane.
    bytes_per_pixel : int
        Working memory for a pixel of one frame of a block, from which the runner chooses the block's size.
    """

    history: int = 1
    divides: bool = False
    halo: int = 0
    multiple: int = 1
    whole: bool = False
    bytes_per_pixel: int = 64

    def block(self, frames: int) -> BlockSpec:
        """Return what blocks of so many frames must be like along Y and X."""
        return BlockSpec.plane(
            self.halo,
            multiple=self.multiple,
            whole=self.whole,
            bytes_per_pixel=self.bytes_per_pixel * frames,
        )


class PreparedFrames(ABC):
    """A predictor that has seen the movie and can invent frames of any block of it.

    Frames are normalised (see `Context.intensity`; of joint channels each by its own), float32, without NaN, on the device of the
    context: tensors (N, T, C, Y, X) whose T runs forwards.

    Attributes
    ----------
    spec : FrameSpec
    notes : tuple of str
        What the user should know of this run, a plain sentence each.
    weights : mapping of str to str
        SHA-256 of every weight file that was used, by model name, for the recipe.
    """

    spec: FrameSpec = FrameSpec()
    notes: tuple[str, ...] = ()
    weights: Mapping[str, str] = {}

    @abstractmethod
    def predict(self, past: torch.Tensor, count: int) -> torch.Tensor:
        """Return the next ``count`` frames.

        Parameters
        ----------
        past : torch.Tensor, (N, T, C, Y, X)
            The last frames, 1 to ``spec.history`` of them.
        count : int

        Returns
        -------
        torch.Tensor, (N, count, C, Y, X)
        """

    def fill(self, before: torch.Tensor, after: torch.Tensor, count: int) -> torch.Tensor:
        """Return ``count`` frames at equal distances between two known ones.

        Unless a predictor knows better, each is a mean of what follows from before and, backwards in time, from after, weighted
        by how near those are.

        Parameters
        ----------
        before, after : torch.Tensor, (N, T, C, Y, X)
            The frames on either side, 1 to ``spec.history`` of them.
        count : int

        Returns
        -------
        torch.Tensor, (N, count, C, Y, X)
        """
        import torch

        forwards = self.predict(before, count)
        backwards = self.predict(after.flip(1), count).flip(1)
        share = torch.arange(1, count + 1, device=before.device, dtype=before.dtype) / (count + 1)
        return torch.lerp(forwards, backwards, share.view(1, -1, 1, 1, 1))


@dataclass(frozen=True)
class FramePredictor(Method[P]):
    """A method that invents frames of a time-lapse."""

    def guess_axes(self, shape: tuple[int, ...]) -> str | None:
        """Return the axes of an array that does not say them: the frames of a movie lie along time."""
        return guess_movie_axes(shape)

    def prepare(self, movie: Image, params: P, context: Context) -> PreparedFrames:
        """Look at the movie once: load weights, say.

        Parameters
        ----------
        movie : Image
            In counts, possibly lazy, with a T axis; without a C axis unless ``info.channels`` is "joint". An S axis is one to be
            mapped over, unless ``info.colour`` is "joint".
        params : Params
            An instance of `params_type`.
        context : Context
            Device, random seed, intensity transform (of the first channel where they are joint), progress and cancel token.
        """
        prepared: PreparedFrames = resolved(self.function)(movie, params, context)
        return prepared


class FrameEnsemble(PreparedFrames):
    """The mean or the standard deviation of a predictor over the eight symmetries of the (Y, X) plane.

    The spread ranks where the answer is unsure; it is no error bar.

    Parameters
    ----------
    prepared : PreparedFrames
        Kept as ``upright``.
    reduce : {"mean", "std"}
    """

    def __init__(self, prepared: PreparedFrames, reduce: Literal["mean", "std"]) -> None:
        self.upright, self._reduce = prepared, reduce
        self.spec, self.notes, self.weights = prepared.spec, prepared.notes, prepared.weights

    def predict(self, past: torch.Tensor, count: int) -> torch.Tensor:
        """Predict in all eight orientations; see `PreparedFrames.predict`."""
        return self._over_all((past,), lambda frames: self.upright.predict(frames[0], count))

    def fill(self, before: torch.Tensor, after: torch.Tensor, count: int) -> torch.Tensor:
        """Fill in all eight orientations; see `PreparedFrames.fill`."""
        return self._over_all((before, after), lambda frames: self.upright.fill(frames[0], frames[1], count))

    def _over_all(self, given: tuple[torch.Tensor, ...], answer: Any) -> torch.Tensor:
        import torch

        answers = []
        for flipped in (False, True):
            for turns in range(4):
                turned = [torch.rot90(one.flip(-1) if flipped else one, turns, (-2, -1)) for one in given]
                back = torch.rot90(answer(turned), -turns, (-2, -1))
                answers.append(back.flip(-1) if flipped else back)
        stack = torch.stack(answers)
        return stack.mean(0) if self._reduce == "mean" else stack.std(0, correction=0)
