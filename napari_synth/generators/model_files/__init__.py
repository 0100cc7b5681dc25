"""Generators made from model files, of the user's library or for one session. Declaring them loads no torch."""

from __future__ import annotations

from napari_synth.generators.model_files.declared import generator_for

__all__ = ["generator_for"]
