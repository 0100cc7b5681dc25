"""Translation learnt from the images of two kinds."""
