"""Makers of images learnt from the user's own."""
