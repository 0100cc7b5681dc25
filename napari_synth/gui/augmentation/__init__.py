"""The panel for augmentation: what moves, how, one draw or many, and a data set on disk."""
