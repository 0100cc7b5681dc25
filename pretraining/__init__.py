"""How the bundled weights are made: data, noise, training, evaluation, export (``python -m pretraining``)."""

from __future__ import annotations
