"""Style: stains, contrast, colours, modalities."""
