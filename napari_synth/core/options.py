"""How a run is done, apart from what it does: the device, the precision, the seed, the size of its blocks and its memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from napari_synth.core.arguments import checked_seed, checked_tile, whole
from napari_synth.core.device import PrecisionChoice
from napari_synth.core.errors import DeviceError, InvalidParameterError
from napari_synth.core.result_dtype import DtypeChoice
from napari_synth.core.texts import shown

_LARGEST_BUDGET = 2**62


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
    dtype : {"auto", "source", "float32"}
        Of the result, see `napari_synth.core.result_dtype`.
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
    DeviceError
        The device is no name.
    """

    device: str = "auto"
    precision: PrecisionChoice = "auto"
    dtype: DtypeChoice = "auto"
    seed: int = 0
    tile: int | None = None
    memory_budget: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.device, str):
            raise DeviceError(f"There is no device {shown(self.device)}: use auto, cpu, cuda, cuda:1 or mps.")
        _check_choice("precision", self.precision, get_args(PrecisionChoice))
        _check_choice("dtype", self.dtype, get_args(DtypeChoice))
        # Whole numbers of numpy are as good as those of Python; they are stored as the latter, for the recipe.
        object.__setattr__(self, "seed", checked_seed(self.seed))
        object.__setattr__(self, "tile", checked_tile(self.tile))
        if self.memory_budget is not None:
            budget = whole("The memory budget", self.memory_budget, 1, _LARGEST_BUDGET)
            object.__setattr__(self, "memory_budget", budget)


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise InvalidParameterError(
            f"The {name} cannot be {shown(value)}: use {', '.join(choices[:-1])} or {choices[-1]}."
        )
