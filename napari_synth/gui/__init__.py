"""The napari part: one panel for every task, and what stands between napari's layers and the core."""
