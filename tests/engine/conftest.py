from __future__ import annotations

from fake_generators import fakes

__all__ = ["fakes"]
