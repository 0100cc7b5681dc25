"""A device, and structured images to learn from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from napari_synth.core.device import Device


@pytest.fixture
def cpu() -> Device:
    return Device("cpu", "CPU", "for the test")


@pytest.fixture
def ramp() -> npt.NDArray[np.float32]:
    """Each pixel says where it is: 100 times its row, plus its column."""
    y, x = np.mgrid[:40, :50]
    return (100 * y + x).astype(np.float32)
