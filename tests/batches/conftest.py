"""What several tests of batches work on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return an image of 30 blocks in 2 planes."""
    pixels = np.random.default_rng(0).poisson(100, (2, 384, 320)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", pixels, metadata={"axes": "TYX"})
    return tmp_path / "in.tif"
