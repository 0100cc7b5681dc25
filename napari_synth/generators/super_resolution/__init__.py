"""Generators that make an image finer."""
