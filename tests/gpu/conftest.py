"""Tests that need a CUDA GPU: collected only where there is one, and the header of the run says so (see tests/conftest.py)."""

from __future__ import annotations

import torch

collect_ignore_glob = [] if torch.cuda.is_available() else ["test_*.py"]
