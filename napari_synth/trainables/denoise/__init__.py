"""Restoration learnt from noisy images."""
