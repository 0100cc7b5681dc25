"""Filling holes."""
