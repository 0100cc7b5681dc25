"""Measures quality and speed beside the peers: ``napari-synth bench``."""

from __future__ import annotations

from benchmark.command import main

__all__ = ["main"]
