"""Ways to make one image look like another, and to change its tone."""
