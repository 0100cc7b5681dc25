"""The panel for training: what learns from which layers or files, how it goes, and what came of it."""
