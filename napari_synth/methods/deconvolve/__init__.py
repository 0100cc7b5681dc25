"""Deconvolution: takes the blur of an instrument away whose point spread function is known, modelled or estimated."""
