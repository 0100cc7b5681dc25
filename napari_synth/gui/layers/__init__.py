"""Between napari's layers and our images: what a layer holds, where it lies, how it looks."""
