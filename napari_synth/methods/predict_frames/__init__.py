"""Frames that nobody took."""
