"""Tells from its losses whether a training is well."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import median

WINDOW = 100
"""Losses that the latest ones are compared with."""
RECENT = 10
"""Latest losses that are compared."""
_OUTLYING = 30.0


class Health:
    """Watches losses for values that are not finite, and for a sudden rise that stays.

    Parameters
    ----------
    settles : bool
        Whether the loss falls and stays low where all is well, so that a rise means something.
    """

    def __init__(self, settles: bool) -> None:
        self.settles = settles
        self.recent: deque[float] = deque(maxlen=WINDOW)

    @property
    def is_known(self) -> bool:
        """Whether enough losses were seen to tell."""
        return len(self.recent) == WINDOW

    def is_good(self, losses: Sequence[Sequence[float]]) -> bool:
        """Take up the losses of the latest steps, what is trained for first, and return whether all is well."""
        self.recent.extend(row[0] for row in losses)
        if not all(math.isfinite(value) for row in losses for value in row):
            return False
        if not (self.is_known and self.settles):
            return True
        past = list(self.recent)
        middle = median(past)
        spread = median(abs(value - middle) for value in past)
        return median(past[-RECENT:]) <= middle + _OUTLYING * spread + 1e-6 * abs(middle)
