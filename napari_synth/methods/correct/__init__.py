"""Corrections: background, uneven light, bleaching, stripes, drift."""
