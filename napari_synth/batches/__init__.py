"""One recipe on many images, remembered job by job in a manifest that survives a kill; many images measured into a table."""
