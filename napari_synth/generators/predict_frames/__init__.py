"""Frames of a time-lapse that were not measured."""
