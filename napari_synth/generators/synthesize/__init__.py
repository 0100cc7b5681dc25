"""Ways to make new images."""
