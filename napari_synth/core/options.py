"""How a run is done, apart from what it does: the device, the precision, the seed, the size of its blocks and its memory."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any, get_args

from napari_synth.core.device import PrecisionChoice
from napari_synth.core.errors import InvalidParameterError

LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class RunOptions:
    """How a run is done.

    Parameters
    ----------
    device : str
        ``"auto"`` (CUDA, then MPS, then the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``. Whether it is there is seen
        when the run begins, see `napari_synth.core.device.resolve_device`.
    precision : {"auto", "float32", "float16", "bfloat16"}
        Of the network's arithmetic.
    seed : int
        0 to 2147483647. The same input, seed and kind of device give the same result.
    tile : int, optional
        Edge of a block in pixels, at least 1. It follows from the method and the image where it is left out, and is never changed
        where it is given.
    memory_budget : int, optional
        Bytes that the run may take, at least 1; half of what is free where it is left out.

    Raises
    ------
    InvalidParameterError
        One of them cannot be.
    """

    device: str = "auto"
    precision: PrecisionChoice = "auto"
    seed: int = 0
    tile: int | None = None
    memory_budget: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.device, str):
            raise InvalidParameterError(f"The device cannot be {self.device!r}: give auto, cpu, cuda, cuda:1 or mps.")
        if self.precision not in (choices := get_args(PrecisionChoice)):
            raise InvalidParameterError(
                f"The precision cannot be {self.precision!r}: give {', '.join(choices[:-1])} or {choices[-1]}."
            )
        # Whole numbers of numpy are as good as those of Python; they are stored as the latter, for the recipe.
        for name, sentence, least, most in (
            ("seed", f"The seed cannot be {{}}: give a whole number from 0 to {LARGEST_SEED}.", 0, LARGEST_SEED),
            ("tile", "A tile of {} pixels cannot be: give a whole number of at least 1, or leave it out.", 1, None),
            (
                "memory_budget",
                "A memory budget of {} bytes cannot be: give a whole number of at least 1, or leave it out.",
                1,
                None,
            ),
        ):
            given = getattr(self, name)
            if given is None and name != "seed":
                continue
            number = _whole(given)
            if number is None or number < least or (most is not None and number > most):
                raise InvalidParameterError(sentence.format(given))
            object.__setattr__(self, name, number)


def _whole(value: Any) -> int | None:
    """Return a whole number as one of Python, None where it is something else."""
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None
