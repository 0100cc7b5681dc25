"""The command line: the same verbs as in Python, on files and folders."""

from __future__ import annotations

from napari_synth.cli.app import main

__all__ = ["main"]
