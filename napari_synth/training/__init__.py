"""Fits networks to the user's own pixels: patches, masks, precision and the loop."""
